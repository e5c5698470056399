// Played <account>.js of js.hs-scripts.com: only a loader, as the real one is; the tracking script does the work.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="hs-scripts.com/"]');
  const account = me.src.match(/(\d+)\.js/)[1];
  if (document.getElementById('hs-analytics')) return;
  const script = document.createElement('script');
  script.id = 'hs-analytics';
  script.async = true;
  script.src = 'https://js.hs-analytics.net/analytics/' + Math.ceil(Date.now() / 300000) * 300000 + '/' + account + '.js';
  document.head.appendChild(script);
})();
