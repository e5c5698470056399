//! The way of one request, to be read downward. Branches are here and nowhere else.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request, response};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};
use jiff::Timestamp;
use tracing::{debug, error, warn};
use url::Url;

use super::{
    answers::{self, Looked, Suspects},
    asked::Asked,
    contain, heads, hop,
    observe::{self, Observed},
    page,
    pages::{self, Pages, Place},
    paths, peek,
    plan::{self, Kind, Plan},
    progress::Progress,
    tunnel,
    upstream::Upstream,
    worker,
};
use crate::{
    asset::Asset,
    config::{Limits, UpstreamHost},
    endpoint,
    headers::{self, AcceptedCodings, Conditionals, Origin, Sides, Variant},
    html::{self, BodyHead},
    site::{Ctx, Front, Peer, Site},
    wire::{self, Body, BodyError, CDN_LOOP, Causes, Failure},
};

/// The nonce of the markers in part of a page, for the guard in the page that asked for it.
const CONSENTRY_GATE: HeaderName = HeaderName::from_static("consentry-gate");

/// Everything a request passes through.
pub struct Pipeline {
    site: Arc<Site>,
    upstream: Upstream,
    /// The upstream's `Host`.
    authority: HeaderValue,
    origin: Origin,
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
    pub(super) variant: Variant,
    pub(super) conditionals: Conditionals,
    /// The language of its notices.
    pub(super) language: String,
    /// Names of ungranted vendors' cookies that the visitor's browser sent.
    pub(super) cut: Vec<String>,
    pub(super) sides: Option<Sides>,
    /// The page's address as the visitor sees it.
    pub(super) address: Url,
}

impl Pipeline {
    /// A pipeline to one upstream.
    pub fn new(site: Arc<Site>, upstream: Upstream, url: &Url) -> Result<Self, &'static str> {
        let origin = Origin::of(url).ok_or("the upstream is no http or https URL")?;
        let authority = url.as_str().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let authority = HeaderValue::from_str(authority).map_err(|_| "the upstream's name is no header value")?;
        let mark =
            HeaderValue::from_str(&format!("consentry-{:016x}", random().map_err(|_| "the system gives no random bytes")?));
        let mark = mark.map_err(|_| "hex digits are a header value")?;
        let pages = Pages::new(&site.config.limits).map_err(|_| "the system gives no random bytes")?;
        Ok(Self {
            site,
            upstream,
            authority,
            origin,
            mark,
            pages,
            suspects: Suspects::default(),
            told_of_proxy: AtomicBool::new(false),
        })
    }

    /// Answers a request. It never fails: each failure becomes an answer and one trace, here.
    pub async fn handle(&self, req: Request<Incoming>, peer: Peer) -> Response<Body> {
        let started = Instant::now();
        let (method, path) = (req.method().clone(), req.uri().path().to_owned());
        let asked: HeaderMap = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE]
            .into_iter()
            .filter_map(|name| req.headers().get(&name).cloned().map(|value| (name, value)))
            .collect();
        let answer = self.answer(req, peer).await;
        let resp = answer.unwrap_or_else(|failure| {
            if failure.concerns_operator() {
                error!(status = failure.status().as_u16(), "{}", Causes(&failure));
            } else {
                debug!(status = failure.status().as_u16(), "{}", Causes(&failure));
            }
            endpoint::failure_page(&self.site.snapshot().notices, &asked, &failure)
        });
        debug!(%method, path, status = resp.status().as_u16(), ms = started.elapsed().as_millis(), "answered");
        resp
    }

    async fn answer(&self, mut req: Request<Incoming>, peer: Peer) -> Result<Response<Body>, Failure> {
        if req.method() == Method::CONNECT {
            return Err(Failure::MethodNotAllowed { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" });
        }
        if !framed_plainly(req.headers()) {
            return Err(Failure::BadRequest("Transfer-Encoding is anything but chunked"));
        }
        let front = Front::of(&req, peer, &self.site.config.trusted_proxies)?;
        self.tell_of_proxy(&front, req.headers(), peer);
        let ctx = Ctx::open(Arc::clone(&self.site), front, req.headers(), Timestamp::now());
        let path = req.uri().path().to_owned();
        if let Some(own) = endpoint::own_path(&path, &self.site.config.prefix) {
            return endpoint::answer(ctx, req.map(|body| body.map_err(BodyError::from).boxed_unsync()), own).await;
        }
        // Another protocol begins with a request that has no body; one that has is an ordinary request.
        let protocol = hop::wanted_upgrade(req.headers()).filter(|_| req.body().is_end_stream());
        let upgrade = protocol.map(|protocol| (protocol, hyper::upgrade::on(&mut req)));
        let (head, body) = req.into_parts();
        let prepared = self.prepare(&ctx, head, peer)?;
        if let Some(rules) = paths::held(&ctx, &prepared) {
            let body = body.map_err(BodyError::from).boxed_unsync();
            return Ok(paths::instead(&ctx, &prepared, &rules, body).await);
        }
        if let Some((protocol, visitor)) = upgrade {
            return self.change_protocol(&ctx, prepared, protocol, visitor).await;
        }
        let (body, progress) = Progress::watch(body, Limits::seconds(self.site.config.limits.body_idle_s));
        let resp = self.upstream.send(Request::from_parts(forwarded(&prepared.head), body), &progress).await?;
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
        let variant = match guard {
            Some(guard) => Variant::new(&guard.hash),
            None => Variant::new(&ctx.variant(&[&language, asked.part()])),
        };
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        // Not joined: `//a` is a path here and would be a host there.
        let mut address = ctx.front.origin.clone();
        address.set_path(head.uri.path());
        address.set_query(head.uri.query());
        head.uri = target.parse::<Uri>().map_err(|_| Failure::BadRequest("the target is no path"))?;
        head.version = Version::HTTP_11;

        hop::strip(&mut head.headers);
        head.headers.remove(header::EXPECT);
        ctx.front.forward(&mut head.headers, peer.ip());
        head.headers.append(CDN_LOOP, self.mark.clone());
        let sides = self.localize(ctx, &mut head.headers);
        let cut = heads::withhold(ctx, treatment, &mut head.headers);
        let conditionals = match treatment {
            Treatment::Gate => {
                let foreign = asked.page || guard.is_some() || self.suspects.hold(&head.uri);
                headers::prepare_conditionals(&mut head.headers, &variant, foreign)
            }
            Treatment::Observe | Treatment::Exempt => Conditionals::default(),
        };
        if treatment != Treatment::Exempt {
            headers::limit_accept_encoding(&mut head.headers);
        }
        if guard.is_some() {
            worker::prepare(&mut head.headers);
        }
        Ok(Prepared { head, asked, treatment, accepted, language, variant, conditionals, cut, sides, address })
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

    /// The upstream's own name, unless the site behind wants the visitor's.
    fn localize(&self, ctx: &Ctx, headers: &mut HeaderMap) -> Option<Sides> {
        let front = Origin::of(&ctx.front.origin)?;
        let sides = Sides { front, upstream: self.origin.clone() };
        match self.site.config.upstream_host {
            UpstreamHost::Visitor => {
                if let Ok(host) = HeaderValue::from_str(&ctx.front.authority) {
                    headers.insert(header::HOST, host);
                }
            }
            UpstreamHost::Upstream => {
                headers.insert(header::HOST, self.authority.clone());
                headers::localize_request(headers, &sides);
            }
        }
        Some(sides)
    }

    /// WebSocket and other protocols: joined only after the upstream's own 101.
    async fn change_protocol(
        &self,
        ctx: &Ctx,
        mut prepared: Prepared,
        protocol: HeaderValue,
        visitor: OnUpgrade,
    ) -> Result<Response<Body>, Failure> {
        hop::ask_upgrade(&mut prepared.head.headers, protocol);
        let mut resp = self.upstream.send_upgrade(Request::from_parts(forwarded(&prepared.head), wire::empty())).await?;
        if !tunnel::join(visitor, &mut resp) {
            return self.filter(ctx, prepared, resp).await;
        }
        let mut changed = Response::new(wire::empty());
        *changed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *changed.headers_mut() = resp.headers().clone();
        if prepared.treatment == Treatment::Gate {
            heads::filter(ctx, &prepared, changed.headers_mut());
        }
        Ok(changed)
    }

    /// Everything that changes in an answer's head, then the plan for its body.
    async fn filter(&self, ctx: &Ctx, prepared: Prepared, resp: Response<Incoming>) -> Result<Response<Body>, Failure> {
        let (mut head, body) = resp.into_parts();
        if !framed_plainly(&head.headers) {
            return Err(Failure::Unreadable("the upstream's Transfer-Encoding is anything but chunked".to_owned()));
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
        let body = body.map_err(BodyError::from).boxed_unsync();
        match prepared.treatment {
            Treatment::Exempt => return Ok(Response::from_parts(head, body)),
            Treatment::Observe => {}
            Treatment::Gate => {
                heads::filter(ctx, &prepared, &mut head.headers);
                let redirected = self.site.config.rings.headers.then(|| paths::redirected(ctx, &prepared, &head));
                if let Some(instead) = redirected.flatten() {
                    return Ok(instead);
                }
                plan::settle(&mut head.headers);
                contain::contain(ctx, &prepared, &mut head.headers);
            }
        }
        let plan = plan::of(&prepared.head.method, prepared.asked, &prepared.head.headers, &prepared.conditionals, &head);
        let (mut head, body, known) = match answers::look(ctx, &prepared, &self.suspects, head, body).await? {
            Looked::On(head, body, known) => (head, body, known),
            Looked::Instead(resp) => return Ok(resp),
        };
        match plan {
            Plan::Pass => {
                if let Some(guard) = self.worker_guard(ctx, prepared.treatment, &prepared.head) {
                    let (mut head, body) = worker::guard(head, body, guard, &self.site.config.prefix, |script| {
                        html::held_imports(ctx.policy(), &ctx.grants, &prepared.address, script)
                    })
                    .await?;
                    heads::mark(ctx, &prepared, &mut head.headers);
                    return Ok(Response::from_parts(head, body));
                }
                if known {
                    headers::mark_variant(&mut head.headers, &prepared.variant);
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
            Plan::Gate(kind) => self.gate(ctx, prepared, head, body, kind).await,
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
                let limits = page::limits(&self.site.config.limits);
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
        let limits = page::limits(&self.site.config.limits);
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

/// No transfer coding, or `chunked` alone: any other would be lost on the way (RFC 9112, 6.1).
fn framed_plainly(headers: &HeaderMap) -> bool {
    let named = headers.contains_key(header::TRANSFER_ENCODING);
    !named || wire::single(headers, &header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
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

/// The head that goes to the upstream; the original stays for reading the answer.
fn forwarded(head: &request::Parts) -> request::Parts {
    let mut copy = Request::new(()).into_parts().0;
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}
