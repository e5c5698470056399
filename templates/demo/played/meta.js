// Played fbevents.js. Takes over the base code's queue, sets _fbp and _fbc, sends one image an event.
(() => {
  const fbq = (window.fbq = window.fbq || function () {
    fbq.callMethod ? fbq.callMethod.apply(fbq, arguments) : fbq.queue.push(arguments);
  });
  fbq.queue = fbq.queue || [];
  if (fbq.callMethod) return;

  const DAYS_90 = 90 * 86400;
  const pixels = new Set();
  let revoked = false;
  let waiting = [];

  const cookie = (name, value) => {
    const set = document.cookie.match(new RegExp('(?:^|; )' + name + '=([^;]*)'));
    if (set) return set[1];
    document.cookie = `${name}=${value}; path=/; max-age=${DAYS_90}; SameSite=Lax`;
    return value;
  };

  const send = (id, event, data) => {
    const click = new URLSearchParams(location.search).get('fbclid');
    const query = new URLSearchParams({ id, ev: event, dl: location.href, rl: document.referrer, if: 'false', ts: Date.now(), v: '2.9.176', r: 'stable' });
    query.set('fbp', cookie('_fbp', `fb.1.${Date.now()}.${Math.floor(Math.random() * 1e18)}`));
    if (click) query.set('fbc', cookie('_fbc', `fb.1.${Date.now()}.${click}`));
    for (const [name, value] of Object.entries(data || {})) query.set(`cd[${name}]`, value);
    new Image(1, 1).src = 'https://www.facebook.com/tr/?' + query;
  };

  // Events for a pixel that is initialised later in the same queue are not lost: each goes to those known by then.
  const event = (ids, name, data) => (revoked ? waiting.push([ids, name, data]) : ids.forEach((id) => send(id, name, data)));

  fbq.callMethod = (command, ...args) => {
    if (command === 'init') pixels.add(String(args[0]));
    else if (command === 'track' || command === 'trackCustom') event([...pixels], args[0], args[1]);
    else if (command === 'trackSingle' || command === 'trackSingleCustom') event([String(args[0])], args[1], args[2]);
    else if (command === 'consent') {
      revoked = args[0] === 'revoke';
      if (!revoked) waiting.splice(0).forEach((held) => event(...held));
    }
  };
  while (fbq.queue.length) fbq.callMethod(...fbq.queue.shift());
})();
