//! The way of one request, to be read downward. Branches are here and nowhere else.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request, response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use jiff::Timestamp;
use tracing::{debug, error, info, warn};
use url::Url;

use super::{
    asked::Asked,
    hop,
    plan::{self, Plan},
    progress::Progress,
    tunnel,
    upstream::Upstream,
};
use crate::{
    config::{Limits, UpstreamHost},
    endpoint,
    headers::{self, AcceptedCodings, Conditionals, Origin, Sides, Variant},
    html,
    notice::Fill,
    policy::Policy,
    site::{Ctx, Front, OWN_COOKIES, Seen, Site},
    vocab::Verdict,
    wire::{self, Body, BodyError, Causes, Failure},
};

/// Everything a request passes through.
pub struct Pipeline {
    site: Arc<Site>,
    upstream: Upstream,
    /// The upstream's `Host`.
    authority: HeaderValue,
    origin: Origin,
}

/// How the gate treats a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// Tags are held, cookies are cut.
    Gate,
    /// Nothing is changed, what would be held is told.
    Observe,
    /// It passes untouched.
    Exempt,
}

/// A request on its way to the upstream, and what the answer has to be read with.
struct Prepared {
    head: request::Parts,
    asked: Asked,
    treatment: Treatment,
    accepted: AcceptedCodings,
    variant: Variant,
    conditionals: Conditionals,
    /// Names of ungranted vendors' cookies that the visitor's browser sent.
    cut: Vec<String>,
    sides: Option<Sides>,
    /// The page's address as the visitor sees it.
    address: Url,
}

impl Pipeline {
    /// A pipeline to one upstream.
    pub fn new(site: Arc<Site>, upstream: Upstream, url: &Url) -> Result<Self, &'static str> {
        let origin = Origin::of(url).ok_or("the upstream is no http or https URL")?;
        let authority = url.as_str().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let authority = HeaderValue::from_str(authority).map_err(|_| "the upstream's name is no header value")?;
        Ok(Self { site, upstream, authority, origin })
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
        let front = Front::of(&req, peer.ip(), &self.site.config.trusted_proxies)?;
        let ctx = Ctx::open(Arc::clone(&self.site), front, req.headers(), Timestamp::now());
        let path = req.uri().path().to_owned();
        if let Some(own) = endpoint::own_path(&path, &self.site.config.prefix) {
            return endpoint::answer(ctx, req.map(|body| body.map_err(BodyError::from).boxed_unsync()), own).await;
        }
        let upgrade = hop::wanted_upgrade(req.headers()).map(|protocol| (protocol, hyper::upgrade::on(&mut req)));
        let (head, body) = req.into_parts();
        let prepared = self.prepare(&ctx, head, peer)?;
        if let Some((protocol, visitor)) = upgrade {
            return self.change_protocol(&ctx, prepared, protocol, visitor).await;
        }
        let (body, progress) = Progress::watch(body, Limits::seconds(self.site.config.limits.body_idle_s));
        let resp = self.upstream.send(Request::from_parts(forwarded(&prepared.head), body), &progress).await?;
        self.filter(&ctx, prepared, resp)
    }

    /// Everything that changes in a request's head, in order.
    fn prepare(&self, ctx: &Ctx, mut head: request::Parts, peer: SocketAddr) -> Result<Prepared, Failure> {
        let asked = Asked::of(&head.method, &head.headers);
        let treatment = self.treatment(head.uri.path());
        let accepted = headers::accepted(&head.headers);
        let language = ctx.language(&head.headers).tag().to_owned();
        let variant = Variant::new(ctx.variant(&[&language, if asked.top_level { "top" } else { "part" }]));
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let address = ctx.front.origin.join(target).map_err(|_| Failure::BadRequest("the target is no path"))?;
        head.uri = target.parse::<Uri>().map_err(|_| Failure::BadRequest("the target is no path"))?;
        head.version = Version::HTTP_11;

        hop::strip(&mut head.headers);
        head.headers.remove(header::EXPECT);
        ctx.front.forward(&mut head.headers, peer.ip());
        let sides = self.localize(ctx, &mut head.headers);
        let grants = match treatment {
            Treatment::Gate => ctx.grants,
            Treatment::Observe | Treatment::Exempt => ctx.policy().everything(),
        };
        let cut = match treatment {
            Treatment::Gate => headers::cut_request_cookies(&mut head.headers, ctx.policy(), &grants, &OWN_COOKIES),
            Treatment::Observe | Treatment::Exempt => {
                headers::cut_own_cookies(&mut head.headers, &OWN_COOKIES);
                Vec::new()
            }
        };
        let conditionals = match treatment {
            Treatment::Gate => headers::prepare_conditionals(&mut head.headers, &variant, asked.page),
            Treatment::Observe | Treatment::Exempt => Conditionals::Untouched,
        };
        if treatment != Treatment::Exempt {
            headers::limit_accept_encoding(&mut head.headers);
        }
        Ok(Prepared { head, asked, treatment, accepted, variant, conditionals, cut, sides, address })
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
    async fn change_protocol(&self, ctx: &Ctx, mut prepared: Prepared, protocol: HeaderValue, visitor: OnUpgrade) -> Result<Response<Body>, Failure> {
        hop::ask_upgrade(&mut prepared.head.headers, protocol);
        let mut resp = self.upstream.send_upgrade(Request::from_parts(forwarded(&prepared.head), wire::empty())).await?;
        if !tunnel::join(visitor, &mut resp) {
            return self.filter(ctx, prepared, resp);
        }
        let mut changed = Response::new(wire::empty());
        *changed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *changed.headers_mut() = resp.headers().clone();
        Ok(changed)
    }

    /// Everything that changes in an answer's head, then the plan for its body.
    fn filter(&self, ctx: &Ctx, prepared: Prepared, resp: Response<Incoming>) -> Result<Response<Body>, Failure> {
        let (mut head, body) = resp.into_parts();
        hop::strip(&mut head.headers);
        head.version = Version::HTTP_11;
        if let Some(sides) = &prepared.sides {
            if headers::wants_https(&head.headers, sides) {
                warn!("the upstream redirects to its own https address: name it with https:// or the redirect leads round in circles");
            }
            headers::localize_response(&mut head.headers, sides);
        }
        let body = body.map_err(BodyError::from).boxed_unsync();
        match prepared.treatment {
            Treatment::Exempt => return Ok(Response::from_parts(head, body)),
            Treatment::Observe => {}
            Treatment::Gate => filter_head(ctx, &prepared, &mut head.headers),
        }
        match plan::of(&prepared.head.method, prepared.asked, prepared.conditionals, &head) {
            Plan::Pass => Ok(Response::from_parts(head, body)),
            Plan::HeadOnly => {
                if prepared.treatment == Treatment::Gate {
                    headers::mark_variant(&mut head.headers, &prepared.variant);
                }
                Ok(Response::from_parts(head, body))
            }
            Plan::Refuse(why) if prepared.treatment == Treatment::Observe => {
                warn!(why, "this page would not be passed on");
                Ok(Response::from_parts(head, body))
            }
            Plan::Refuse(why) => Err(Failure::Unreadable(why.to_owned())),
            Plan::Gate => self.gate(ctx, prepared, head, body),
        }
    }
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
