// Played forms/embed/v2.js: builds a form where it is asked to, and counts that it was seen.
(() => {
  const create = ({ portalId, formId, target }) => {
    const form = document.createElement('form');
    form.className = 'hs-form';
    form.method = 'post';
    form.action = `https://forms.hsforms.com/submissions/v3/public/submit/formsnext/multipart/${portalId}/${formId}`;
    form.innerHTML = '<p><label>Your e-mail address <input type="email" name="email" required></label></p><p><button>Send</button></p>';
    const place = target ? document.querySelector(target) : document.body;
    place.appendChild(form);
    new Image().src = `https://forms.hsforms.com/embed/v3/counters.gif?key=forms-embed-v2-success&portal=${portalId}&form=${formId}`;
  };
  window.hbspt = window.hbspt || {};
  window.hbspt.forms = { create };
})();
