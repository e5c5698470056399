// Makes the banner's buttons work in the open page. Without it the form posts, and the next page
// comes released. A held element has data-gate-N="vendor:purpose+purpose …" and data-gate-N-src for
// src; N is new in every page, so that no content can smuggle in elements to release. A held address in a
// style sheet has gate-N.vendor.purpose+purpose: before it. The guard, where it runs, hands over a bridge.
(() => {
  'use strict';
  const { dataset, src } = document.currentScript;
  // What the guard in the head left for this script alone.
  const key = 'consentry:' + dataset.gate;
  const bridge = window[key] || {};
  delete window[key];
  const nonces = bridge.nonces || new Set([dataset.gate]);
  const base = src.replace(/\/assets\/.*/, '');
  let undecided = dataset.state === 'undecided';
  let decidedAt = dataset.decidedAt || '';
  let busy, channel;

  // What is kept from before.
  for (const name of bridge.kept ? ['localStorage', 'sessionStorage'] : []) try {
    for (const one of Object.keys(window[name])) if (bridge.kept('#' + one)) window[name].removeItem(one);
  } catch (_) { /* Not allowed here. */ }

  let policy = bridge.createHTML ? bridge : { createHTML: String, createScript: String, createScriptURL: String };
  if (policy !== bridge) try {
    const same = text => text;
    policy = trustedTypes.createPolicy('consentry', { createHTML: same, createScript: same, createScriptURL: same });
  } catch (_) { /* This browser has none, or the page allows none. */ }

  // The banner, or the link after a decision: it was last in the body while frameworks that hydrate the whole
  // document may have counted its children. Once the page has loaded and none is about to any more, it goes
  // where keyboards and readers begin, and where the server's markup has it.
  let own, copy, settled, puts = 100;
  const take = notice => {
    own = notice;
    copy = own && own.cloneNode(true);
  };
  const begin = () => {
    take(bridge.own || document.querySelector('body > .consentry[data-consentry]'));
    // The guard keeps it no longer: what else comes is not its first.
    bridge.own = { matches: () => true };
    if (own) new MutationObserver(keep).observe(document, { childList: true, subtree: true });
  };
  const put = () => document.body[settled ? 'prepend' : 'append'](own);

  // A document rendered for hydration says so before the framework has come; React's root knows when it is done.
  const hydrates = () => {
    const root = document[Object.keys(document).find(name => name.startsWith('__reactContainer'))];
    try {
      return root ? root.stateNode.current.memoizedState.isDehydrated : ['__next_f', '__remixContext', '__reactRouterContext', '$_TSR'].some(name => name in window);
    } catch (_) { /* Another React's insides: the page has loaded, that must do. */ }
  };
  const settle = left => (window.requestIdleCallback || setTimeout)(() => {
    if (hydrates()) return left && setTimeout(settle, 200, left - 1);
    settled = true;
    if (!own || own.contains(document.activeElement)) return;
    const { body } = document;
    if (own.parentNode === body && body.moveBefore) body.moveBefore(own, body.firstChild);
    else put();
  }, { timeout: 1000 });
  if (document.readyState === 'complete') settle(50);
  else addEventListener('load', () => settle(50));

  // What swaps the body, or renders it anew, takes the notice away.
  const keep = () => {
    const { body } = document;
    if (!own || !body || own.parentNode === body && body.isConnected && own.hasAttribute('data-consentry') || puts-- <= 0) return;
    if (!own.hasAttribute('data-consentry')) take(copy);
    for (const other of document.querySelectorAll('body .consentry[data-consentry]')) if (other !== own) other.remove();
    put();
    const { sheet } = bridge, sheets = document.adoptedStyleSheets;
    if (sheet && ![...sheets].includes(sheet)) document.adoptedStyleSheets = [...sheets, sheet];
  };
  // In XML nothing is deferred: there the body is still to come.
  if (document.contentType === 'text/html') begin();
  else document.addEventListener('DOMContentLoaded', begin);

  // Every rule that hit must be covered. An empty marker is a vendor nobody is offered.
  const granted = (marker, { grants, vendors }) => marker && marker.split(' ').every(item => {
    const [vendor, purposes] = item.split(':');
    return typeof vendors[vendor] === 'boolean' ? vendors[vendor] : purposes.split('+').every(id => grants[id] === true);
  });

  // Gives attributes their names back, on the element itself or on its copy.
  const rename = (from, to, mark) => {
    for (const attr of [...from.attributes]) {
      const { name, value } = attr;
      if (name.startsWith(mark)) {
        from.removeAttributeNode(attr);
        // XML knows no colon in a name of ours.
        const own = name.slice(mark.length + 1).replace('.', ':');
        const typed = own === 'srcdoc' ? policy.createHTML(value) : policy.createScriptURL(value);
        if (own) to.setAttributeNS(/^xlink:/.test(own) ? 'http://www.w3.org/1999/xlink' : null, own, typed);
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

  // The guard's stand-ins for vendors' globals. Base code does nothing where it finds its global defined:
  // before a vendor's snippet is released its stand-in steps aside, afterwards the calls are handed over.
  const { all, allowed, drop } = bridge.standIns || { all: new Map() };
  const playing = () => [...all.values()].filter(it => it.gets && allowed(it));
  const define = (name, more) => Object.defineProperty(window, name, { enumerable: true, configurable: true, ...more });
  const isList = it => /^\[object Arg|^\[object Arr/.test({}.toString.call(it));
  const { push } = Array.prototype;

  // A setting tells a vendor which account and how; everything else may be an event.
  const isSetting = ({ name, args: [first] }) => {
    name = name || (isList(first) ? first[0] : first);
    return name && (name.event || name.notify || name.ea ? 0 : typeof name !== 'string' || /^(js|init|config|load|create|consent|set|require|enable|disable|hold)/.test(name));
  };

  const deliver = (it, call) => {
    const { name, path, args, on } = call, target = on && on.result || window[it.name];
    if (drop && !isSetting(call)) return;
    try {
      if (name) return call.result = path.reduce((part, key) => part[key], target)[name](...args);
      it.list ? target.push(...args) : target(...args);
    } catch (_) { /* What is there now does not take it. */ }
  };

  // Where the text of what is released defines the global, there must be none.
  const stepAside = (it, text) => {
    if (it.on && it.list) {
      const noted = new Set(it.calls.flatMap(call => call.args)), others = it.list.filter(one => !noted.has(one));
      if (it.list.push === it.push) delete it.list.push;
      it.list.length = 0;
      push.apply(it.list, others);
    }
    it.on = 0;
    const free = !it.list && !it.kept && new RegExp(`\\b(${it.names.join('|')})(['"]|\\s*=(?![=>]))`).test(text);
    for (const name of it.names) {
      const now = Object.getOwnPropertyDescriptor(window, name) || {}, ours = now.get === it.gets[name];
      const value = ours ? now.get() : now.value;
      if (free && value === it.own) delete window[name];
      else if (ours) define(name, { value, writable: true });
    }
  };

  const handOver = it => {
    const { name, own } = it, [waiting] = it.stub;
    // A snippet that waits for something itself: as without the gate, the name is free until then.
    if (!Object.getOwnPropertyDescriptor(window, name)) {
      return define(name, { get() {}, set(value) {
        define(name, { value, writable: true });
        setTimeout(handOver, 0, it);
      } });
    }
    if (own[waiting] && own !== window[name]) push.apply(it.calls, own[waiting].splice(0).map(args => ({ args })));
    for (const call of it.calls.splice(0)) deliver(it, call);
  };

  // What earlier scripts put into a queue keeps its place before what is released now; a script that runs
  // when it has come is no earlier one. `text` is that of an inline script.
  const before = (marker, element, text) => {
    for (const it of playing()) {
      if (!it.owners.some(([vendor, ids]) => marker.split(' ').includes(vendor + ':' + ids.join('+')))) continue;
      stepAside(it, text);
      it.kept = it.kept || !text;
      if (it.list) it.calls = it.calls.filter(({ script, args }) => !script || !script.isConnected || script.async || script.defer
        || !(script.compareDocumentPosition(element) & 4) || deliver(it, { args }));
    }
  };

  // A script that was parsed never runs again: a copy does. Resolves when the next one may run.
  const run = ([old, type, external, mark]) => new Promise(done => {
    const copy = document.createElementNS(old.namespaceURI, 'script');
    const text = old.textContent;
    const address = old.getAttribute(mark + '-src') || '';
    before(old.getAttribute(mark), old, /^\s*data:/i.test(address) ? unescape(address) : external ? '' : text);
    rename(old, copy, mark);
    copy.nonce = old.nonce;
    copy.async = old.hasAttribute('async');
    if (text) copy['text' in copy ? 'text' : 'textContent'] = policy.createScript(text);
    const runs = type === 'module' || !old.noModule && /^$|^(text|application)\/(x-)?(java|ecma)script$/.test(type);
    const wait = external && runs && !copy.async;
    if (wait) for (const event of ['load', 'error']) copy.addEventListener(event, done);
    late(() => old.replaceWith(copy));
    setTimeout(done, wait ? 20000 : 0);
  });

  const held = /gate-([0-9a-f]{16})\.([^:]*):/g;
  // Without the page's own nonce it is text of somebody else's.
  const bare = (text, state) => text.replace(held, (all, nonce, needs) =>
    nonces.has(nonce) && granted(needs.replace(/([^.]+)\.([^.]+)\.?/g, '$1:$2 ').trim(), state) ? '' : all);

  // The sheets of the site's own that have held addresses, and those that import such a one.
  const stale = (sheet, found) => {
    try {
      for (const rule of sheet.cssRules) {
        if (sheet.href && rule.cssText.search(held) >= 0) found.add(sheet.href);
        if (rule.styleSheet) stale(rule.styleSheet, found);
      }
    } catch (_) { /* Another site's. */ }
    return found;
  };

  // Shadow trees that scripts can reach are part of the page.
  const everywhere = (selector, root = document) => [...root.querySelectorAll('*')].flatMap(element =>
    [...element.matches(selector) ? [element] : [], ...element.shadowRoot ? everywhere(selector, element.shadowRoot) : []]);

  const releaseStyles = state => {
    for (const element of everywhere('[style*="gate-"],svg,svg *')) for (const { name, value } of [...element.attributes]) {
      const text = bare(value, state);
      if (text !== value) element.setAttribute(name, text);
    }
    for (const element of everywhere('style')) {
      const { textContent } = element, text = bare(textContent, state);
      if (text !== textContent) element.textContent = text;
    }
    for (const sheet of document.styleSheets) {
      const found = [...stale(sheet, new Set())], old = sheet.ownerNode;
      if (found[0]) Promise.all(found.map(href => fetch(href, { cache: 'reload' }))).then(() => {
        const copy = old.cloneNode(true);
        copy.onload = () => old.remove();
        old.after(copy);
      }).catch(() => {});
    }
  };

  // In document order; what the parser would have deferred comes last.
  const release = async state => {
    const deferred = [];
    releaseStyles(state);
    const all = [...nonces].map(nonce => 'data-gate-' + nonce).flatMap(mark => everywhere(`[${mark}]`).map(old => [old, mark]));
    for (const [old, mark] of all) {
      if (!granted(old.getAttribute(mark), state)) continue;
      try {
        if (old.localName !== 'script') {
          if (old.localName === 'style') old.removeAttribute('type');
          rename(old, old, mark);
          // These are read when they come into the page.
          if (/^(style$|set$|animate)/.test(old.localName)) old.replaceWith(old.cloneNode(true));
          if (old.localName === 'source' && old.parentNode.load) old.parentNode.load();
          continue;
        }
        const type = (old.getAttribute(mark + '-type') || '').trim().toLowerCase();
        const external = old.matches(`[src],[${mark}-src],[href],[${mark}-href],[${mark}-xlink\\:href],[${mark}-xlink\\.href]`);
        // Such a script runs from the next page on.
        if (!external && /\bdocument\s*\.\s*(write|writeln|open)\s*\(/.test(old.textContent)) continue;
        const item = [old, type, external, mark];
        if (!old.hasAttribute('async') && (type === 'module' || external && old.hasAttribute('defer'))) deferred.push(item);
        else await run(item);
      } catch (_) { /* What the page's own policy forbids does not stop the others. */ }
    }
    for (const item of deferred) await run(item).catch(() => {});
    playing().forEach(handOver);
  };

  const apply = state => {
    undecided = false;
    decidedAt = state.decided_at || '';
    const { content } = own && own.querySelector('template[data-consentry-choices]') || {};
    if (content) {
      const banner = own;
      take(content.firstElementChild);
      banner.replaceWith(own);
      keep();
    }
    const { grants, vendors } = state;
    // The policy of an open page cannot be widened: what is granted now comes with the page anew.
    if (dataset.contained) {
      const before = JSON.parse(dataset.contained);
      const more = Object.keys(grants).some(id => grants[id] && !before.grants.includes(id)) || Object.keys(vendors).some(id => vendors[id] && !before.vendors[id]);
      if (more) return location.reload();
    }
    if (bridge.grant) bridge.grant({ grants: { ...grants }, vendors: { ...vendors } });
    // A script that the page's code made may come before what is released in order.
    playing().forEach(it => stepAside(it));
    document.dispatchEvent(new CustomEvent('consentry:decision', { detail: { grants: { ...grants }, vendors: { ...vendors } } }));
    release(state);
  };

  const ask = async (path, init) => {
    const answer = await fetch(base + path, init);
    if (answer.status !== 200) throw answer;
    return { vendors: {}, ...await answer.json() };
  };

  // The page's own scripts may turn forms and links into requests of theirs: the notice's go first and alone.
  const ours = event => event.target.closest && event.target.closest('.consentry[data-consentry]');
  addEventListener('click', event => {
    if (ours(event)) event.stopImmediatePropagation();
  }, true);

  addEventListener('submit', event => {
    const { target: form, submitter } = event;
    const choice = submitter && submitter.value;
    if (!ours(event)) return;
    event.stopImmediatePropagation();
    if (!/^(accept|reject)_all$/.test(choice)) return;
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
  }, true);

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
  document.addEventListener('prerenderingchange', recheck);
  addEventListener('pagehide', () => {
    if (channel) channel.close();
    const { held } = bridge;
    if (dataset.report === undefined || !held || !Object.keys(held)[0]) return;
    navigator.sendBeacon(base + '/report', JSON.stringify({ held }));
    for (const rule of Object.keys(held)) delete held[rule];
  });
})();
