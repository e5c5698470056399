// Played conversion.js: reads the globals that the inline script before it set, sends one image.
(() => {
  const id = window.google_conversion_id;
  const send = (account, label, remarketing) => {
    const query = new URLSearchParams({ random: Date.now(), guid: 'ON', url: location.href });
    if (!document.cookie.includes('_gcl_au=')) document.cookie = `_gcl_au=1.1.${Math.floor(Math.random() * 2 ** 31)}.${Math.floor(Date.now() / 1000)}; path=/; max-age=${90 * 86400}; SameSite=Lax`;
    if (label) query.set('label', label);
    new Image(1, 1).src = remarketing
      ? `https://googleads.g.doubleclick.net/pagead/viewthroughconversion/${account}/?` + query
      : `https://www.googleadservices.com/pagead/conversion/${account}/?` + query;
  };
  // conversion_async.js is this file too: it offers a function and waits to be called.
  window.google_trackConversion = (options) =>
    send(options.google_conversion_id, options.google_conversion_label, options.google_remarketing_only);
  if (id) send(id, window.google_conversion_label, window.google_remarketing_only);
})();
