// Played sdk.js, the social SDK: turns like boxes and embedded posts into frames. No pixel.
(() => {
  if (window.FB) return;
  const frame = (host, plugin) => {
    const el = document.createElement('iframe');
    el.src = `https://www.facebook.com/plugins/${plugin}.php?href=${encodeURIComponent(host.dataset.href || location.href)}`;
    el.width = host.dataset.width || 340;
    el.height = 80;
    el.style.border = '0';
    host.replaceChildren(el);
  };
  const parse = (root = document) => {
    root.querySelectorAll('.fb-like').forEach((el) => frame(el, 'like'));
    root.querySelectorAll('.fb-page').forEach((el) => frame(el, 'page'));
    root.querySelectorAll('.fb-post').forEach((el) => frame(el, 'post'));
  };
  window.FB = { init: (options) => options && options.xfbml && parse(), XFBML: { parse }, Event: { subscribe() {} } };
  if (window.fbAsyncInit) window.fbAsyncInit();
  else parse();
})();
