// Played tag/<project>: starts a recording, of which only the first package is sent; one more for each event.
// The real thing POSTs the project in the body only; here the address names it as well.
(() => {
  const me = document.currentScript || document.querySelector('script[src*="clarity.ms/tag/"]');
  const project = new URL(me.src).pathname.split('/').pop();
  const waiting = (window.clarity && window.clarity.q) || [];
  if (window.clarity && window.clarity.played) return;
  let cookies = true;
  let sequence = 0;
  const id = Math.random().toString(36).slice(2, 10);
  const store = () => {
    if (!cookies) return;
    document.cookie = `_clck=${id}%5E2%5Ef8x%5E0%5E1800; path=/; max-age=${365 * 86400}; SameSite=Lax`;
    document.cookie = `_clsk=${id}%5E${Date.now()}%5E1%5E1%5Ek.clarity.ms%2Fcollect; path=/; max-age=86400; SameSite=Lax`;
  };
  const send = (event) => {
    const body = JSON.stringify({ e: ['0.8.1', ++sequence, 0, 0, project, id, id, 1, 1, 0], a: [[0, event, location.href]] });
    navigator.sendBeacon(`https://k.clarity.ms/collect?project=${project}&event=${encodeURIComponent(event)}`, body);
  };
  window.clarity = (command, ...args) => {
    if (command === 'consent' && args[0] === false) {
      cookies = false;
      document.cookie = '_clck=; path=/; max-age=0';
      document.cookie = '_clsk=; path=/; max-age=0';
    } else if (command === 'event') send(args[0]);
  };
  window.clarity.played = true;
  waiting.filter(([command]) => command === 'consent').forEach((call) => window.clarity(...call));
  store();
  send('start');
  waiting.filter(([command]) => command !== 'consent').forEach((call) => window.clarity(...call));
})();
