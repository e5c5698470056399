// Played matomo.js (and piwik.js): runs the `_paq` commands, answers Matomo.getTracker, sends to the tracker's address.
(() => {
  if (window.Matomo) return;
  const FIRST = ['requireConsent', 'requireCookieConsent', 'disableCookies', 'setTrackerUrl', 'setSiteId', 'setConsentGiven', 'setCookieConsentGiven', 'forgetConsentGiven'];
  const MONTHS_13 = 33955200;

  class Tracker {
    constructor(url, site) {
      Object.assign(this, { url, site, consent: true, cookies: true });
    }
    setTrackerUrl(url) { this.url = url; }
    setSiteId(site) { this.site = site; }
    requireConsent() { this.consent = false; }
    setConsentGiven() { this.consent = true; }
    forgetConsentGiven() { this.consent = false; }
    requireCookieConsent() { this.cookies = false; }
    setCookieConsentGiven() { this.cookies = true; }
    disableCookies() { this.cookies = false; }
    enableLinkTracking() {}
    setDocumentTitle(title) { this.title = title; }
    trackPageView(title) { this.send({ action_name: title || this.title || document.title }); }
    trackEvent(category, action, name, value) { this.send({ e_c: category, e_a: action, e_n: name || '', e_v: value || '' }); }
    trackGoal(goal) { this.send({ idgoal: goal }); }
    send(fields) {
      if (!this.consent || !this.url) return;
      const visitor = this.visitor();
      const query = new URLSearchParams({ idsite: this.site, rec: '1', r: Math.floor(Math.random() * 1e6), _id: visitor, url: location.href, urlref: document.referrer, send_image: '1', cookie: this.cookies ? '1' : '0', ...fields });
      new Image(1, 1).src = this.url + (this.url.includes('?') ? '&' : '?') + query;
    }
    visitor() {
      const name = `_pk_id.${this.site}.1fff`;
      const set = document.cookie.match(new RegExp('(?:^|; )' + name.replaceAll('.', '\\.') + '=([^.;]*)'));
      const id = set ? set[1] : crypto.randomUUID().replaceAll('-', '').slice(0, 16);
      if (!this.cookies) return id;
      if (!set) document.cookie = `${name}=${id}.${Math.floor(Date.now() / 1000)}.; path=/; max-age=${MONTHS_13}; SameSite=Lax`;
      document.cookie = `_pk_ses.${this.site}.1fff=1; path=/; max-age=1800; SameSite=Lax`;
      return id;
    }
  }

  const main = new Tracker();
  const run = ([method, ...args]) => {
    if (typeof method === 'function') method.apply(main, args);
    else if (typeof main[method] === 'function') main[method](...args);
  };
  window.Matomo = window.Piwik = {
    getTracker: (url, site) => new Tracker(url, site),
    getAsyncTracker: () => main,
  };
  const waiting = [...(window._paq || [])];
  // Settings count for the whole queue, wherever they stand in it.
  const settles = ([method]) => FIRST.includes(method);
  waiting.filter(settles).forEach(run);
  waiting.filter((call) => !settles(call)).forEach(run);
  window._paq = { push: (...calls) => calls.forEach(run) };
})();
