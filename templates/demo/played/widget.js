// Played script of buttons and embeds. What it would dress up is in the page already; it only says that it ran.
(() => {
  const ran = (window.playedWidgets = window.playedWidgets || []);
  ran.push(document.currentScript ? new URL(document.currentScript.src).hostname : 'module');
})();
