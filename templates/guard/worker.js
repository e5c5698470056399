// The guard's half in workers. It does not carry the visitor's state, which would make the script another
// for everybody: it asks. Until there is an answer nothing is granted.
const home = self.origin + prefix;
const take = ({ grants, vendors }) => { state = { grants, vendors }; };
let asked;
if (self.XMLHttpRequest) {
  try {
    const request = new XMLHttpRequest();
    request.open('GET', home + '/state', false);
    request.send();
    if (request.status === 200) take(JSON.parse(request.responseText));
  } catch (_) { /* Nothing is granted. */ }
} else {
  asked = fetch(home + '/state').then(answer => answer.json()).then(take).catch(() => {});
}
network(self, home + '/assets/' + own, String);
// A service worker cannot wait while it starts: what goes to a vendor waits for the answer.
if (asked) {
  const { fetch } = self;
  patch(self, 'fetch', args => needs(args[0] && args[0].url || args[0]) && (() => asked.then(() => fetch(...args))));
}
patch(self, 'importScripts', args => { args.splice(0, args.length, ...args.filter(address => !shut(address))); });
