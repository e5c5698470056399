// Played gtag/js: one file for Google Analytics (G-, UA-), Google Ads (AW-), Floodlight (DC-) and Google tags (GT-).
// Reads `arguments` objects from the data layer, as the real one does: arrays are data for a container.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="/gtag/js"]');
  const own = me ? new URL(me.src).searchParams : new URLSearchParams();
  const name = own.get('l') || 'dataLayer';
  const layer = (window[name] = window[name] || []);
  if (layer.played) return; // A second id on the page: one reader is enough.
  layer.played = true;

  const YEARS_2 = 63072000;
  const DAYS_90 = 90 * 86400;
  const consent = { ad_storage: 'granted', analytics_storage: 'granted' };
  const targets = new Map();
  const number = () => Math.floor(Math.random() * 2 ** 31);
  const granted = (key) => consent[key] !== 'denied';
  const signal = () => `G1${granted('ad_storage') ? 1 : 0}${granted('analytics_storage') ? 1 : 0}`;

  const cookie = (key, value, age) => {
    const set = document.cookie.match(new RegExp('(?:^|; )' + key + '=([^;]*)'));
    if (!set) document.cookie = `${key}=${value}; path=/; max-age=${age}; SameSite=Lax`;
    return set ? set[1] : value;
  };
  const seconds = () => Math.floor(Date.now() / 1000);

  const analytics = (tid, event, data) => {
    let cid = `${number()}.${seconds()}`;
    if (granted('analytics_storage')) {
      cid = cookie('_ga', `GA1.1.${cid}`, YEARS_2).split('.').slice(2).join('.');
      cookie('_ga_' + tid.replace(/^G-/, ''), `GS2.1.s${seconds()}$o1$g0$t${seconds()}$j60$l0$h0`, YEARS_2);
    }
    const query = new URLSearchParams({ v: '2', tid, gtm: '45je4b0v9', _p: number(), gcs: signal(), cid, ul: navigator.language, sr: screen.width + 'x' + screen.height, dl: location.href, dt: document.title, en: event });
    for (const [key, value] of Object.entries(data || {})) if (typeof value !== 'object') query.set('ep.' + key, value);
    fetch('https://www.google-analytics.com/g/collect?' + query, { method: 'POST', mode: 'no-cors', keepalive: true, credentials: 'omit' }).catch(() => {});
  };
  const universal = (tid, event) => {
    const cid = cookie('_ga', `GA1.1.${number()}.${seconds()}`, YEARS_2);
    new Image().src = 'https://www.google-analytics.com/collect?' + new URLSearchParams({ v: '1', t: event === 'page_view' ? 'pageview' : 'event', tid, cid, dl: location.href });
  };
  const ads = (tid, event, data) => {
    const [account, label] = tid.replace(/^AW-/, '').split('/');
    const query = new URLSearchParams({ random: Date.now(), en: event, gcs: signal(), url: location.href, tiba: document.title });
    if (!granted('ad_storage')) {
      query.set('tid', 'AW-' + account);
      new Image().src = 'https://pagead2.googlesyndication.com/ccm/collect?' + query;
      return;
    }
    query.set('auid', cookie('_gcl_au', `1.1.${number()}.${seconds()}`, DAYS_90));
    if (label) {
      query.set('label', label);
      if (data && data.value !== undefined) query.set('value', data.value);
      new Image().src = `https://www.googleadservices.com/pagead/conversion/${account}/?` + query;
    } else {
      new Image().src = `https://googleads.g.doubleclick.net/pagead/viewthroughconversion/${account}/?` + query;
    }
  };
  const floodlight = (tid, event) => {
    const [account, type, activity] = tid.replace(/^DC-/, '').split('/');
    if (event === 'page_view') return; // To configure Floodlight sends nothing.
    const cat = (activity || '').split('+')[0];
    new Image().src = `https://ad.doubleclick.net/activity;src=${account};type=${type};cat=${cat};ord=${number()}?`;
  };
  const send = (target, event, data) => {
    if (target.startsWith('G-')) analytics(target, event, data);
    else if (target.startsWith('UA-')) universal(target, event);
    else if (target.startsWith('AW-')) ads(target, event, data);
    else if (target.startsWith('DC-')) floodlight(target, event);
    else new Image().src = 'https://www.googletagmanager.com/a?' + new URLSearchParams({ id: target, v: '3', t: 't', e: event });
  };

  const event = (action, data) => {
    const wanted = data && data.send_to ? [].concat(data.send_to) : [...targets.keys()];
    const known = wanted.filter((target) => targets.has(target) || targets.has(target.split('/')[0]));
    known.forEach((target) => send(target, action, data));
    if (data && typeof data.event_callback === 'function') setTimeout(data.event_callback);
  };
  const run = (entry) => {
    if (Object.prototype.toString.call(entry) !== '[object Arguments]') return;
    const [command, ...args] = entry;
    if (command === 'consent') Object.assign(consent, args[1]);
    else if (command === 'config') {
      targets.set(args[0], args[1] || {});
      if (!args[1] || args[1].send_page_view !== false) send(args[0], 'page_view', args[1]);
    } else if (command === 'event') event(args[0], args[1]);
  };

  const push = layer.push;
  layer.push = function () {
    const length = push.apply(layer, arguments);
    [...arguments].forEach(run);
    return length;
  };
  [...layer].forEach(run);
})();
