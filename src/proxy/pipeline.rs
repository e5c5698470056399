//! The way of one request, to be read downward. Branches are here and nowhere else.

use std::{
    net::{IpAddr, SocketAddr},
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
    asked::Asked,
    hop,
    observe::{self, Observed},
    page, peek,
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
    headers::{self, AcceptedCodings, Coding, Conditionals, Origin, Sides, Variant, csp},
    html::{self, BodyHead},
    site::{Ctx, Front, OWN_COOKIES, Site},
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
        Ok(Self { site, upstream, authority, origin, mark, told_of_proxy: AtomicBool::new(false) })
    }

    /// Answers a request. It never fails: each failure becomes an answer and one trace, here.
    pub async fn handle(&self, req: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
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

    async fn answer(&self, mut req: Request<Incoming>, peer: SocketAddr) -> Result<Response<Body>, Failure> {
        if req.method() == Method::CONNECT {
            return Err(Failure::MethodNotAllowed { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" });
        }
        if !framed_plainly(req.headers()) {
            return Err(Failure::BadRequest("Transfer-Encoding is anything but chunked"));
        }
        let front = Front::of(&req, peer.ip(), &self.site.config.trusted_proxies)?;
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
        if let Some((protocol, visitor)) = upgrade {
            return self.change_protocol(&ctx, prepared, protocol, visitor).await;
        }
        let (body, progress) = Progress::watch(body, Limits::seconds(self.site.config.limits.body_idle_s));
        let resp = self.upstream.send(Request::from_parts(forwarded(&prepared.head), body), &progress).await?;
        self.filter(&ctx, prepared, resp).await
    }

    /// Everything that changes in a request's head, in order.
    fn prepare(&self, ctx: &Ctx, mut head: request::Parts, peer: SocketAddr) -> Result<Prepared, Failure> {
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
        let cut = match treatment {
            Treatment::Gate => headers::cut_request_cookies(&mut head.headers, ctx.policy(), &ctx.grants, &OWN_COOKIES),
            Treatment::Observe | Treatment::Exempt => headers::cut_own_cookies(&mut head.headers, &OWN_COOKIES),
        };
        let conditionals = match treatment {
            Treatment::Gate => headers::prepare_conditionals(&mut head.headers, &variant, asked.page || guard.is_some()),
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
    fn tell_of_proxy(&self, front: &Front, headers: &HeaderMap, peer: SocketAddr) {
        let near = match peer.ip().to_canonical() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        if near
            && !front.trusted
            && headers.contains_key(wire::X_FORWARDED_FOR)
            && !self.told_of_proxy.swap(true, Ordering::Relaxed)
        {
            let proxy = peer.ip().to_canonical();
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
            filter_head(ctx, &prepared, changed.headers_mut());
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
            Treatment::Gate => filter_head(ctx, &prepared, &mut head.headers),
        }
        match plan::of(&prepared.head.method, prepared.asked, &prepared.conditionals, &head) {
            Plan::Pass => match self.worker_guard(ctx, prepared.treatment, &prepared.head) {
                Some(guard) => {
                    let (mut head, body) = worker::guard(head, body, guard, &self.site.config.prefix).await?;
                    mark(&mut head.headers, &prepared);
                    Ok(Response::from_parts(head, body))
                }
                None => Ok(Response::from_parts(head, body)),
            },
            Plan::HeadOnly => {
                if prepared.treatment == Treatment::Gate {
                    mark(&mut head.headers, &prepared);
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
        let (body, kind) = match kind {
            Kind::Unsaid if !head.headers.contains_key(header::CONTENT_ENCODING) => {
                let (first, body) = peek::first(body, html::SNIFF_BYTES).await?;
                if !html::is_html(&first) {
                    head.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                    return Ok(Response::from_parts(head, body));
                }
                (body, "text/html".to_owned())
            }
            Kind::Unsaid => (body, "text/html".to_owned()),
            Kind::Html(kind) => (body, kind),
        };
        let page = page::page(ctx, &prepared, &head.headers)?;
        let limits = page::limits(&self.site.config.limits);
        let on_end = page::on_end(ctx, &prepared);
        let nonce = HeaderValue::from_str(&page.nonce).map_err(|error| Failure::Internal(error.to_string()))?;
        let content_encoding = all_codings(&head.headers);
        let (content_type, content_encoding) = (Some(kind.as_str()), content_encoding.as_deref());
        if prepared.treatment == Treatment::Observe {
            let observed =
                Observed { content_type: content_type.map(str::to_owned), content_encoding: content_encoding.map(str::to_owned) };
            return Ok(Response::from_parts(head, observe::tap(body, observed, page, limits, on_end)));
        }
        let body_head = BodyHead { content_type, content_encoding, answer_encoding: answer_encoding(&prepared, &head.headers) };
        let gated = html::gate_body(body, body_head, page, limits, on_end).await;
        let gated = gated.map_err(|refusal| Failure::Unreadable(Causes(&refusal).to_string()))?;

        match gated.content_encoding {
            Some(coding) => head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding)),
            None => head.headers.remove(header::CONTENT_ENCODING),
        };
        match gated.content_type.as_deref().map(HeaderValue::from_str) {
            Some(Ok(kind)) => head.headers.insert(header::CONTENT_TYPE, kind),
            _ => head.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        };
        head.headers.remove(header::CONTENT_LENGTH);
        mark(&mut head.headers, &prepared);
        if prepared.asked.has_scripts() {
            csp::amend_headers(&mut head.headers, &page::needs(ctx)?);
        } else {
            // Part of a page: its markers' nonce, so that what is held in it can be released there.
            head.headers.insert(CONSENTRY_GATE, nonce);
        }
        if prepared.asked.top_level {
            let (host, path) = (&ctx.front.host, prepared.address.path());
            let room = match ctx.state {
                None => headers::Room::page(ctx.now.subsec_nanosecond().unsigned_abs() as usize / 1_000),
                Some(_) => headers::Room::page_after_decision(),
            };
            for line in headers::expire(&prepared.cut, host, path, ctx.front.is_https(), room) {
                head.headers.append(header::SET_COOKIE, line);
            }
        }
        Ok(Response::from_parts(head, gated.body.map_err(BodyError::from).boxed_unsync()))
    }
}

/// Every `Content-Encoding` line; one that cannot be read counts as an unknown coding.
fn all_codings(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines: Vec<_> = lines.collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// No transfer coding, or `chunked` alone: any other would be lost on the way (RFC 9112, 6.1).
fn framed_plainly(headers: &HeaderMap) -> bool {
    let named = headers.contains_key(header::TRANSFER_ENCODING);
    !named || wire::single(headers, &header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

/// The coding a page is sent on in: the cheapest for its size that the visitor takes. A page that came
/// uncompressed stays so: the site may have its reason (BREACH).
fn answer_encoding(prepared: &Prepared, head: &HeaderMap) -> Option<&'static str> {
    let written = [Coding::Zstd, Coding::Brotli, Coding::Gzip, Coding::Identity];
    let came_coded = head.contains_key(header::CONTENT_ENCODING);
    came_coded.then(|| prepared.accepted.best(&written)).flatten().map(Coding::token)
}

/// The head of a page that is this visitor's variant.
fn mark(head: &mut HeaderMap, prepared: &Prepared) {
    headers::mark_variant(head, &prepared.variant);
    headers::append_vary(head, &["Cookie", "Accept-Language", "Accept-Encoding"]);
}

/// Everything in an answer's head that would let a vendor in.
fn filter_head(ctx: &Ctx, prepared: &Prepared, head: &mut HeaderMap) {
    let (policy, grants, base) = (ctx.policy(), &ctx.grants, &prepared.address);
    let cookies = headers::filter_set_cookie(head, policy, grants, &OWN_COOKIES);
    let cut = [
        headers::filter_link(head, policy, grants, base),
        headers::filter_refresh(head, policy, grants, base),
        headers::filter_reporting(head, policy, grants, base),
        csp::filter_reports(head, policy, grants, base),
    ]
    .concat();
    if !cookies.is_empty() || !cut.is_empty() {
        debug!(cookies = cookies.len(), headers = cut.len(), "cut from a head");
    }
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
