// Played analytics.js, Universal Analytics: drains `ga.q`, sends one hit for each `send`.
(() => {
  const name = window.GoogleAnalyticsObject || 'ga';
  const waiting = (window[name] && window[name].q) || [];
  let tracker = null;
  const number = () => Math.floor(Math.random() * 2 ** 31);
  const cookie = (key, value, age) => {
    const set = document.cookie.match(new RegExp('(?:^|; )' + key + '=([^;]*)'));
    if (!set) document.cookie = `${key}=${value}; path=/; max-age=${age}; SameSite=Lax`;
    return set ? set[1] : value;
  };
  const run = (command, ...args) => {
    if (typeof command === 'function') return command(tracker);
    if (command === 'create') tracker = { tid: typeof args[0] === 'object' ? args[0].trackingId : args[0] };
    else if (/(^|\.)send$/.test(command) && tracker) {
      const id = `GA1.2.${number()}.${Math.floor(Date.now() / 1000)}`;
      const cid = cookie('_ga', id, 63072000).split('.').slice(2).join('.');
      cookie('_gid', id, 86400);
      cookie('_gat', '1', 60);
      const hit = typeof args[0] === 'object' ? args[0] : { hitType: args[0] };
      const query = new URLSearchParams({ v: '1', _v: 'j101', t: hit.hitType || 'pageview', tid: tracker.tid, cid, dl: location.href, dt: document.title, z: number() });
      navigator.sendBeacon('https://www.google-analytics.com/j/collect?' + query);
      const done = args.map((arg) => arg && (typeof arg === 'function' ? arg : arg.hitCallback)).find((arg) => typeof arg === 'function');
      if (done) setTimeout(done);
    }
  };
  window[name] = run;
  run.loaded = true;
  run.getAll = () => (tracker ? [tracker] : []);
  waiting.forEach((call) => run(...call));
})();
