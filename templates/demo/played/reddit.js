// Played ads/pixel.js. `init` names the pixel, `track` sends.
(() => {
  const rdt = (window.rdt = window.rdt || function () {
    rdt.sendEvent ? rdt.sendEvent.apply(rdt, arguments) : rdt.callQueue.push(arguments);
  });
  rdt.callQueue = rdt.callQueue || [];
  if (rdt.sendEvent) return;

  const pixels = new Set();
  let cookies = true;
  const send = (id, event, data) => {
    const known = document.cookie.match(/(?:^|; )_rdt_uuid=([^;]*)/);
    const uuid = known ? known[1] : `${Date.now()}.${crypto.randomUUID()}`;
    if (!known && cookies) document.cookie = `_rdt_uuid=${uuid}; path=/; max-age=${90 * 86400}; SameSite=Lax`;
    const query = new URLSearchParams({ id, event, ts: Date.now(), uuid, s: screen.width + 'x' + screen.height, v: 'rdt_0a1b2c3d', dpm: '', dpcc: '', dprc: '', integration: 'reddit', dr: document.referrer, ...data });
    new Image(1, 1).src = 'https://alb.reddit.com/rp.gif?' + query;
  };
  rdt.sendEvent = (command, target, data) => {
    if (command === 'init') {
      pixels.add(target);
      rdt.pixelId = target;
    } else if (command === 'track') pixels.forEach((id) => send(id, target, data));
    else if (command === 'disableFirstPartyCookies') cookies = false;
    else if (command === 'enableFirstPartyCookies') cookies = true;
  };
  while (rdt.callQueue.length) rdt.sendEvent(...rdt.callQueue.shift());
})();
