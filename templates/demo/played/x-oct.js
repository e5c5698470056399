// Played oct.js, the conversion script of before 2023: a call for each conversion, no queue.
(() => {
  const trackPid = (pid) => {
    const query = new URLSearchParams({ p_id: 'Twitter', p_user_id: '0', txn_id: pid, tw_document_href: location.href, type: 'javascript', version: '1.1.0' });
    new Image().src = 'https://t.co/i/adsct?' + query;
  };
  window.twttr = window.twttr || {};
  window.twttr.conversion = { trackPid };
})();
