// Makes the banner's buttons work in the open page. Without it the form posts, and the next page
// comes released. A held element has data-gate-N="vendor:purpose+purpose …" and data-gate-N-src for
// src; N is new in every page, so that no content can smuggle in elements to release. No stand-ins
// for vendors: a snippet that finds its global defined would never load its script.
(() => {
  'use strict';
  const { dataset, src } = document.currentScript;
  const mark = 'data-gate-' + dataset.gate;
  const base = src.replace(/\/assets\/.*/, '');
  // What the guard in the head left for this script alone.
  const bridge = window['consentry:' + dataset.gate] || { grant() {} };
  delete window['consentry:' + dataset.gate];
  let undecided = dataset.state === 'undecided';
  let decidedAt = dataset.decidedAt || '';
  let busy, channel;

  let policy = { createHTML: String, createScript: String, createScriptURL: String };
  if (bridge.createHTML) policy = bridge;
  else try {
    const same = text => text;
    policy = trustedTypes.createPolicy('consentry', { createHTML: same, createScript: same, createScriptURL: same });
  } catch (_) { /* This browser has none, or the page allows none. */ }

  // Every rule that hit must be covered. An empty marker is a vendor nobody is offered.
  const granted = (marker, { grants, vendors }) => marker && marker.split(' ').every(item => {
    const [vendor, purposes] = item.split(':');
    return typeof vendors[vendor] === 'boolean' ? vendors[vendor] : purposes.split('+').every(id => grants[id] === true);
  });

  // Gives attributes their names back, on the element itself or on its copy.
  const rename = (from, to) => {
    for (const attr of [...from.attributes]) {
      const { name, value } = attr;
      if (name.startsWith(mark)) {
        from.removeAttributeNode(attr);
        const own = name.slice(mark.length + 1);
        const typed = own === 'srcdoc' ? policy.createHTML(value) : policy.createScriptURL(value);
        if (own) to.setAttributeNS(own === 'xlink:href' ? 'http://www.w3.org/1999/xlink' : null, own, typed);
      } else if (from === to || name === 'type' || name === 'nonce') continue;
      else if (/^on/.test(name)) to.setAttribute(name, policy.createScript(value));
      else to.setAttributeNode(attr.cloneNode());
    }
  };

  // While an inline script runs late: writing would wipe the page, and what it waits for is past.
  const late = run => {
    const proto = EventTarget.prototype, listen = proto.addEventListener;
    const guarded = ['write', 'writeln', 'open'].filter(name => !Object.keys(document).includes(name));
    for (const name of guarded) document[name] = () => {};
    proto.addEventListener = function (type, listener, options) {
      const target = this || window;
      if (type === 'DOMContentLoaded' || type === 'load' && target === window && document.readyState === 'complete') {
        setTimeout(() => (listener.handleEvent || listener).call(target, new Event(type)));
      } else listen.call(target, type, listener, options);
    };
    try { run(); } finally {
      proto.addEventListener = listen;
      for (const name of guarded) delete document[name];
    }
  };

  // A script that was parsed never runs again: a copy does. Resolves when the next one may run.
  const run = ([old, type, external]) => new Promise(done => {
    const copy = document.createElementNS(old.namespaceURI, 'script');
    const text = old.textContent;
    rename(old, copy);
    copy.nonce = old.nonce;
    copy.async = old.hasAttribute('async');
    if (text) copy['text' in copy ? 'text' : 'textContent'] = policy.createScript(text);
    const runs = type === 'module' || !old.noModule && /^$|^(text|application)\/(x-)?(java|ecma)script$/.test(type);
    const wait = external && runs && !copy.async;
    if (wait) for (const event of ['load', 'error']) copy.addEventListener(event, done);
    late(() => old.replaceWith(copy));
    setTimeout(done, wait ? 20000 : 0);
  });

  // In document order; what the parser would have deferred comes last.
  const release = async state => {
    const deferred = [];
    for (const old of document.querySelectorAll(`[${mark}]`)) {
      if (!granted(old.getAttribute(mark), state)) continue;
      try {
        if (old.localName !== 'script') {
          rename(old, old);
          if (old.localName === 'source' && old.parentNode.load) old.parentNode.load();
          continue;
        }
        const type = (old.getAttribute(mark + '-type') || '').trim().toLowerCase();
        const external = old.matches(`[src],[${mark}-src],[href],[${mark}-href],[${mark}-xlink\\:href]`);
        // Such a script runs from the next page on.
        if (!external && /\bdocument\s*\.\s*(write|writeln|open)\s*\(/.test(old.textContent)) continue;
        const item = [old, type, external];
        if (!old.hasAttribute('async') && (type === 'module' || external && old.hasAttribute('defer'))) deferred.push(item);
        else await run(item);
      } catch (_) { /* What the page's own policy forbids does not stop the others. */ }
    }
    for (const item of deferred) await run(item).catch(() => {});
  };

  const apply = state => {
    undecided = false;
    decidedAt = state.decided_at || '';
    for (const banner of document.querySelectorAll('.consentry-banner[data-consentry]')) {
      banner.replaceWith(banner.querySelector('template').content);
    }
    const { grants, vendors } = state;
    document.dispatchEvent(new CustomEvent('consentry:decision', { detail: { grants: { ...grants }, vendors: { ...vendors } } }));
    bridge.grant(state);
    release(state);
  };

  const ask = async (path, init) => {
    const answer = await fetch(base + path, init);
    if (answer.status !== 200) throw answer;
    return { vendors: {}, ...await answer.json() };
  };

  addEventListener('submit', event => {
    const { target: form, submitter } = event;
    const choice = submitter && submitter.value;
    if (!/^(accept|reject)_all$/.test(choice) || !form.closest('.consentry-banner[data-consentry]')) return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    const body = JSON.stringify({ choice, notice: form.elements.notice.value });
    ask('/decision', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }).then(state => {
      apply(state);
      if (channel) channel.postMessage(decidedAt);
    }, () => {
      // Whatever went wrong: the form still works as if this script were not here.
      const field = document.createElement('input');
      Object.assign(field, { type: 'hidden', name: 'choice', value: choice });
      form.append(field);
      form.submit();
    });
  });

  // Decided elsewhere: a page that ran nothing follows in place. Code that ran cannot be unloaded.
  const recheck = () => ask('/state').then(state => {
    if (undecided ? !state.decided : state.decided_at === decidedAt) return;
    if (undecided) apply(state);
    else location.reload();
  }).catch(() => {});

  // Open only while shown: an open channel keeps a page out of the back/forward cache.
  addEventListener('pageshow', event => {
    if (event.persisted) recheck();
    channel = new BroadcastChannel('consentry');
    channel.onmessage = ({ data }) => data !== decidedAt && recheck();
    channel.postMessage(decidedAt);
  });
  addEventListener('pagehide', () => channel && channel.close());
})();
