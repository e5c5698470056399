// Played bat.js: the `UET` constructor. The queue is a flat array: `push('event', 'x', {…})` adds three entries.
(() => {
  if (window.UET) return;
  const cookie = (name, age) => {
    const set = document.cookie.match(new RegExp('(?:^|; )' + name + '=([^;]*)'));
    const value = set ? set[1] : crypto.randomUUID().replaceAll('-', '');
    if (!set) document.cookie = `${name}=${value}; path=/; max-age=${age}; SameSite=Lax`;
    return value;
  };
  window.UET = function (options) {
    const ti = options.ti;
    let denied = false;
    const send = (fields) => {
      const query = new URLSearchParams({ ti, Ver: '2', mid: crypto.randomUUID(), p: location.href, r: document.referrer, lg: navigator.language, asc: denied ? 'D' : 'G', rn: Math.floor(Math.random() * 1e6) });
      if (!denied) {
        query.set('sid', cookie('_uetsid', 86400));
        query.set('vid', cookie('_uetvid', 390 * 86400));
      }
      for (const [key, value] of Object.entries(fields)) query.set(key, value);
      new Image().src = 'https://bat.bing.com/action/0?' + query;
    };
    this.push = (...entries) => {
      while (entries.length) {
        const entry = entries.shift();
        if (entry === 'pageLoad') send({ evt: 'pageLoad', tl: document.title });
        else if (entry === 'event') {
          const ea = entries.shift();
          const data = typeof entries[0] === 'object' ? entries.shift() : {};
          send({ evt: 'custom', ea, ...(data && data.revenue_value !== undefined ? { gv: data.revenue_value, gc: data.currency } : {}) });
        } else if (entry === 'consent') {
          entries.shift();
          denied = (entries.shift() || {}).ad_storage === 'denied';
        } else if (entry === 'config' || entry === 'set') entries.splice(0, entry === 'config' ? 2 : 1);
        else if (entry && entry.ea) send({ evt: 'custom', ea: entry.ea, ec: entry.ec || '' });
      }
    };
    this.push(...(options.q || []));
  };
})();
