// Played events.js. `ttq` is an array with methods; one copy of this script is loaded for each pixel.
// The real thing POSTs JSON and names the pixel in the body only; here the address names it as well.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="/i18n/pixel/events.js"]');
  const ttq = (window[window.TiktokAnalyticsObject || 'ttq'] = window[window.TiktokAnalyticsObject || 'ttq'] || []);
  const asked = me && new URL(me.src).searchParams.get('sdkid');
  ttq._i = ttq._i || {};
  if (asked && !ttq._i[asked]) ttq._i[asked] = [];

  const YEAR = 389 * 86400;
  const token = () => Array.from({ length: 27 }, () => Math.floor(Math.random() * 36).toString(36)).join('');
  const cookie = (name, value) => {
    if (!document.cookie.includes(name + '=')) document.cookie = `${name}=${value}; path=/; max-age=${YEAR}; SameSite=Lax`;
  };
  let cookies = true;

  const send = (code, event, properties) => {
    if (cookies) {
      cookie('_ttp', '2' + token());
      cookie('_tt_enable_cookie', '1');
      cookie('ttcsid', `${Date.now()}::${token()}.1.${Date.now()}`);
      cookie('ttcsid_' + code, `${Date.now()}::${token()}.1.${Date.now()}`);
    }
    const body = JSON.stringify({ event, event_id: token(), timestamp: new Date().toISOString(), properties, context: { pixel: { code }, page: { url: location.href } } });
    const url = `https://analytics.tiktok.com/api/v2/pixel?sdkid=${code}&event=${encodeURIComponent(event)}`;
    navigator.sendBeacon(url, body);
  };

  let held = ttq._played ? ttq._played.held : null;
  const run = (codes, [method, ...args]) => {
    const state = ttq._played;
    const event = method === 'page' ? ['Pageview', {}] : method === 'track' ? args : null;
    if (event) state.held ? state.held.push([codes, [method, ...args]]) : codes.forEach((code) => send(code, event[0], event[1]));
    else if (method === 'holdConsent') state.held = state.held || [];
    else if (method === 'revokeConsent') state.held = [];
    else if (method === 'grantConsent') {
      const waiting = state.held || [];
      state.held = null;
      waiting.forEach(([codes, call]) => run(codes, call));
    } else if (method === 'disableCookie') cookies = false;
    else if (method === 'enableCookie') cookies = true;
  };

  const first = !ttq._played;
  if (first) ttq._played = { held, codes: new Set() };
  const fresh = Object.keys(ttq._i).filter((code) => !ttq._played.codes.has(code));
  fresh.forEach((code) => ttq._played.codes.add(code));

  // An instance has a queue of its own.
  fresh.forEach((code) => {
    const own = ttq._i[code];
    own.splice(0).forEach((call) => run([code], call));
    for (const method of ['page', 'track', 'identify']) own[method] = (...args) => run([code], [method, ...args]);
  });
  if (!first) return;

  const all = (call) => run([...ttq._played.codes], call);
  ttq.splice(0).forEach(all);
  ttq.push = (call) => all(call);
  for (const method of ['page', 'track', 'identify', 'holdConsent', 'revokeConsent', 'grantConsent', 'enableCookie', 'disableCookie']) {
    ttq[method] = (...args) => all([method, ...args]);
  }
  ttq.instance = (code) => ttq._i[code] || [];
})();
