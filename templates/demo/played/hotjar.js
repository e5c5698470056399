// Played hotjar-<site>.js: registers the visit, then one call for each event.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="/c/hotjar-"]');
  const settings = (window._hjSettings = window._hjSettings || {});
  const site = settings.hjid || (me.src.match(/hotjar-(\d+)/) || [])[1];
  const waiting = (window.hj && window.hj.q) || [];
  if (window.hj && window.hj.played) return;
  const user = crypto.randomUUID();
  const pack = (data) => btoa(JSON.stringify(data));
  document.cookie = `_hjSessionUser_${site}=${pack({ id: user, created: Date.now(), existing: false })}; path=/; max-age=${365 * 86400}; SameSite=Lax`;
  document.cookie = `_hjSession_${site}=${pack({ id: crypto.randomUUID(), c: Date.now(), s: 0, r: 0 })}; path=/; max-age=1800; SameSite=Lax`;
  const body = JSON.stringify({ user_id: user, url: location.href, window_width: innerWidth });
  navigator.sendBeacon(`https://in.hotjar.com/api/v2/client/sites/${site}/visit-data?sv=${settings.hjsv || 6}`, body);
  window.hj = (command, name) => {
    if (command === 'event') navigator.sendBeacon(`https://metrics.hotjar.io/?v=6&site_id=${site}&event=${encodeURIComponent(name)}`, '');
  };
  window.hj.played = true;
  waiting.forEach((call) => window.hj(...call));
})();
