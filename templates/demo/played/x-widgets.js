// Played widgets.js: turns quoted posts into frames. No pixel.
(() => {
  const load = (root = document) =>
    root.querySelectorAll('blockquote.twitter-tweet').forEach((quote) => {
      const links = quote.querySelectorAll('a[href*="/status/"]');
      const id = links.length ? links[links.length - 1].href.split('/status/')[1].split(/[?#/]/)[0] : '0';
      const frame = document.createElement('iframe');
      frame.src = 'https://platform.twitter.com/embed/Tweet.html?id=' + id;
      frame.width = 500;
      frame.height = 220;
      frame.style.border = '0';
      frame.title = 'Post on X';
      quote.replaceWith(frame);
    });
  window.twttr = window.twttr || {};
  window.twttr.widgets = { load };
  (window.twttr._e || []).splice(0).forEach((ready) => ready(window.twttr));
  window.twttr.ready = (ready) => ready(window.twttr);
  load();
})();
