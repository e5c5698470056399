// Played scevent.min.js. `init` names the pixel, `track` sends. (The real one POSTs a form with the same fields.)
(() => {
  const snaptr = (window.snaptr = window.snaptr || function () {
    snaptr.handleRequest ? snaptr.handleRequest.apply(snaptr, arguments) : snaptr.queue.push(arguments);
  });
  snaptr.queue = snaptr.queue || [];
  if (snaptr.handleRequest) return;

  const MONTHS_13 = 395 * 86400;
  const pixels = new Set();
  const cookie = (name, value) => {
    const set = document.cookie.match(new RegExp('(?:^|; )' + name + '=([^;]*)'));
    if (!set) document.cookie = `${name}=${value}; path=/; max-age=${MONTHS_13}; SameSite=Lax`;
    return set ? set[1] : value;
  };
  const send = (pid, ev, data) => {
    const id = cookie('_scid', crypto.randomUUID());
    cookie('_scid_r', id);
    cookie('_sctr', '1|' + new Date().setHours(0, 0, 0, 0));
    const query = new URLSearchParams({ pid, ev, pl: location.href, rf: document.referrer, ts: Date.now(), u_sclid: id, v: '3.42.0', ...data });
    new Image().src = 'https://tr.snapchat.com/p?' + query;
  };
  snaptr.handleRequest = (command, target, data) => {
    if (command === 'init') pixels.add(target);
    else if (command === 'track') pixels.forEach((pid) => send(pid, target, data));
  };
  while (snaptr.queue.length) snaptr.handleRequest(...snaptr.queue.shift());
})();
