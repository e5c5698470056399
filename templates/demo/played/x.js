// Played uwt.js. `config` (older: `init`) names the pixel and sends the page view.
// The real one calls analytics.twitter.com with the same query as well.
(() => {
  const twq = (window.twq = window.twq || function () {
    twq.exe ? twq.exe.apply(twq, arguments) : twq.queue.push(arguments);
  });
  twq.queue = twq.queue || [];
  if (twq.exe) return;

  const pixels = new Set();
  const send = (pixel, name, data) => {
    const cookie = `tw.${Date.now()}.${Math.floor(Math.random() * 1e18)}`;
    if (!document.cookie.includes('_twpid=')) document.cookie = `_twpid=${cookie}; path=/; max-age=${397 * 86400}; SameSite=Strict`;
    const query = new URLSearchParams({ bci: '5', dv: navigator.language, eci: '3', event_id: crypto.randomUUID(), events: JSON.stringify([[name, data || {}]]), p_id: 'Twitter', p_user_id: '0', pl_id: crypto.randomUUID(), tw_document_href: location.href, txn_id: pixel, type: 'javascript', version: '2.3.33' });
    new Image().src = 'https://t.co/1/i/adsct?' + query;
  };
  const old = (name) => pixels.forEach((pixel) => send(pixel, name));

  twq.exe = (command, target, data) => {
    if (command === 'config') {
      pixels.add(target);
      send(target, 'pageview');
    } else if (command === 'init') pixels.add(target);
    else if (command === 'track') old(String(target).toLowerCase());
    // tw-<pixel>-<event>
    else if (command === 'event') send(String(target).split('-')[1] || [...pixels][0], String(target), data);
  };
  while (twq.queue.length) twq.exe(...twq.queue.shift());
})();
