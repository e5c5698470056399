// Plays the globals of held vendors, so that the page's own code runs on: calls wait, callbacks are
// answered. Which globals is data. What the page itself puts under such a name stays the page's. On a grant
// gate.js makes them step aside and hands the calls over; until then nobody needs that part. Only listed methods are there: a Proxy would answer to
// everything, also to the questions by which base code finds out whether it ran before.
{
  const CALLS_MAX = 500;
  const all = new Map(), { push } = [], given = fn => typeof fn === 'function';
  const define = (name, more) => Object.defineProperty(window, name, { enumerable: true, configurable: true, ...more });
  const isList = it => /^\[object Arg|^\[object Arr/.test({}.toString.call(it));

  // Navigation may wait for it. The vendor, once it gets the call, cannot answer a second time.
  const answer = (fn, that) => {
    const run = function () {
      const now = fn;
      fn = 0;
      if (now) return now.apply(this, arguments);
    };
    setTimeout(() => { try { run.call(that); } catch (_) { /* It is not asked by whom it expects. */ } }, 1);
    return run;
  };

  // Functions from a place on, and those with a known name in objects; never in the page's own object,
  // which it may use again. What listens (`on`) is not answered.
  const answered = (args, from, name = args[0]) => {
    for (let i = 0; i < args.length; i++) {
      let it = args[i];
      if (given(it)) {
        if (i >= from && !/^o(n|ff)/.test(name)) args[i] = answer(it, args[i + 1]);
      } else if (it && typeof it === 'object' && !isList(it)) {
        for (const key of ['eventCallback', 'event_callback', 'hitCallback', 'commandCallback', 'callback']) {
          if (given(it[key])) args[i] = it = { ...it, [key]: answer(it[key]) };
        }
      }
    }
    return args;
  };

  const note = (it, args, from, more) => {
    const call = { args: answered(args, from, more && more.name), script: document.currentScript, ...more };
    if (it.calls.length < CALLS_MAX) it.calls.push(call);
    return call;
  };

  const play = {
    // In a queue an `arguments` object is a call; an array may carry functions for the vendor to run.
    queue: it => it.take = (list = []) => {
      it.list = list;
      it.calls = [];
      it.push = function () {
        const entries = [...arguments].map(one => Array.isArray(one) ? answered([...one], 1 / 0) : isList(one) ? answered(one, 1) : one);
        if (it.on) note(it, entries, 1 / 0);
        return push.apply(list, it.on ? entries : arguments);
      };
      Object.defineProperty(list, 'push', { value: it.push, writable: true, configurable: true });
      return list;
    },
    // Once it has stepped aside it is what base code defines: calls wait until somebody takes them.
    call: it => {
      const [waiting, taker] = it.stub;
      const own = function () {
        const now = window[it.name];
        if (it.more) (window[it.more] = window[it.more] || []).push(arguments);
        else if (it.on) note(it, arguments, 1);
        else if (now !== own && given(now)) return now.apply(this, arguments);
        else if (own[taker]) return own[taker].apply(own, arguments);
        else own[waiting].push(arguments);
      };
      own[waiting] = [];
      return own;
    },
    // A method gives an object of the same kind, whose calls are then made on what the real one gives.
    object: it => function make(on) {
      const own = [];
      for (const name of own.methods = it.more) {
        const path = name.split('.'), last = path.pop();
        path.reduce((part, key) => part[key] = part[key] || {}, own)[last] = function () {
          const call = it.on ? note(it, [...arguments], 0, { name: last, path, on }) : { name: last, path, on, args: arguments };
          if (!it.on && window[it.name] !== it.own) return path.reduce((part, key) => part[key], window[it.name])[last](...arguments);
          if (!it.on) push.call(it.own, [name, ...arguments]);
          return /^(get|is|has)/.test(last) ? undefined : make(call);
        };
      }
      return own;
    },
  };

  for (const [vendor, name, kind, aliases, more, stub, purposes] of data.standIns) {
    const it = all.get(name) || { name, names: [name, ...aliases], kind, more, stub: stub && stub[0] ? stub : ['q'], calls: [], owners: [] };
    it.owners.push([vendor, purposes]);
    all.set(name, it);
  }
  const allowed = it => it.owners.some(owner => policyAllows(...owner));

  for (const it of all.values()) {
    if (allowed(it)) continue;
    it.on = 1;
    it.gets = {};
    it.own = play[it.kind](it);
    if (it.kind !== 'call') it.own = it.own();
    for (const name of it.names) {
      let value = it.own;
      const get = () => value;
      it.gets[name] = get;
      define(name, { get, set: now => { value = it.list && Array.isArray(now) && now !== it.list ? it.take(now) : now; } });
    }
  }

  bridge.standIns = { all, allowed, drop: data.queued === 'drop' };

  // Snippets that hide a page until their vendor has come may stand anywhere below.
  const root = document.documentElement, calmed = new Set;
  const calm = () => {
    for (const [vendor, purposes, classes, styles, calls] of data.flicker) {
      if (policyAllows(vendor, purposes)) continue;
      for (const path of calls) {
        let holder, fn = window;
        for (const key of path.split('.')) [holder, fn] = [fn, fn && fn[key]];
        if (given(fn) && !calmed.has(fn)) try { calmed.add(fn); fn.call(holder); } catch (_) { /* Its own matter. */ }
      }
      for (const one of classes) if (root.classList.contains(one)) root.classList.remove(one);
      for (const id of styles) if (document.getElementById(id)) document.getElementById(id).media = 'not all';
    }
  };
  const watch = new MutationObserver(calm);
  watch.observe(root, { attributeFilter: ['class'], childList: true });
  if (document.head) watch.observe(document.head, { childList: true });
}
