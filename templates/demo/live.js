// The demo's live page. Reads `GET /events` (Server-Sent Events, one JSON object each:
// {t, kind: "held" | "sent" | "decision", vendor, what, page}) and shows it in two columns.
// `t` is milliseconds since 1970 or an RFC 3339 text. `?shop=http://…` makes a link to the shop.

const ENTRIES_MAX = 300;
const NAMES = { 'google-tag-manager': 'Google Tag Manager', 'google-analytics': 'Google Analytics', 'google-ads': 'Google Ads', 'microsoft-uet': 'Microsoft Advertising', linkedin: 'LinkedIn', tiktok: 'TikTok', hubspot: 'HubSpot', youtube: 'YouTube', x: 'X' };

const $ = (id) => document.getElementById(id);
const lists = { held: $('held'), sent: $('sent') };
const total = { held: 0, sent: 0 };
const vendors = new Map();
let only = null;
let waiting = [];

const title = (id) => NAMES[id] || id.replace(/(^|-)(\w)/g, (_, dash, letter) => (dash ? ' ' : '') + letter.toUpperCase());
const clock = (t) => new Date(t ?? Date.now()).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function entry(event) {
  const node = $(event.kind === 'decision' ? 'decision' : 'entry').content.firstElementChild.cloneNode(true);
  node.querySelector('.what').textContent = event.what ?? '';
  node.querySelector('time').textContent = clock(event.t);
  if (event.kind !== 'decision') {
    node.dataset.vendor = event.vendor;
    node.querySelector('.vendor').textContent = title(event.vendor);
    node.querySelector('.page').textContent = event.page ?? '';
    node.hidden = only !== null && only !== event.vendor;
  }
  node.classList.add('fresh');
  return node;
}

function add(list, event) {
  list.prepend(entry(event));
  while (list.children.length > ENTRIES_MAX) list.lastElementChild.remove();
}

// A vendor's chip; made at its first event, so that the row shows who is on the site's pages.
function chip(id) {
  let known = vendors.get(id);
  if (known) return known;
  const item = document.createElement('li');
  const button = item.appendChild(document.createElement('button'));
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  button.append(title(id), ' ');
  const count = (kind, label) => {
    const b = document.createElement('b');
    b.className = kind[0];
    b.title = label;
    button.append(b);
    return b;
  };
  known = { item, button, held: count('held', 'held'), sent: count('sent', 'went out'), counts: { held: 0, sent: 0 } };
  button.addEventListener('click', () => filter(only === id ? null : id));
  vendors.set(id, known);
  const after = [...$('vendors').children].find((other) => other.textContent.localeCompare(item.textContent) > 0);
  $('vendors').insertBefore(item, after ?? null);
  return known;
}

function filter(id) {
  only = id;
  vendors.forEach((known, vendor) => known.button.setAttribute('aria-pressed', String(vendor === only)));
  document.querySelectorAll('.column li[data-vendor]').forEach((node) => (node.hidden = only !== null && node.dataset.vendor !== only));
}

function count(event) {
  total[event.kind] += 1;
  const known = chip(event.vendor);
  known.counts[event.kind] += 1;
  for (const kind of ['held', 'sent']) {
    known[kind].textContent = known.counts[kind];
    known[kind].toggleAttribute('data-none', known.counts[kind] === 0);
  }
}

// Events come in bursts, a page's tags at once: they are drawn together.
function draw() {
  for (const event of waiting.splice(0)) {
    if (event.kind === 'decision') {
      Object.values(lists).forEach((list) => add(list, event));
      $('say').textContent = `Decision: ${event.what}`;
    } else if (lists[event.kind] && event.vendor) {
      add(lists[event.kind], event);
      count(event);
    }
  }
  $('held-count').textContent = total.held;
  $('sent-count').textContent = total.sent;
}

function take(message) {
  let event;
  try {
    event = JSON.parse(message.data);
  } catch {
    return; // Not ours.
  }
  if (waiting.push(event) === 1) setTimeout(draw, 60);
}

function line(state, text) {
  $('line').className = state;
  $('line-text').textContent = text;
}

$('clear').addEventListener('click', () => {
  Object.values(lists).forEach((list) => list.replaceChildren());
  $('vendors').replaceChildren();
  vendors.clear();
  total.held = total.sent = 0;
  filter(null);
  draw();
});

const shop = new URLSearchParams(location.search).get('shop');
if (shop && /^https?:\/\//.test(shop)) {
  $('shop').href = shop;
  $('shop').hidden = false;
}

const source = new EventSource('/events');
source.addEventListener('open', () => line('on', 'Listening'));
source.addEventListener('error', () => line('off', 'The demo does not answer; trying again'));
source.addEventListener('message', take);
