// The first part of the guard in pages and of its half in workers: what an address needs, whether that
// is granted, and the calls that send something from either. Before it stands `const data`.
let state = { grants: {}, vendors: {} };
const undeclared = new Set();

// `data.rules`: a vendor a line, `!` before one that nobody is offered, then its rules: purposes, a letter
// each, hosts, and a pattern in the shorthand of src/browser/data.rs. Under each host stand the rules for
// it, under '' those for every host, behind one look at all of them; cookies and keys under how they begin.
// Expressions are made when they are first needed: most pages need few.
const short = { '.': '\\.', '*': '[^\n]*', '~': '\n', '?': '([^]*\n)?(', '!': '(?![^]*\n(', '&': '(?=[^]*\n(' };
const index = new Map(), under = key => index.get(key) || [];
let order = 0;
for (const line of data.rules.split('\n')) {
  const [id, ...rules] = line.split(';'), vendor = id.replace('!', '');
  if (id !== vendor) undeclared.add(vendor);
  for (const rule of rules) {
    const [, letters, hosts, pattern] = /^([A-~]+)(\.[^/@#*(?!&]*)?(.*)/.exec(rule);
    const hit = [vendor, [...letters].map(letter => data.purposes[letter.charCodeAt() - 65])];
    const add = (key, pattern) => index.set(key, [...under(key), { order: order++, hit, pattern: '^' + pattern.replace(/[.*~?!&]/g, it => short[it]) }]);
    if (/^[@#]/.test(pattern)) for (const one of pattern.split('|')) add(/^.[^*\\]{2}/.test(one) ? one.slice(0, 3) : one[0], one + '$');
    else for (const key of (hosts || '.').slice(1).split('|')) add(key, pattern);
  }
}
const matches = (one, text) => (one.regex = one.regex || RegExp(one.pattern)).test(text);
const any = { pattern: under('').map(rule => rule.pattern).join('|') || '$^' };
const anywhere = text => matches(any, text) ? under('') : [], keeps = text => [...under(text[0]), ...under(text.slice(0, 3))];

// The first rule of a vendor that matches speaks, and every vendor that has one.
const find = (rules, text) => {
  const hits = new Map();
  for (const one of rules.sort((a, b) => a.order - b.order)) if (!hits.has(one.hit[0]) && matches(one, text)) hits.set(...one.hit);
  return [...hits];
};
// Pages name the same few hosts over and over.
const byHost = new Map();
const rulesFor = host => {
  // A country's ending is one key for all of them.
  if (!byHost.has(host)) byHost.set(host, [...new Set([host, host.replace(/\.[^.]+$/, '%'), host.replace(/\.(com?|net?|org?)\.[a-z][a-z]$/, '%')])]
    .flatMap(name => name.split('.').flatMap((_, at, labels) => under(labels.slice(at).join('.')))));
  return byHost.get(host);
};
const needs = address => {
  let url;
  try {
    // Most of what pages make themselves has no host.
    if (/^(data|blob):/.test(address)) return null;
    url = new URL(address, self.document ? document.baseURI : location);
  } catch (_) { return null; }
  const host = url.hostname.replace(/(\.localhost)?\.*$/, '');
  if (!host) return null;
  const text = [unescape(url.pathname).replace(/\/\/+/g, '/'), ...[...url.search && url.searchParams].map(pair => pair.join('=')), ''].join('\n');
  const hits = find([...anywhere(text), ...rulesFor(host)], text);
  return hits[0] ? hits : null;
};

const policyAllows = (vendor, purposes) => !undeclared.has(vendor)
  && (typeof state.vendors[vendor] === 'boolean' ? state.vendors[vendor] : purposes.every(id => state.grants[id] === true));
const lacking = hits => (hits || []).filter(hit => !policyAllows(...hit));

// What an address still needs, as markers say it: '' is never. Nothing where it may be loaded.
const once = new Map(), raw = new WeakMap();
const bridge = { held: {} };
const blocked = address => {
  const hits = lacking(needs(address));
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
  key = key || (own && own.set ? 'set' : 'value');
  const native = own && own.configurable && own[key];
  if (!native) return;
  if (!once.has(name)) once.set(name, native);
  const call = (how, args, target) => {
    let instead;
    target = raw.get(target) || target;
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
  for (const name of Object.keys(native.prototype)) {
    const value = /^(send|close)$/.test(name) ? () => {} : name === 'readyState' ? native.CLOSED : null;
    if (/[a-z]/.test(name)) Object.defineProperty(it, name, { value, writable: true });
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
  const blob = blobs.get(String(address)) || /^\s*(data|blob):/i.test(address) && '', module = options && options.type === 'module';
  const load = one => module ? 'import' + JSON.stringify(one) + ';' : 'importScripts(' + JSON.stringify(one) + ');';
  // One of an origin of its own could not ask what is granted.
  return blob === false ? address : URL.createObjectURL(new Blob([load(guard), blob || load(String(address))], { type: 'text/javascript' }));
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
