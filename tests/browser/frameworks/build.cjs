// Builds the framework pages: node build.cjs PACKAGES OUT. For each framework a server-rendered document and
// its client script, as a site would serve them, written to OUT/<name>.html and OUT/<name>.js.
'use strict';
const fs = require('fs');
const path = require('path');
const [packages, out] = process.argv.slice(2);
const from = (set, name) => require(path.join(packages, set, 'node_modules', name));
const esbuild = from('others', 'esbuild');

const script = id => `https://connect.facebook.net/en_US/fbevents.js?hc=${id}.script`;
const pixel = id => `https://www.facebook.com/tr?hc=${id}.pixel&id=1234567890&ev=PageView`;
const inline = id => `(function(){var s=document.createElement('script');s.async=true;s.src='https://analytics.tiktok.com/i18n/pixel/events.js?hc=${id}.inline';document.head.appendChild(s);window.TiktokAnalyticsObject='ttq'})()`;

// The whole document belongs to React: the head, its tags, and whatever the gate put there.
const app = `
exports.app = (React, id, tags) => {
  const h = React.createElement;
  const Counter = () => {
    const [count, set] = React.useState(0);
    React.useEffect(() => { window.hydrated = true; }, []);
    return h('button', { id: 'count', onClick: () => set(count + 1) }, 'Clicked ', count);
  };
  return h('html', { lang: 'en' },
    h('head', null,
      h('meta', { charSet: 'utf-8' }),
      h('title', null, 'A small shop'),
      h('link', { rel: 'icon', href: 'data:,' }),
      h('script', { dangerouslySetInnerHTML: { __html: tags.inline } })),
    h('body', { className: 'shop' },
      h('h1', null, 'A small shop'),
      h(Counter),
      h('p', null, h('img', { src: tags.pixel, alt: '', width: 1, height: 1 })),
      h('script', { src: tags.script, defer: true })));
};
`;

const react = (set, mode) => {
  const id = `${set}-${mode}`;
  const tags = JSON.stringify({ script: script(id), pixel: pixel(id), inline: inline(id) });
  const home = path.join(packages, set, 'node_modules');
  const work = fs.mkdtempSync(path.join(out, 'work-'));
  fs.writeFileSync(path.join(work, 'app.js'), app);
  fs.writeFileSync(path.join(work, 'client.js'), `
const React = require('react');
const { hydrateRoot } = require('react-dom/client');
hydrateRoot(document, require('./app.js').app(React, '${id}', ${tags}), {
  onRecoverableError: error => console.error('recovered: ' + error.message),
});`);
  fs.writeFileSync(path.join(work, 'server.js'), `
const React = require('react');
const { renderToString } = require('react-dom/server');
process.stdout.write('<!doctype html>' + renderToString(require('./app.js').app(React, '${id}', ${tags})));`);
  const common = { bundle: true, nodePaths: [home], define: { 'process.env.NODE_ENV': JSON.stringify(mode) }, logLevel: 'error' };
  esbuild.buildSync({ ...common, entryPoints: [path.join(work, 'client.js')], outfile: path.join(out, `${id}.js`), minify: mode === 'production' });
  esbuild.buildSync({ ...common, entryPoints: [path.join(work, 'server.js')], outfile: path.join(work, 'server.out.cjs'), platform: 'node' });
  const html = require('child_process').execFileSync(process.execPath, [path.join(work, 'server.out.cjs')], { encoding: 'utf8' });
  // The client script is the last thing in the document, as servers that stream append it.
  fs.writeFileSync(path.join(out, `${id}.html`), html.replace('</body>', `</body><script src="/frameworks/${id}.js" async></script>`));
  fs.rmSync(work, { recursive: true });
};

const vue = async mode => {
  const id = `vue-${mode}`;
  const home = path.join(packages, 'others', 'node_modules');
  const source = `
exports.app = (Vue, tags) => Vue.createSSRApp({
  setup() {
    const count = Vue.ref(0);
    Vue.onMounted(() => { window.hydrated = true; });
    return () => Vue.h('main', null, [
      Vue.h('button', { id: 'count', onClick: () => { count.value++; } }, 'Clicked ' + count.value),
      Vue.h('p', null, [Vue.h('img', { src: tags.pixel, alt: '', width: 1, height: 1 })]),
      Vue.h('iframe', { src: tags.script, width: 1, height: 1 }),
    ]);
  },
});`;
  const tags = { pixel: pixel(id), script: `https://www.youtube.com/embed/M7lc1UVf-VE?hc=${id}.script` };
  const module = { exports: {} };
  new Function('exports', source)(module.exports);
  const inner = await require(path.join(home, 'vue/server-renderer')).renderToString(module.exports.app(require(path.join(home, 'vue')), tags));
  const build = mode === 'production' ? 'vue.global.prod.js' : 'vue.global.js';
  const client = `${fs.readFileSync(path.join(home, 'vue/dist', build), 'utf8')}
;(() => { const exports = {}; ${source} exports.app(Vue, ${JSON.stringify(tags)}).mount('#app'); })();`;
  fs.writeFileSync(path.join(out, `${id}.js`), client);
  fs.writeFileSync(path.join(out, `${id}.html`), `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A small shop</title>
<link rel="icon" href="data:,"><script>${inline(id)}</script></head><body><div id="app">${inner}</div>
<script src="/frameworks/${id}.js"></script></body></html>`);
};

const htmx = () => {
  const id = 'htmx-production';
  const source = fs.readFileSync(path.join(packages, 'others/node_modules/htmx.org/dist/htmx.min.js'), 'utf8');
  fs.writeFileSync(path.join(out, `${id}.js`), `${source}
;document.addEventListener('htmx:load', () => { window.hydrated = true; });`);
  fs.writeFileSync(path.join(out, `${id}.html`), `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A small shop</title>
<link rel="icon" href="data:,"><script>${inline(id)}</script><script src="/frameworks/${id}.js"></script></head>
<body hx-boost="true"><h1>A small shop</h1>
<button id="count" hx-get="/frameworks/clicked" hx-swap="innerHTML">Clicked 0</button>
<div hx-get="/frameworks/part" hx-trigger="load"></div>
<p><a id="boosted" href="/frameworks/${id}-next.html">Next</a></p></body></html>`);
  fs.writeFileSync(path.join(out, `${id}-next.html`), `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Next</title>
<script src="/frameworks/${id}.js"></script></head><body hx-boost="true"><h1>Next</h1>
<button id="count" hx-get="/frameworks/clicked" hx-swap="innerHTML">Clicked 0</button></body></html>`);
  fs.writeFileSync(path.join(out, 'part'), `<p>Part <img src="${pixel(id)}" alt="" width="1" height="1"></p><script src="${script(id)}"></script>`);
  fs.writeFileSync(path.join(out, 'clicked'), 'Clicked 1');
};

(async () => {
  fs.mkdirSync(out, { recursive: true });
  for (const mode of ['production', 'development']) {
    react('react18', mode);
    react('react19', mode);
    await vue(mode);
  }
  htmx();
})();
