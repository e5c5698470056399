// Played insight.min.js. One call for each partner id of the page, one for each conversion.
(() => {
  if (window.lintrk && window.lintrk.played) return;
  const waiting = (window.lintrk && window.lintrk.q) || [];
  const partners = () => {
    const ids = new Set((window._linkedin_data_partner_ids || []).map(String));
    for (const one of [window._linkedin_partner_id, window._linkedin_data_partner_id]) if (one) ids.add(String(one));
    return [...ids];
  };
  const token = crypto.randomUUID();
  document.cookie = `li_fat_id=${token}; path=/; max-age=${30 * 86400}; SameSite=Lax`;
  document.cookie = `ln_or=${btoa(JSON.stringify({ pid: partners()[0] }))}; path=/; max-age=86400; SameSite=Lax`;
  localStorage.setItem('li_adsId', token);

  const send = (pid, extra) => {
    const query = new URLSearchParams({ v: '2', fmt: 'js', pid, time: Date.now(), li_adsId: token, url: location.href, ...extra });
    new Image().src = 'https://px.ads.linkedin.com/collect/?' + query;
  };
  window.lintrk = (command, data, done) => {
    if (command === 'track' && data && data.conversion_id) partners().forEach((pid) => send(pid, { conversionId: data.conversion_id }));
    const callback = done || (data && data.commandCallback);
    if (typeof callback === 'function') setTimeout(callback);
  };
  window.lintrk.q = [];
  window.lintrk.played = true;
  partners().forEach((pid) => send(pid, {}));
  waiting.forEach((call) => window.lintrk(...call));
})();
