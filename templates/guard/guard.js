// The guard in pages, first in the head: for vendors that are not granted it stops what the page's code
// does later. What it holds is marked like what the gate holds in markup: data-gate-N="vendor:purpose …",
// data-gate-N-src for src. Nothing it does throws in the page's code.
const script = document.currentScript, { dataset, src, nonce } = script;
const mark = 'data-gate-' + dataset.gate, base = src.replace(/\/assets\/.*/, '');
const worker = base + '/assets/' + data.worker;
state = JSON.parse(dataset.state);
state.grants = Object.fromEntries(state.grants.map(id => [id, true]));
// A framework that takes over the whole document must find in the head what it rendered: the gate's style
// becomes one that no element stands for, and gate.js, deferred, runs without its element. Older browsers
// keep the style's element. In XML, where no framework does that, a deferred script without its element
// would not run.
for (const one of document.contentType === 'text/html' ? script.parentNode.querySelectorAll('[data-consentry]') : []) try {
  if (one.sheet) {
    const sheet = bridge.sheet = new CSSStyleSheet();
    sheet.replaceSync([...one.sheet.cssRules].map(rule => rule.cssText).join(''));
    document.adoptedStyleSheets.push(sheet);
  }
  one.remove();
} catch (_) { /* Such a one. */ }
script.remove();

const pending = new Set();
const { prototype } = Element;
// The natives as they are before anybody patches them.
const [get, set, drop, has, setNS] = ['getAttribute', 'setAttribute', 'removeAttribute', 'hasAttribute', 'setAttributeNS'].map(name => Function.call.bind(prototype[name]));
const html = Object.getOwnPropertyDescriptor(prototype, 'innerHTML');
const inert = document.implementation.createHTMLDocument('');

const same = text => text, types = { createHTML: same, createScript: same, createScriptURL: same };
try {
  const policy = trustedTypes.createPolicy('consentry', { ...types });
  for (const kind of Object.keys(types)) types[kind] = text => policy[kind](text);
} catch (_) { /* This browser has none, or the page allows none. */ }

// Text that the page had vouched for stays so; other text is no better for having been here.
const like = (was, text) => typeof was === 'string' ? text : types.createHTML(text);

// What loads when an attribute of an element is set.
const loads = /^((script|img|image|iframe|frame|embed|audio|video|source|track|input) src|(link|script|image|feimage|use) (xlink:)?href|object data|video poster|(body|table|t[dhr]) background|(img|image|source) srcset|link imagesrcset|iframe srcdoc|meta content|(set|animate) (to|from|by|values)|\S+ (style|ping|attributionsrc))$/i;
let changes = 0;

// An address in a style sheet with a scheme before it that nobody knows. Taking it out restores the text.
const css = text => String(text).replace(/(["'(]\s*)((?:https?:)?\/\/[^"'()\s]+)/gi, (all, before, address) => {
  const needed = blocked(address);
  return needed === undefined ? all : (changes++, before + mark.slice(5) + '.' + needed.replace(/[: ]/g, '.') + ':' + address);
});

const hold = (element, name, value, needed) => {
  const type = mark + '-type', all = [needed];
  changes++;
  // What the page's own policy forbids never comes back.
  if (name && /script|embed|object/.test(element.localName)) try { set(document.createElement(element.localName), name, value); } catch (_) { all.push(''); }
  if (has(element, mark)) all.push(get(element, mark));
  set(element, mark, all.includes('') ? '' : all.join(' '));
  if (element.localName === 'script' && !has(element, type)) {
    set(element, type, get(element, 'type') || '');
    set(element, 'type', 'text/plain');
  }
  if (name) {
    set(element, mark + '-' + name, value);
    drop(element, name);
    if (pending.size < 1e3) pending.add(element);
  }
  if (/^(script|img|link)$/.test(element.localName)) setTimeout(() => element.dispatchEvent(new Event('error')));
};

// What the addresses in a text still need; in a script, of those that load before it runs.
const lack = addresses => addresses.map(blocked).filter(needed => needed !== undefined);
const named = text => lack(String(text).replace(/\\/g, '').match(/(https?:)?\/\/[^\s"'`<>()]+/gi) || []);
const all = found => found.includes('') ? '' : found.join(' ');
const spoken = (element, text = element.textContent) => {
  const found = element.localName === 'script' && /^(module|importmap|speculationrules)$/i.test(element.type) ? named(text) : [];
  if (found[0] !== undefined) hold(element, '', '', all(found));
};

// The document in an address gets a guard like any other; what it names by itself is held with it.
const unpacked = address => {
  if (/^\s*java/i.test(address)) return [address, named(unescape(address))];
  const request = new XMLHttpRequest();
  request.open('GET', address, false);
  request.send();
  const type = request.getResponseHeader('content-type') || '', text = request.responseText;
  if (!/ml/i.test(type)) return [address, []];
  const made = /html/i.test(type) ? inside(text) : text;
  return [/^\s*blob/i.test(address) ? URL.createObjectURL(new Blob([made], { type })) : 'data:' + type.replace(/;.*/, '') + ';charset=utf-8,' + encodeURIComponent(made), named(text)];
};

// The value that may be set, or nothing where it is held.
const passed = (element, attribute, value) => {
  const name = attribute.toLowerCase();
  if (!loads.test(element.localName + ' ' + name)) return value;
  if (name === 'style') return css(value);
  if (name === 'srcdoc') return String(value).includes(src) ? value : like(value, inside(String(value)));
  const [now, found] = /frame|embed|object/.test(element.localName) && /^\s*(data|blob|java\s*script):/i.test(value) ? unpacked(String(value))
    : [value, lack(/set$|ping|attr|values/.test(name) ? String(value).split(/[\s,;]+/) : [name === 'content' ? (/^[\d.\s]+[;,\s]\s*(?:url\s*=\s*)?["']?([^"']*)/i.exec(value) || [])[1] : value])];
  if (found[0] !== undefined) return hold(element, name, value, all(found));
  if (has(element, mark + '-' + name)) drop(element, mark + '-' + name);
  return now;
};
const assign = at => (args, element, name) => {
  const value = passed(element, name || args[at - 1], args[at]);
  if (value === undefined) return () => {};
  args[at] = value;
};

// Everything in a tree that no parser of the page has seen.
const look = element => {
  for (const { name, value } of [...element.attributes || []]) {
    const may = passed(element, name, value);
    if (may !== undefined && may !== value) changes++, set(element, name, may);
  }
  if (element.localName === 'script') spoken(element);
  if (element.localName === 'style') {
    const text = css(element.textContent);
    if (text !== element.textContent) element.textContent = text;
  }
};
const scan = root => {
  for (const element of [root, ...root.querySelectorAll ? root.querySelectorAll('*') : []]) {
    if (element.content && element.content.querySelectorAll) scan(element.content);
    look(element);
  }
};

// Markup for a place: as it came unless something in it is held.
const fragment = (markup, context) => {
  if (!/src|href|data|poster|style|background|ping/i.test(markup)) return markup;
  const box = context.localName ? inert.createElementNS(context.namespaceURI, context.localName) : inert.createElement('template');
  const before = changes;
  html.set.call(box, types.createHTML(String(markup)));
  scan(box);
  return changes === before ? markup : like(markup, html.get.call(box));
};

// A document of its own, whole or the next piece of one.
const whole = markup => {
  const [doctype] = /^\s*(<!doctype[^>]*>)?/i.exec(markup);
  return doctype + fragment(markup.slice(doctype.length), /<(html|head|body)/i.test(markup) ? document.documentElement : document);
};
// In an attribute it gets a guard of its own.
const inside = markup => {
  const guard = inert.createElement('script'), now = { grants: Object.keys(state.grants).filter(id => state.grants[id]), vendors: state.vendors };
  const all = { src: types.createScriptURL(src), nonce, 'data-gate': dataset.gate, 'data-state': JSON.stringify(now) };
  for (const name of Object.keys(all)) set(guard, name, all[name]);
  return whole(markup).replace(/^(\s*<!doctype[^>]*>)?/i, doctype => doctype + guard.outerHTML);
};

// A tag may be split over several calls: what is not closed waits for the next, or for the script's end.
let rest = '';
const write = end => args => {
  const text = rest + args.map(String).join('') + end, cut = (text + '<').search(/<([a-z!/][^>]*)?$/i);
  rest = '';
  args.splice(0, args.length, like(args.every(one => typeof one !== 'string') ? args : '', whole(text.slice(0, cut))));
  args.rest = text.slice(cut);
};
const flush = (native, doc) => {
  const last = rest;
  rest = '';
  if (last) native.call(doc, types.createHTML(whole(last)));
};

// Script and style get text in many ways; an attribute's node is its value.
const text = (args, node) => {
  const place = node.nodeType === 3 ? node.parentNode : node;
  if (node.nodeType === 2 && node.ownerElement) args[0] = passed(node.ownerElement, node.name, args[0]) || '';
  else if (place && place.localName === 'style') args[0] = css(args[0]);
  else if (place) spoken(place, args[0]);
};
const node = ([attr], element) => {
  if (passed(element.localName ? element : script, attr.name, attr.value) !== attr.value) return () => null;
};
const insert = (args, parent) => args.forEach((one, at) => {
  const style = parent.localName === 'style';
  if (typeof one === 'string' && style) args[at] = css(one);
  else if (one && one.nodeType) {
    if (one.nodeType === 3 && style) one.data = css(one.data);
    if (one.ownerDocument && !one.ownerDocument.defaultView) scan(one);
    if (one.querySelectorAll) for (const it of [one, ...one.querySelectorAll('script')]) if (it.localName === 'script') spoken(it);
  }
});

const kept = text => lacking(find(keeps(text), text))[0];
const cookie = (name, value) => value && kept('@' + name.replace(/^__(Secure|(Host-)?(Http)?)-/i, '') + '=' + value);
const nothing = () => {};

const done = new WeakSet(), owners = new WeakMap();
const realm = win => {
  let fresh;
  try { fresh = win.Element.prototype; } catch (_) { return; /* Another site's. */ }
  if (done.has(fresh)) return;
  done.add(fresh);
  network(win, worker, types.createScriptURL);
  // Frames that come with a window at once: their code must not find it unguarded.
  const frames = result => {
    for (let at = win.length; at--;) realm(win[at]);
    return result;
  };
  // What stood there before is the page's own markup, and gate.js runs that in order.
  const held = place => [...(place.parentNode || place).querySelectorAll(`[${mark}]`)];
  const markup = (args, at, place, context) => {
    const was = changes;
    args[at] = fragment(args[at], context);
    if (changes > was) args.were = held(place);
  };
  const marked = (result, args, place) => {
    if (args.were) for (const element of held(place)) if (!args.were.includes(element)) pending.add(element);
    return frames(result);
  };
  const proto = name => win[name] && win[name].prototype;
  const each = (holders, methods, before, after, kind) => {
    for (const holder of holders.split(' ')) for (const method of methods.split(' ')) patch(proto(holder), method, before, after, kind);
  };
  for (const name of Object.getOwnPropertyNames(win)) {
    if (/^(HTML|SVG|MathML)\w*Element$/.test(name)) for (const it of Object.keys(proto(name))) {
      if (/^(src(set|doc)?|href|data|content|poster|ping|background|style|imageSrcset|attributionSrc)$/.test(it)) patch(proto(name), it, (args, element) => assign(0)(args, element, it));
    }
  }
  each('Element', 'setAttribute', assign(1));
  each('Element', 'setAttributeNS', assign(2));
  each('Element NamedNodeMap', 'setAttributeNode setAttributeNodeNS setNamedItem setNamedItemNS', node);
  each('Attr', 'value', text);
  each('Node CharacterData HTMLElement HTMLScriptElement', 'textContent nodeValue data innerText text', text);
  each('SVGScriptElement SVGImageElement SVGUseElement SVGFEImageElement', 'href', 0, (it, args, element) => { owners.set(it, element); return it; }, 'get');
  each('SVGAnimatedString', 'baseVal', ([value], it) => owners.has(it) && passed(owners.get(it), 'href', value) === undefined && nothing);
  each('Element ShadowRoot', 'innerHTML setHTMLUnsafe', (args, place) => markup(args, 0, place, place), marked);
  each('Element', 'outerHTML', (args, place) => { args[0] = fragment(args[0], place.parentNode); }, frames);
  each('Element', 'insertAdjacentHTML', (args, place) => markup(args, 1, place, /^(afterb|beforee)/i.test(args[0]) ? place : place.parentNode), marked);
  each('Range', 'createContextualFragment', args => { args[0] = fragment(args[0], {}); });
  each('Node Element Document DocumentFragment CharacterData Range', 'appendChild insertBefore replaceChild append prepend before after replaceWith replaceChildren moveBefore insertAdjacentElement insertNode surroundContents importNode adoptNode', insert, frames);
  const native = proto('Document').write;
  const after = (result, args, doc) => {
    rest += args.rest;
    queueMicrotask(() => flush(native, doc));
    return frames(result);
  };
  each('Document', 'write', write(''), after);
  each('Document', 'writeln', write('\n'), after);
  each('Document', 'close', (args, doc) => flush(native, doc));
  each('Document', 'cookie', ([text]) => { const [, name, value] = /^\s*([^=;]*?)\s*=\s*([^;]*)/.exec(text) || []; return cookie(name, value) && nothing; });
  each('CookieStore', 'set', ([name, value]) => cookie(name.name || name, name.value || value) && (() => Promise.resolve()));
  // Its keys are properties too.
  each('Storage', 'setItem', ([name]) => kept('#' + name) && nothing);
  each('Storage', 'getItem removeItem key clear');
  for (const name of ['localStorage', 'sessionStorage']) {
    let own;
    patch(win, name, 0, storage => {
      if (!own) raw.set(own = new Proxy(storage, {
        get: (_, key) => typeof storage[key] === 'function' ? storage[key].bind(storage) : storage[key],
        set: (_, key, value) => { if (typeof key !== 'string' || !kept('#' + key)) storage[key] = value; return true; },
      }), storage);
      return own;
    }, 'get');
  }
  each('CSSStyleSheet CSSGroupingRule', 'insertRule addRule replace replaceSync', args => args.forEach((one, at) => { if (typeof one === 'string') args[at] = css(one); }));
  each('CSSStyleDeclaration', 'cssText setProperty', args => args.forEach((one, at) => { args[at] = one && css(one); }));
  patch(win, 'FontFace', args => { if (typeof args[1] === 'string') args[1] = css(args[1]); });
  patch(win, 'Audio', args => { if (shut(args[0])) args.length = 0; });
  patch(win, 'open', ([address, name]) => name && win[name] && win[name].window && shut(address) && (() => null), other => { if (other) realm(other); return other; });
  const sends = (form, by) => shut(by && get(by, 'formaction') || get(form, 'action') || '');
  each('HTMLFormElement', 'submit', (args, form) => sends(form) && nothing);
  win.addEventListener('submit', event => { if (sends(event.target, event.submitter)) event.preventDefault(); }, true);
  each('Navigator', 'sendBeacon', ([address]) => shut(address) && (() => true));
  each('Worklet', 'addModule', ([address]) => shut(address) && (() => Promise.resolve()));
  each('HTMLIFrameElement HTMLFrameElement HTMLObjectElement HTMLEmbedElement', 'contentWindow contentDocument', 0, result => { if (result) realm(result.defaultView || result); return result; }, 'get');
  return frames;
};

// Part of a page has a nonce of its own.
const nonces = bridge.nonces = new Set([dataset.gate]);
const heard = headers => headers && nonces.add(headers);
bridge.answered = answer => {
  answer.then(({ headers }) => heard(headers.get('consentry-gate')), nothing);
  return answer;
};
const arrived = ({ target }) => { if (target.responseURL.startsWith(location.origin + '/')) heard(target.getResponseHeader('consentry-gate')); };
bridge.opened = (result, args, request) => { request.addEventListener('load', arrived); };
bridge.grant = next => {
  state = next;
  const windows = [...Array(window.length).keys()].map(at => window[at]);
  for (const one of windows) try {
    for (const element of one.document.querySelectorAll(`[${mark}]`)) pending.add(element);
  } catch (_) { /* Another site's. */ }
  for (const element of [...pending]) {
    const needed = get(element, mark);
    if (!needed || !needed.split(' ').every(item => policyAllows(item.split(':')[0], item.split(':')[1].split('+')))) continue;
    pending.delete(element);
    for (const { name, value } of [...element.attributes]) if (name.startsWith(mark)) {
      drop(element, name);
      const own = name.slice(mark.length + 1);
      if (own) setNS(element, own === 'xlink:href' ? 'http://www.w3.org/1999/xlink' : null, own, own === 'srcdoc' ? types.createHTML(value) : types.createScriptURL(value));
    }
    if (element.localName === 'source' && element.parentNode.load) element.parentNode.load();
  }
  for (const one of windows) try { one['consentry:' + dataset.gate].grant(next); } catch (_) { /* Another site's, or one that asks for itself. */ }
};
Object.assign(bridge, types);
Object.defineProperty(window, 'consentry:' + dataset.gate, { value: bridge, configurable: true });

bridge.kept = kept;

// Such a framework counts a body's children from its start and leaves alone what follows its own: until
// gate.js takes over, the banner is the last of them whenever a script runs.
let moves = 500;

const frames = realm(window);
new MutationObserver(list => {
  for (const { target, addedNodes, type } of list) {
    if (type === 'attributes') {
      const now = get(target, 'style'), then = now && css(now);
      if (then !== now) set(target, 'style', then);
    }
    for (const one of addedNodes) if (one.nodeType === 1) {
      look(one);
      if (target === document.body && has(one, 'data-consentry')) bridge.own = bridge.own || one;
    }
  }
  frames();
  const { own } = bridge, { body } = document;
  if (moves && own && body && body.lastChild !== own && !own.matches(':focus-within')) moves--, body.append(own);
}).observe(document, { childList: true, subtree: true, attributeFilter: ['style'] });
