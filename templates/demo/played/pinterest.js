// Played ct/core.js. `load` names the tag, `page` and `track` send. `setconsent` false drops what comes after.
(() => {
  const stub = window.pintrk;
  if (stub && stub.played) return;
  const waiting = (stub && stub.queue) || [];
  const tags = new Set();
  let consent = true;

  const send = (tid, event, data, done) => {
    const known = document.cookie.match(/(?:^|; )_pin_unauth=([^;]*)/);
    const id = known ? known[1] : btoa('uid=' + crypto.randomUUID()).replace(/=+$/, '');
    if (!known) document.cookie = `_pin_unauth=${id}; path=/; max-age=${365 * 86400}; SameSite=Lax`;
    const query = new URLSearchParams({ event, tid, pd: JSON.stringify({ pin_unauth: id }), ed: JSON.stringify(data || {}), cb: Date.now(), ad: JSON.stringify({ loc: location.href, ref: document.referrer }) });
    const image = new Image();
    if (done) image.onload = image.onerror = () => done(true);
    image.src = 'https://ct.pinterest.com/v3/?' + query;
  };

  window.pintrk = (command, ...args) => {
    if (command === 'load') tags.add(String(args[0]));
    else if (command === 'setconsent') {
      consent = args[0] === true;
      if (!consent) document.cookie = '_pin_unauth=; path=/; max-age=0';
    } else if (consent && command === 'page') tags.forEach((tid) => send(tid, 'pagevisit', args[0]));
    else if (consent && command === 'track') tags.forEach((tid) => send(tid, String(args[0]).toLowerCase(), args[1], args[2]));
  };
  window.pintrk.queue = [];
  window.pintrk.version = '3.0';
  window.pintrk.played = true;
  waiting.forEach((call) => window.pintrk(...call));
})();
