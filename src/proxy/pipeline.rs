//! The way of one request, to be read downward. Branches are here and nowhere else.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header, request, response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
use tracing::{debug, error, warn};
use url::Url;

use super::{
    answers::{self, Looked, Suspects},
    asked::Asked,
    closing::Closing,
    contain, heads, hop,
    listen::Held,
    methods,
    observe::{self, Observed},
    page,
    pages::{self, Pages, Place},
    paths, peek,
    plan::{self, Kind, Plan},
    progress::{self, Pace, Progress},
    tunnel::Tunnel,
    upstream::{Answer, Upstream, Upstreams},
    worker,
};
use crate::{
    asset::Asset,
    config::{Limits, UpstreamHost},
    endpoint,
    headers::{self, AcceptedCodings, Conditionals, Origin, Sides, Variant},
    html::{self, BodyHead},
    policy::Hits,
    site::{Ctx, Front, Peer, Site},
    telemetry::{Outcome, Trail, metrics::PageOutcome},
    vocab::Hash,
    wire::{self, Body, BodyError, CDN_LOOP, Causes, Failure},
};

/// The nonce of the markers in part of a page, for the guard in the page that asked for it.
const CONSENTRY_GATE: HeaderName = HeaderName::from_static("consentry-gate");

/// Everything a request passes through.
pub struct Pipeline {
    site: Arc<Site>,
    upstreams: Upstreams,
    /// This process in `CDN-Loop`.
    mark: HeaderValue,
    /// What was found in pages before.
    pages: Option<Arc<Pages>>,
    /// Where vendors' scripts were found.
    suspects: Suspects,
    /// Whether the operator was told of a proxy in front that is not trusted.
    told_of_proxy: AtomicBool,
}

/// How the gate treats a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Tags are held, cookies are cut.
    Gate,
    /// Nothing is changed, what would be held is told.
    Observe,
    /// It passes untouched.
    Exempt,
}

/// A request on its way to the upstream, and what the answer has to be read with.
pub(super) struct Prepared {
    pub(super) head: request::Parts,
    pub(super) asked: Asked,
    pub(super) treatment: Treatment,
    /// What the visitor can decode.
    pub(super) accepted: AcceptedCodings,
    /// The hash of the guard that goes before a worker's script, if it is one.
    worker: Option<Hash>,
    /// Made where it is needed: most answers are no variant of anything.
    variant: OnceLock<Variant>,
    pub(super) conditionals: Conditionals,
    /// The rules that its own address hits.
    hits: OnceLock<Hits>,
    /// The language of its notices.
    pub(super) language: String,
    /// Names of ungranted vendors' cookies that the visitor's browser sent.
    pub(super) cut: Vec<String>,
    /// Front and upstream, once it is known who answered.
    pub(super) sides: Option<Sides>,
    /// The page's address as the visitor sees it.
    pub(super) address: Url,
}

impl Prepared {
    /// Which variant of a page or worker the visitor gets.
    pub(super) fn variant(&self, ctx: &Ctx) -> &Variant {
        self.variant.get_or_init(|| variant_of(ctx, self.worker, &self.language, self.asked))
    }

    /// The rules that its own address hits: on the way there and on the way back they are the same.
    pub(super) fn hits(&self, ctx: &Ctx) -> &Hits {
        self.hits.get_or_init(|| ctx.policy().match_url(&self.address))
    }
}

fn variant_of(ctx: &Ctx, worker: Option<Hash>, language: &str, asked: Asked) -> Variant {
    Variant::new(&worker.unwrap_or_else(|| ctx.variant(&[language, asked.part()])))
}

impl Pipeline {
    /// A pipeline to the servers of a site.
    pub fn new(site: Arc<Site>, upstreams: Upstreams) -> Result<Self, getrandom::Error> {
        let mark = HeaderValue::from_str(&format!("consentry-{:016x}", random()?)).expect("hex digits are a header value");
        let pages = Pages::new(&site.shared.limits)?;
        Ok(Self { site, upstreams, mark, pages, suspects: Suspects::default(), told_of_proxy: AtomicBool::new(false) })
    }

    /// The site it leads to.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The servers behind it.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Answers a request, with what was read of who asks. It never fails: each failure becomes an
    /// answer and one trace, here.
    pub async fn handle(&self, req: Request<Incoming>, peer: Peer, front: Result<Front, Failure>) -> Response<Body> {
        let closing = Closing::open(&self.site, &req);
        let asked = Negotiated::of(req.headers());
        let answer = self.answer(req, peer, front, closing.trail()).await;
        let resp = answer.unwrap_or_else(|failure| {
            self.count(&failure, closing.trail());
            if failure.concerns_operator() {
                error!(status = failure.status().as_u16(), "{}", Causes(&failure));
            } else {
                debug!(status = failure.status().as_u16(), "{}", Causes(&failure));
            }
            endpoint::failure_page(&self.site.snapshot().notices, &asked.headers(), &failure)
        });
        closing.at_end_of(resp)
    }

    fn count(&self, failure: &Failure, trail: &Trail) {
        let metrics = &self.site.metrics;
        failure.limit().into_iter().for_each(|limit| metrics.all().limit_hit(limit));
        failure.upstream_fault().into_iter().for_each(|reason| metrics.upstream_failed(reason));
        if matches!(failure, Failure::Unreadable(_)) {
            metrics.page(PageOutcome::Refused);
        }
        // One of the gate's own paths stays that, whatever it answers.
        if trail.outcome() != Outcome::Own {
            trail.came_to(Outcome::Refused);
        }
    }

    async fn answer(
        &self,
        mut req: Request<Incoming>,
        peer: Peer,
        front: Result<Front, Failure>,
        trail: &Arc<Trail>,
    ) -> Result<Response<Body>, Failure> {
        if let Some(answer) = methods::own(&req)? {
            return Ok(answer);
        }
        if !hop::framed_plainly(req.headers()) {
            return Err(Failure::BadRequest("the length of the body is not plain"));
        }
        let front = front?;
        self.tell_of_proxy(&front, req.headers(), peer);
        let mut ctx = Ctx::open(Arc::clone(&self.site), front, req.headers(), Timestamp::now());
        ctx.trail = Arc::clone(trail);
        let path = req.uri().path().to_owned();
        if let Some(own) = endpoint::own_path(&path, &self.site.config.prefix) {
            trail.came_to(Outcome::Own);
            let answer = endpoint::answer(ctx, req.map(|body| body.map_err(BodyError::from).boxed_unsync()), own);
            // Rare branches are boxed, here and below: the future of every request has room for the largest.
            return Box::pin(answer).await;
        }
        // Another protocol begins with a request that has no body; one that has is an ordinary request.
        let protocol = hop::wanted_upgrade(req.headers()).filter(|_| req.body().is_end_stream());
        let place = req.extensions_mut().remove::<Held>();
        let upgrade = protocol.zip(place).map(|(protocol, place)| (protocol, hyper::upgrade::on(&mut req), place));
        let (head, body) = req.into_parts();
        let mut prepared = self.prepare(&ctx, head, peer)?;
        if let Some(rules) = paths::held(&ctx, &prepared) {
            trail.came_to(Outcome::Held);
            let body = body.map_err(BodyError::from).boxed_unsync();
            return Ok(Box::pin(paths::instead(&ctx, &prepared, &rules, body)).await);
        }
        if let Some((protocol, visitor, place)) = upgrade {
            return Box::pin(self.change_protocol(&ctx, prepared, protocol, Tunnel { visitor, place })).await;
        }
        let (body, progress) = Progress::watch(body, Pace::of(&self.site.shared.limits));
        let asked = Instant::now();
        let sent = self.upstreams.send(body, &progress, |upstream| self.outgoing(&ctx, &prepared.head, upstream)).await;
        let (resp, upstream) = sent.map_err(|failure| progress.blame(failure))?;
        trail.first_byte(asked.elapsed());
        prepared.sides = sides(&ctx, upstream);
        self.filter(&ctx, prepared, resp).await
    }

    /// Everything that changes in a request's head, in order.
    fn prepare(&self, ctx: &Ctx, mut head: request::Parts, peer: Peer) -> Result<Prepared, Failure> {
        if head.headers.get_all(CDN_LOOP).iter().any(|mark| mark == self.mark) {
            return Err(Failure::Loop);
        }
        let asked = Asked::of(&head.method, &head.headers);
        let treatment = self.treatment(head.uri.path());
        let accepted = headers::accepted(&head.headers);
        let language = ctx.language(&head.headers).tag().to_owned();
        let guard = self.worker_guard(ctx, treatment, &head);
        let worker = guard.map(|guard| guard.hash);
        let variant = OnceLock::new();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        // Not joined: `//a` is a path here and would be a host there.
        let mut address = ctx.front.origin.clone();
        address.set_path(head.uri.path());
        address.set_query(head.uri.query());
        if head.uri.authority().is_some() || head.uri.path_and_query().is_none() {
            head.uri = target.parse::<Uri>().map_err(|_| Failure::BadRequest("the target is no path"))?;
        }
        head.version = Version::HTTP_11;

        hop::strip(&mut head.headers);
        // The gate has answered it (HTTP/1.1), or the client goes on after a while.
        hop::strip_lookalikes(&mut head.headers);
        head.headers.remove(header::EXPECT);
        // Fields after a body would be new ground for smuggling and no site reads them: without their names in the
        // head they are not sent on (RFC 9110, 6.5.1).
        head.headers.remove(header::TRAILER);
        ctx.front.forward(&mut head.headers, peer.ip());
        head.headers.append(CDN_LOOP, self.mark.clone());
        let cut = heads::withhold(ctx, treatment, &mut head.headers);
        let conditionals = match treatment {
            Treatment::Gate => {
                let foreign = asked.page || guard.is_some() || self.suspects.hold(&head.uri);
                let current = || variant.get_or_init(|| variant_of(ctx, worker, &language, asked)).clone();
                headers::prepare_conditionals(&mut head.headers, current, foreign)
            }
            Treatment::Observe | Treatment::Exempt => Conditionals::default(),
        };
        if treatment != Treatment::Exempt {
            headers::limit_accept_encoding(&mut head.headers);
        }
        if guard.is_some() {
            worker::prepare(&mut head.headers);
        }
        Ok(Prepared {
            head,
            asked,
            treatment,
            accepted,
            language,
            worker,
            variant,
            conditionals,
            hits: OnceLock::new(),
            cut,
            sides: None,
            address,
        })
    }

    /// A proxy in front that nobody named makes every visitor one network and HTTPS invisible: the
    /// commonest mistake when the gate is placed, told once.
    fn tell_of_proxy(&self, front: &Front, headers: &HeaderMap, peer: Peer) {
        let near = match peer.ip() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        if near
            && !front.trusted
            && headers.contains_key(wire::X_FORWARDED_FOR)
            && !self.told_of_proxy.swap(true, Ordering::Relaxed)
        {
            let proxy = peer.ip();
            warn!(
                "requests come through a proxy at {proxy} that is not believed: add it to [server] trusted_proxies, or limits count all visitors as one"
            );
        }
    }

    fn treatment(&self, path: &str) -> Treatment {
        if self.site.config.exempt.contains(path) {
            Treatment::Exempt
        } else if self.site.config.observe {
            Treatment::Observe
        } else {
            Treatment::Gate
        }
    }

    /// What goes before the answer, if that is the script of a worker.
    fn worker_guard<'c>(&self, ctx: &'c Ctx, treatment: Treatment, asked: &request::Parts) -> Option<&'c Asset> {
        let on = treatment == Treatment::Gate && self.site.config.rings.guard && worker::is_asked(asked);
        on.then(|| ctx.snapshot.scripts.worker()).flatten()
    }

    /// The head that goes to an upstream, under its own name unless the site behind wants the visitor's.
    /// The original stays for another upstream, and for reading the answer.
    fn outgoing(&self, ctx: &Ctx, head: &request::Parts, upstream: &Upstream) -> request::Parts {
        let mut copy = Request::new(()).into_parts().0;
        copy.method = head.method.clone();
        copy.uri = head.uri.clone();
        copy.version = head.version;
        copy.headers = head.headers.clone();
        match self.site.config.upstream_host {
            UpstreamHost::Visitor => {
                if let Ok(host) = HeaderValue::from_str(&ctx.front.authority) {
                    copy.headers.insert(header::HOST, host);
                }
            }
            UpstreamHost::Upstream => {
                copy.headers.insert(header::HOST, upstream.authority().clone());
                if let Some(sides) = sides(ctx, upstream) {
                    headers::localize_request(&mut copy.headers, &sides);
                }
            }
        }
        copy
    }

    /// WebSocket and other protocols: joined only after the upstream's own 101.
    async fn change_protocol(
        &self,
        ctx: &Ctx,
        mut prepared: Prepared,
        protocol: HeaderValue,
        tunnel: Tunnel,
    ) -> Result<Response<Body>, Failure> {
        hop::ask_upgrade(&mut prepared.head.headers, protocol.clone());
        let sent = self.upstreams.send_upgrade(|upstream| self.outgoing(ctx, &prepared.head, upstream)).await;
        let (mut resp, upstream) = sent?;
        prepared.sides = sides(ctx, upstream);
        if resp.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.filter(ctx, prepared, resp).await;
        }
        if !hop::agrees(resp.headers(), &protocol) {
            return Err(Failure::Unreadable("the upstream changes to a protocol that nobody asked for".to_owned()));
        }
        tunnel.join(&mut resp, Limits::seconds(self.site.shared.limits.tunnel_idle_s));
        ctx.trail.came_to(Outcome::Tunnel);
        let mut changed = Response::new(wire::empty());
        *changed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *changed.headers_mut() = resp.headers().clone();
        if prepared.treatment == Treatment::Gate {
            heads::filter(ctx, &prepared, changed.headers_mut());
        }
        Ok(changed)
    }

    /// Everything that changes in an answer's head, then the plan for its body.
    async fn filter(&self, ctx: &Ctx, prepared: Prepared, resp: Response<Answer>) -> Result<Response<Body>, Failure> {
        let (mut head, body) = resp.into_parts();
        if !hop::framed_plainly(&head.headers) {
            return Err(Failure::Unreadable("the upstream does not say plainly where its answer ends".to_owned()));
        }
        // Nobody asked for another protocol, or what asked was answered by another way.
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::Unreadable("the upstream changes the protocol without being asked to".to_owned()));
        }
        hop::strip(&mut head.headers);
        // Another service for the same name (RFC 7838) is the site behind itself: browsers would go round the gate.
        head.headers.remove(header::ALT_SVC);
        head.version = Version::HTTP_11;
        if let Some(sides) = &prepared.sides {
            if headers::wants_https(&head.headers, sides) {
                warn!(
                    "the upstream redirects to its own https address: name it with https:// or the redirect leads round in circles"
                );
            }
            headers::localize_response(&mut head.headers, sides);
        }
        let body = progress::answer(body, &head.headers, &self.site.shared.limits);
        match prepared.treatment {
            Treatment::Exempt => return Ok(Response::from_parts(head, body)),
            Treatment::Observe => {}
            Treatment::Gate => {
                heads::filter(ctx, &prepared, &mut head.headers);
                let redirected = self.site.config.rings.headers.then(|| paths::redirected(ctx, &prepared, &head));
                if let Some(instead) = redirected.flatten() {
                    ctx.trail.came_to(Outcome::Held);
                    return Ok(instead);
                }
                plan::settle(&mut head.headers);
                contain::contain(ctx, &prepared, &mut head.headers);
            }
        }
        let plan = plan::of(&prepared.head.method, prepared.asked, &prepared.head.headers, &prepared.conditionals, &head);
        let (mut head, body, known) = match answers::look(ctx, &prepared, &self.suspects, head, body).await? {
            Looked::On(head, body, known) => (head, body, known),
            Looked::Instead(resp) => {
                ctx.trail.came_to(Outcome::Held);
                return Ok(resp);
            }
        };
        match plan {
            Plan::Pass => {
                if let Some(guard) = self.worker_guard(ctx, prepared.treatment, &prepared.head) {
                    let imports = |script: &_| html::held_imports(ctx.policy(), &ctx.grants, &prepared.address, script);
                    let guarded = worker::guard(head, body, guard, &self.site.config.prefix, imports);
                    let (mut head, body) = Box::pin(guarded).await?;
                    heads::mark(ctx, &prepared, &mut head.headers);
                    return Ok(Response::from_parts(head, body));
                }
                if known {
                    headers::mark_variant(&mut head.headers, prepared.variant(ctx));
                }
                Ok(Response::from_parts(head, body))
            }
            Plan::HeadOnly => {
                if prepared.treatment == Treatment::Gate {
                    heads::mark(ctx, &prepared, &mut head.headers);
                }
                Ok(Response::from_parts(head, body))
            }
            Plan::Refuse(why) if prepared.treatment == Treatment::Observe => {
                warn!(why, "this page would not be passed on");
                Ok(Response::from_parts(head, body))
            }
            Plan::Refuse(why) => Err(Failure::Unreadable(why.to_owned())),
            Plan::Gate(kind) => Box::pin(self.gate(ctx, prepared, head, body, kind)).await,
        }
    }

    /// A page: the engine between upstream and visitor, the notice in it, the head to match.
    async fn gate(
        &self,
        ctx: &Ctx,
        prepared: Prepared,
        mut head: response::Parts,
        body: Body,
        kind: Kind,
    ) -> Result<Response<Body>, Failure> {
        let is_sheet = matches!(kind, Kind::Sheet(_));
        let (body, kind) = match kind {
            Kind::Said(kind) => (body, Some(kind)),
            Kind::Sheet(kind) if prepared.treatment == Treatment::Observe => (body, Some(kind)),
            // A sheet that no rule speaks about keeps its bytes, its validators and its place in every cache. One that
            // is longer than this, or that some rule hits whatever is granted, is a variant like a page.
            Kind::Sheet(kind) => {
                let (whole, body) = peek::first(body, SHEET_BYTES_MAX).await?;
                let content_encoding = heads::all_codings(&head.headers);
                let said =
                    BodyHead { content_type: Some(&kind), content_encoding: content_encoding.as_deref(), answer_encoding: None };
                let limits = page::limits(&self.site.shared.limits);
                let page = page::page(ctx, &prepared, &head.headers)?;
                if !page.hold || whole.len() < SHEET_BYTES_MAX && html::sheet_is_plain(&whole, said, &page, &limits) {
                    return Ok(Response::from_parts(head, body));
                }
                (body, Some(kind))
            }
            // Behind a coding the engine looks.
            Kind::Unsaid if head.headers.contains_key(header::CONTENT_ENCODING) => (body, None),
            Kind::Unsaid => {
                let (first, body) = peek::first(body, html::SNIFF_BYTES).await?;
                match html::sniff(&first) {
                    Some(kind) => (body, Some(kind.essence().to_owned())),
                    None if prepared.treatment == Treatment::Observe => return Ok(Response::from_parts(head, body)),
                    None => {
                        never_a_page(&mut head.headers);
                        return Ok(Response::from_parts(head, body));
                    }
                }
            }
        };
        let page = page::page(ctx, &prepared, &head.headers)?;
        let limits = page::limits(&self.site.shared.limits);
        let on_end = page::on_end(ctx, &prepared);
        let nonce = HeaderValue::from_str(&page.nonce).map_err(|error| Failure::Internal(error.to_string()))?;
        let content_encoding = heads::all_codings(&head.headers);
        let (content_type, content_encoding) = (kind.as_deref(), content_encoding.as_deref());
        if prepared.treatment == Treatment::Observe {
            let observed =
                Observed { content_type: content_type.map(str::to_owned), content_encoding: content_encoding.map(str::to_owned) };
            return Ok(Response::from_parts(head, observe::tap(body, observed, page, limits, on_end)));
        }
        let body_head =
            BodyHead { content_type, content_encoding, answer_encoding: heads::answer_encoding(&prepared, &head.headers) };
        let place = Place { fingerprint: ctx.snapshot.fingerprint(), prefix: &self.site.config.prefix, head: body_head };
        let gated = pages::gate(self.pages.as_ref(), place, body, page, limits, on_end).await?;
        ctx.trail.came_to(Outcome::Gated);

        match gated.content_encoding {
            Some(coding) => head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding)),
            None => head.headers.remove(header::CONTENT_ENCODING),
        };
        match gated.content_type.as_deref().map(HeaderValue::from_str) {
            Some(Ok(kind)) => drop(head.headers.insert(header::CONTENT_TYPE, kind)),
            _ => never_a_page(&mut head.headers),
        }
        head.headers.remove(header::CONTENT_LENGTH);
        heads::mark(ctx, &prepared, &mut head.headers);
        if !is_sheet {
            if prepared.asked.has_scripts() {
                heads::admit_own(ctx, &mut head.headers)?;
            } else {
                // Part of a page: its markers' nonce, so that what is held in it can be released there.
                head.headers.insert(CONSENTRY_GATE, nonce);
            }
            if prepared.asked.top_level {
                heads::expire_cookies(ctx, &prepared, &mut head.headers);
            }
        }
        Ok(Response::from_parts(head, gated.body))
    }
}

/// How much of a style sheet is waited for, to see whether it can stay as it is. Those of real sites are smaller.
const SHEET_BYTES_MAX: usize = 1 << 20;

/// What decides what a failure looks like: kept while the request is used up.
pub(super) struct Negotiated([Option<HeaderValue>; 3]);

const NEGOTIATED: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE];

impl Negotiated {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(NEGOTIATED.map(|name| headers.get(name).cloned()))
    }

    pub(super) fn headers(self) -> HeaderMap {
        NEGOTIATED.into_iter().zip(self.0).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The head of a body that has no type and is no page: no browser may take it for one after all.
fn never_a_page(head: &mut HeaderMap) {
    head.remove(header::CONTENT_TYPE);
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// 64 random bits.
pub(super) fn random() -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// The two addresses of the site in a request.
fn sides(ctx: &Ctx, upstream: &Upstream) -> Option<Sides> {
    Some(Sides { front: Origin::of(&ctx.front.origin)?, upstream: upstream.origin().clone() })
}
