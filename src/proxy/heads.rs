//! Everything that changes in the heads of a request and of its answer, outside caching and framing.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tracing::debug;

use super::{
    asked::Ahead,
    page,
    pipeline::{Prepared, Treatment},
};
use crate::{
    headers::{self, Coding, csp},
    site::{Ctx, OWN_COOKIES},
    wire::Failure,
};

const X_DNS_PREFETCH_CONTROL: HeaderName = HeaderName::from_static("x-dns-prefetch-control");

/// Takes from a request what ungranted vendors would get by it, and the gate's own cookies in any case.
/// Returns the names of the vendors' cookies.
pub(super) fn withhold(ctx: &Ctx, treatment: Treatment, head: &mut HeaderMap) -> Vec<String> {
    if treatment != Treatment::Gate || !ctx.site.config.rings.headers {
        return headers::cut_own_cookies(head, &OWN_COOKIES);
    }
    headers::withhold_features(head, ctx.policy(), &ctx.grants);
    headers::cut_request_cookies(head, ctx.policy(), &ctx.grants, &OWN_COOKIES)
}

/// Everything in an answer's head that would let a vendor in.
pub(super) fn filter(ctx: &Ctx, prepared: &Prepared, head: &mut HeaderMap) {
    if !ctx.site.config.rings.headers {
        return headers::filter_own_set_cookie(head, &OWN_COOKIES);
    }
    let (policy, grants, base) = (ctx.policy(), &ctx.grants, &prepared.address);
    let cookies = headers::filter_set_cookie(head, policy, grants, &OWN_COOKIES);
    let features = headers::cut_features(head, policy, grants);
    let cut = [
        headers::filter_link(head, policy, grants, base),
        headers::filter_refresh(head, policy, grants, base),
        headers::filter_reporting(head, policy, grants, base),
        csp::filter_reports(head, policy, grants, base),
    ]
    .concat();
    if !cookies.is_empty() || !cut.is_empty() || !features.is_empty() {
        debug!(cookies = cookies.len(), headers = cut.len() + features.len(), "cut from a head");
    }
}

/// The head of a page that is this visitor's variant.
pub(super) fn mark(ctx: &Ctx, prepared: &Prepared, head: &mut HeaderMap) {
    headers::mark_variant(head, prepared.variant(ctx));
    headers::append_vary(head, &["Cookie", "Accept-Language", "Accept-Encoding"]);
    // What was fetched ahead may be shown for minutes without a question, by browsers that take it for
    // fresh: then with a banner that has been answered, or without the one that is due (a hint's fetch
    // is no top-level one). A page that runs out of sight is alive, and asks again when it is shown.
    if Ahead::of(&prepared.head.headers) == Ahead::Fetched {
        headers::forbid_storing(head);
    }
    if ctx.site.config.rings.headers {
        headers::deny_features(head, ctx.policy(), &ctx.grants);
        deny_lookups(ctx, head);
    }
}

/// On plain HTTP browsers look up the names of all links of a page ahead of a click. A vendor with a
/// name for each site, or for each visitor, learns from its own name server who reads the page; so they
/// do not, while anything that is asked for is not granted. Over HTTPS they do so only where the site
/// wishes it, and what the site says itself stays in any case: hints to vendors are cut where they stand.
fn deny_lookups(ctx: &Ctx, head: &mut HeaderMap) {
    let open = ctx.policy().asked().is_subset(ctx.grants.purposes) && ctx.grants.denied.is_empty();
    if !open && !ctx.front.is_https() && !head.contains_key(X_DNS_PREFETCH_CONTROL) {
        head.insert(X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off"));
    }
}

/// Room in the site's policy for the gate's own scripts and, in a page that fills a tab, for the notice.
pub(super) fn admit_own(ctx: &Ctx, head: &mut HeaderMap) -> Result<(), Failure> {
    csp::amend_headers(head, &page::needs(ctx)?);
    Ok(())
}

/// The end of ungranted vendors' cookies, for a page that fills a tab.
pub(super) fn expire_cookies(ctx: &Ctx, prepared: &Prepared, head: &mut HeaderMap) {
    let (host, path) = (&ctx.front.host, prepared.address.path());
    let room = match ctx.state {
        None => headers::Room::page(ctx.now.subsec_nanosecond().unsigned_abs() as usize / 1_000),
        Some(_) => headers::Room::page_after_decision(),
    };
    for line in headers::expire(&prepared.cut, host, path, ctx.front.is_https(), room) {
        head.append(header::SET_COOKIE, line);
    }
}

/// Every `Content-Encoding` line; one that cannot be read counts as an unknown coding.
pub(super) fn all_codings(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines: Vec<_> = lines.collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The coding a page is sent on in: the cheapest for its size that the visitor takes. A page that came
/// uncompressed stays so: the site may have its reason (BREACH).
pub(super) fn answer_encoding(prepared: &Prepared, head: &HeaderMap) -> Option<&'static str> {
    let written = [Coding::Zstd, Coding::Brotli, Coding::Gzip, Coding::Identity];
    let came_coded = head.contains_key(header::CONTENT_ENCODING);
    came_coded.then(|| prepared.accepted.best(&written)).flatten().map(Coding::token)
}
