// Played gtm.js. The container carries one tag: what its telemetry tells of itself, and of every event of the site's own
// in the data layer, those from before it came included.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="/gtm.js"]');
  const query = new URL(me.src).searchParams;
  const id = query.get('id');
  const containers = (window.google_tag_manager = window.google_tag_manager || {});
  if (!id || containers[id]) return;
  const layer = query.get('l') || 'dataLayer';
  containers[id] = { dataLayer: { name: layer } };
  window[layer] = window[layer] || [];
  const tell = (e) => {
    const telemetry = new URLSearchParams({ id, v: '3', t: 't', pid: Math.floor(Math.random() * 1e9), cv: '7', rv: '5b10', e, eid: '0' });
    new Image().src = 'https://www.googletagmanager.com/a?' + telemetry;
  };
  const run = (entry) => {
    if (!entry || !entry.event) return;
    if (!entry.event.startsWith('gtm.')) tell(entry.event);
    if (typeof entry.eventCallback === 'function') setTimeout(entry.eventCallback);
  };
  tell('gtm.js');
  const waiting = [...window[layer]];
  const push = window[layer].push;
  window[layer].push = function () {
    const length = push.apply(window[layer], arguments);
    [...arguments].forEach(run);
    return length;
  };
  waiting.forEach(run);
  window[layer].push({ event: 'gtm.dom' });
})();
