// The first part of the guard in pages and of its half in workers: what an address needs, whether that
// is granted, and the calls that send something from either. Before it stands `const data`.
let state = { grants: {}, vendors: {} };
const undeclared = new Set();

// A vendor a line, `!` before one that nobody is offered; then its rules in the order of precedence,
// each purposes (a letter each) and patterns told apart by how they begin (src/browser/data.rs).
const vendors = data.rules.split('\n').map(line => {
  const [id, ...rules] = line.split(';'), vendor = id.replace('!', '');
  if (id !== vendor) undeclared.add(vendor);
  return [vendor, rules.map(text => {
    const [letters, ...patterns] = text.split(' ');
    const rule = { needs: [...letters].map(letter => data.purposes[letter.charCodeAt() - 65]) };
    for (const pattern of patterns) {
      const kind = pattern[0], path = /[*/]/.test(kind);
      (rule[path ? '/' : kind] ||= []).push(path || kind === '.' ? pattern : pattern.slice(1));
    }
    return rule;
  })];
});

// A star is any run of characters. The earliest place for a piece is never worse than a later one.
const like = (pattern, text) => {
  const [first, ...rest] = pattern.split('*'), last = rest.pop();
  let at = first.length;
  return last === undefined ? first === text : text.startsWith(first) && rest.every(piece => {
    const found = text.indexOf(piece, at);
    at = found + piece.length;
    return found >= 0;
  }) && text.slice(at).endsWith(last);
};
const some = (patterns, texts) => patterns.some(pattern => texts.some(text => like(pattern, text)));

// The first rule of a vendor that matches speaks, and every vendor that has one.
const needs = address => {
  let url;
  try { url = new URL(address, self.document ? document.baseURI : location); } catch (_) { return null; }
  if (!url.hostname) return null;
  const host = '.' + url.hostname.replace(/\.+$/, '').replace(/\.localhost$/, '');
  const path = [unescape(url.pathname).replace(/\/\/+/g, '/')];
  const query = [...url.searchParams].map(pair => pair.join('='));
  const named = name => [host, host.replace(/\.[^.]*$/, '.*'), host.replace(/\.(com?|net?|org?)\.\w\w$/, '.*')].some(it => it.endsWith(name));
  const hits = [];
  for (const [vendor, rules] of vendors) {
    const rule = rules.find(rule => (rule['.'] || rule['/'] || rule['&'])
      && (!rule['.'] || rule['.'].some(named))
      && (!rule['/'] || some(rule['/'], path))
      && (!rule['?'] || some(rule['?'], query))
      && (!rule['&'] || rule['&'].every(pattern => some([pattern], query)))
      && !(rule['!'] && some(rule['!'], query)));
    if (rule) hits.push([vendor, rule.needs]);
  }
  return hits[0] ? hits : null;
};

const policyAllows = (vendor, purposes) => !undeclared.has(vendor)
  && (typeof state.vendors[vendor] === 'boolean' ? state.vendors[vendor] : purposes.every(id => state.grants[id] === true));

// What an address still needs, as markers say it: '' is never. Nothing where it may be loaded.
const bridge = { held: {} };
const blocked = address => {
  const hits = (needs(address) || []).filter(hit => !policyAllows(...hit));
  for (const [vendor] of hits) bridge.held[vendor] = (bridge.held[vendor] || 0) + 1;
  if (hits[0]) return hits.some(([vendor]) => undeclared.has(vendor)) ? '' : hits.map(([vendor, ids]) => vendor + ':' + ids.join('+')).join(' ');
};
const shut = address => blocked(address && address.url || address) !== undefined;

// Puts a look at the arguments before a native function, which stays what it is to everybody else.
// `before` may change the arguments, or return what happens instead; where it fails, nothing does.
const patch = (holder, name, before, after, key) => {
  // What a worker's scope inherits stands further up.
  if (holder === self) while (holder && !Object.hasOwn(holder, name)) holder = Object.getPrototypeOf(holder);
  const own = holder && Object.getOwnPropertyDescriptor(holder, name);
  if (!own || !own.configurable) return;
  key = key || (own.set ? 'set' : 'value');
  const native = own[key];
  const call = (how, args, target) => {
    let instead;
    try { instead = before && before(args, target); } catch (_) { instead = () => {}; }
    if (instead) return instead();
    const result = how(native, ...(how === Reflect.apply ? [target, args] : [args, target]));
    return after ? after(result, args, target) : result;
  };
  own[key] = new Proxy(native, {
    apply: (_, target, args) => call(Reflect.apply, args, target),
    construct: (_, args, target) => call(Reflect.construct, args, target),
  });
  Object.defineProperty(holder, name, own);
  if (native.prototype && native.prototype.constructor === native) native.prototype.constructor = own.value;
};

// What failed to connect: its events come later, its methods do nothing.
const dead = (native, target) => {
  const it = Object.setPrototypeOf(new EventTarget, target.prototype);
  for (const [name, own] of Object.entries(Object.getOwnPropertyDescriptors(native.prototype))) {
    const value = typeof own.value === 'function' ? () => {} : name === 'readyState' ? native.CLOSED : own.get ? null : own.value;
    if (name !== 'constructor') Object.defineProperty(it, name, { value, writable: true });
  }
  setTimeout(() => ['error', 'close'].forEach(type => {
    const event = Object.assign(new Event(type), { code: 1006, reason: '' });
    if (it['on' + type]) it['on' + type](event);
    it.dispatchEvent(event);
  }));
  return it;
};

// A worker from memory gets its guard before its own text. One from an address passes the gate.
const blobs = new Map();
const guarded = ([address, options], guard) => {
  const blob = blobs.get(String(address)), module = options && options.type === 'module';
  const load = one => (module ? 'import' : 'importScripts') + `(${JSON.stringify(one)});`.replace(...module ? [/[()]/g, ' '] : ['', '']);
  return blob ? URL.createObjectURL(new Blob([load(guard), blob], { type: 'text/javascript' }))
    : /^\s*(data|blob):/i.test(address) ? 'data:text/javascript,' + encodeURIComponent(load(guard) + load(String(address))) : address;
};

const network = (win, guard, typed) => {
  const empty = value => () => Promise.resolve(value);
  patch(win, 'fetch', ([input]) => shut(input) && empty(new win.Response), bridge.answered);
  patch(win, 'fetchLater', ([input]) => shut(input) && (() => ({ activated: false })));
  patch(win.XMLHttpRequest && win.XMLHttpRequest.prototype, 'open', args => { if (shut(args[1])) args.splice(0, 2, 'GET', 'data:,'); }, bridge.opened);
  for (const name of ['WebSocket', 'EventSource', 'WebTransport']) patch(win, name, ([address], target) => shut(address) && (() => dead(win[name], target)));
  patch(win.URL, 'createObjectURL', 0, (address, [blob]) => { blobs.set(address, blob); return address; });
  patch(win.URL, 'revokeObjectURL', ([address]) => { blobs.delete(address); });
  for (const name of ['Worker', 'SharedWorker']) patch(win, name, args => {
    const address = shut(args[0]) ? 'data:,' : guarded(args, guard);
    if (address !== args[0]) args[0] = typed(address);
  });
};
