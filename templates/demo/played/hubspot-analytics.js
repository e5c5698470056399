// Played analytics/<time>/<account>.js: one page view at once, then what `_hsq` asks for.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="hs-analytics.net/"]');
  const account = me.src.match(/(\d+)\.js/)[1];
  const queue = (window._hsq = window._hsq || []);
  if (queue.played) return;
  queue.played = true;

  let stopped = false;
  let path = location.pathname;
  const id = crypto.randomUUID().replaceAll('-', '');
  const cookie = (name, value, age) => (document.cookie = `${name}=${value}; path=/; ${age ? `max-age=${age}; ` : ''}SameSite=Lax`);
  const send = (kind, extra) => {
    if (stopped) return;
    const now = Date.now();
    if (!document.cookie.includes('hubspotutk=')) {
      cookie('hubspotutk', id, 180 * 86400);
      cookie('__hstc', `1234567.${id}.${now}.${now}.${now}.1`, 180 * 86400);
      cookie('__hssrc', '1');
    }
    cookie('__hssc', `1234567.1.${now}`, 1800);
    const query = new URLSearchParams({ k: kind, sd: screen.width + 'x' + screen.height, cd: '24-bit', cs: 'UTF-8', ln: navigator.language, bfp: '2088654870', v: '1.1', a: account, pu: location.origin + path, t: document.title, cts: now, ...extra });
    new Image(1, 1).src = 'https://track.hubspot.com/__ptq.gif?' + query;
  };
  const run = ([command, ...args]) => {
    if (command === 'doNotTrack') stopped = !(args[0] && args[0].track);
    else if (command === 'setPath') path = args[0];
    else if (command === 'trackPageView') send('1', {});
    else if (command === 'trackEvent' || command === 'trackCustomBehavioralEvent') send('3', { n: (args[0] && (args[0].id || args[0].name)) || args[0] });
  };
  const waiting = queue.splice(0);
  waiting.filter(([command]) => command === 'doNotTrack' || command === 'setPath').forEach(run);
  send('1', {});
  waiting.filter(([command]) => command !== 'doNotTrack' && command !== 'setPath').forEach(run);
  queue.push = (...calls) => calls.forEach(run);
})();
