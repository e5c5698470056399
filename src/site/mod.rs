//! A site: what its requests share ([`Site`]), and one request's view of policy, clock and grants
//! ([`Ctx`]). The only place that mints a consent cookie, and only from a [`Recorded`].

mod bots;
mod front;
mod limiter;
mod reports;
mod seen;
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ::cookie::{Cookie, SameSite};
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, header};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use quick_cache::sync::Cache;

pub use bots::is_declared_bot;
pub use front::{Front, Peer};
pub use limiter::Limiter;
pub use reports::{Blocked, Counted, DIRECTIVES, HostCount, Reports};
pub use seen::{Seen, SeenTag};
pub use shared::{Shared, Sites, UpstreamState};

use crate::{
    browser::Scripts,
    config::SiteConfig,
    consent::{VisitorState, cookie, token},
    consent_log::Recorded,
    headers::csp::{Setting, Wall},
    notice::{Language, Notices},
    policy::Policy,
    telemetry::{Trail, metrics::SiteMetrics},
    vocab::{Grants, Hash, SubjectId},
    wire::{self, SEC_GPC},
};

/// The consent cookie over HTTPS: no subdomain can set or shadow it (RFC 6265bis, 4.1.3.2).
const COOKIE_HTTPS: &str = "__Host-consentry";
/// The consent cookie over plain HTTP: never accepted over HTTPS.
const COOKIE_HTTP: &str = "consentry";
/// Every name the gate's cookie can have: the site behind never sees one and never sets one.
pub const OWN_COOKIES: [&str; 3] = [COOKIE_HTTPS, "__Secure-consentry", COOKIE_HTTP];

/// The name in metrics and access log of a site that has none by its configuration.
const SITE: &str = "default";

fn told_name(config: &SiteConfig) -> String {
    if config.hosts.is_empty() { SITE.to_owned() } else { config.name() }
}

/// What the requests to one site share.
pub struct Site {
    /// Its checked configuration.
    pub config: SiteConfig,
    /// What it shares with the other sites of this process.
    pub shared: Arc<Shared>,
    /// What browsers reported.
    pub reports: Arc<Reports>,
    /// What is counted of it.
    pub metrics: SiteMetrics,
    /// What pages were seen to carry: for `--observe` and for the demo's live page.
    pub seen: seen::Sender,
    snapshot: ArcSwap<Snapshot>,
}

/// Policy, notices and scripts that belong together: built whole, swapped whole.
pub struct Snapshot {
    /// The compiled policy.
    pub policy: Arc<Policy>,
    /// Every notice of that policy, and the gate's own pages.
    pub notices: Notices,
    /// The scripts that go into pages and workers.
    pub scripts: Scripts,
    /// A hash over everything in both that changes a page.
    fingerprint: Hash,
    /// Containment policies by whom and what they are for: most visitors have granted nothing, or everything.
    walls: Cache<(Grants, WallFor), Arc<Wall>>,
}

/// [`Setting`] as a key: own host, played, the most bytes, enforced.
type WallFor = (String, bool, usize, bool);

/// How many containment policies are remembered.
const WALLS_MAX: usize = 128;

impl Snapshot {
    /// Puts together what belongs together.
    pub fn new(policy: Policy, notices: Notices, scripts: Scripts) -> Self {
        let mut text = policy.revision().to_string();
        for hash in policy.source_hashes().values().copied().chain(notices.notices().map(|notice| notice.hash)) {
            text.push_str(&hash.to_string());
        }
        scripts.assets().chain([notices.style()]).for_each(|asset| text.push_str(&asset.path));
        let (policy, fingerprint) = (Arc::new(policy), Hash::of(text.as_bytes()));
        Self { policy, notices, scripts, fingerprint, walls: Cache::new(WALLS_MAX) }
    }

    /// The containment policy for a visitor with these grants; made once and remembered.
    pub fn wall(&self, grants: &Grants, setting: &Setting<'_>) -> Arc<Wall> {
        let key = (*grants, (setting.own_host.to_owned(), setting.played, setting.bytes_max, setting.enforced));
        if let Some(wall) = self.walls.get(&key) {
            return wall;
        }
        let wall = Arc::new(Wall::build(&self.policy, grants, setting));
        self.walls.insert(key, Arc::clone(&wall));
        wall
    }

    /// Equal where nothing that changes a page is different.
    pub fn fingerprint(&self) -> Hash {
        self.fingerprint
    }
}

impl Site {
    /// A site that is ready for requests.
    pub fn new(config: SiteConfig, shared: Arc<Shared>, snapshot: Arc<Snapshot>) -> Self {
        let reports = Arc::new(Reports::new(shared.limits.report_hosts));
        let metrics = shared.telemetry.metrics.site(&told_name(&config));
        Self { config, shared, reports, metrics, seen: seen::channel(), snapshot: ArcSwap::new(snapshot) }
    }

    /// The same site under another configuration: what was counted stays, and who listens goes on listening.
    pub fn succeeded_by(&self, config: SiteConfig, shared: Arc<Shared>, snapshot: Arc<Snapshot>) -> Self {
        let reports = if shared.limits.report_hosts == self.shared.limits.report_hosts {
            Arc::clone(&self.reports)
        } else {
            Arc::new(Reports::new(shared.limits.report_hosts))
        };
        let metrics = shared.telemetry.metrics.site(&told_name(&config));
        Self { config, shared, reports, metrics, seen: self.seen.clone(), snapshot: ArcSwap::new(snapshot) }
    }

    /// The policy and notices in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Swaps policy and notices whole; requests under way keep the ones they began with.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }
}

/// One request's view: taken once, at the top.
pub struct Ctx {
    /// What it shares with the others.
    pub site: Arc<Site>,
    /// The policy and notices it is answered under.
    pub snapshot: Arc<Snapshot>,
    /// When it came.
    pub now: Timestamp,
    /// Who asks, under which name.
    pub front: Front,
    /// What the visitor has decided, if that is on record and still holds.
    pub state: Option<VisitorState>,
    /// What is allowed for it.
    pub grants: Grants,
    /// What is found out about it on its way.
    pub trail: Arc<Trail>,
    /// `Sec-GPC: 1` (W3C Global Privacy Control: only the exact value counts).
    pub gpc: bool,
}

impl Ctx {
    /// Opens the view of a request.
    pub fn open(site: Arc<Site>, front: Front, headers: &HeaderMap, now: Timestamp) -> Self {
        let snapshot = site.snapshot();
        let policy = &snapshot.policy;
        let expected =
            cookie::Expected { site: &front.host, regime: &policy.regime().id, revision: &policy.revision().0.short(), now };
        let values = cookie_values(headers, cookie_name(&front));
        let state = cookie::decode(&site.shared.keys, values, &expected, |record| site.shared.log.is_erased(record));
        let grants = grants_of(policy, state.as_ref());
        let gpc = headers.get_all(&SEC_GPC).iter().any(|value| value.as_bytes() == b"1");
        Self { site, snapshot, now, front, state, grants, gpc, trail: Arc::default() }
    }

    /// The policy in force for this request.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.snapshot.policy
    }

    /// The notices in force for this request.
    pub fn notices(&self) -> &Notices {
        &self.snapshot.notices
    }

    /// The language of the request's notices.
    pub fn language(&self, headers: &HeaderMap) -> &Language {
        self.notices().negotiate(wire::single(headers, &header::ACCEPT_LANGUAGE))
    }

    /// `https://host/_consent`: absolute, since a page's `<base>` would take a relative address elsewhere.
    pub fn prefix_url(&self) -> String {
        format!("{}{}", self.front.origin.as_str().trim_end_matches('/'), self.site.config.prefix)
    }

    /// A notice token for this site and day.
    pub fn notice_token(&self, notice: Hash, layer: token::Layer) -> String {
        token::mint(&self.site.shared.keys, &self.front.host, token::Shown { notice, layer }, self.now)
    }

    /// What a notice token says, if it is valid here and names a notice of the policy in force.
    pub fn shown(&self, token: &str) -> Option<token::Shown> {
        let shown = token::verify(&self.site.shared.keys, &self.front.host, token, self.now)?;
        self.notices().find(&shown.notice).map(|_| shown)
    }

    /// Counts that a notice goes out to somebody who has not decided: not what is fetched ahead (Sec-Purpose), and
    /// not what a program that declares itself is sent. `headers` are the request's.
    pub fn count_impression(&self, headers: &HeaderMap, notice: Hash) {
        if self.state.is_some() || headers.contains_key("sec-purpose") || is_declared_bot(headers) {
            return;
        }
        let site = if self.site.config.hosts.is_empty() { "*" } else { self.front.host.as_str() };
        self.site.shared.log.count_impression(self.now, site, &self.policy().regime().id, notice);
    }

    /// Names the variant of a page this request gets: pages differ by policy, grants, notice and language.
    pub fn variant(&self, parts: &[&str]) -> Hash {
        let decided_at = self.state.as_ref().map(|state| state.decided_at);
        let mut text = format!("{}\0{:?}\0{decided_at:?}", self.snapshot.fingerprint, self.grants);
        for part in parts {
            text.push('\0');
            text.push_str(part);
        }
        Hash::of(text.as_bytes())
    }

    /// Until when a decision made now holds: calendar months, as the regime says.
    pub fn expires_at(&self) -> Timestamp {
        let months = i64::try_from(self.policy().regime().decision_months).unwrap_or(6);
        let later = TimeZone::UTC.to_datetime(self.now).checked_add(months.months());
        later.ok().and_then(|later| TimeZone::UTC.to_timestamp(later).ok()).unwrap_or(self.now)
    }

    /// The `Set-Cookie` of a decision. It takes the proof that its record is durable.
    pub fn mint(&self, _recorded: &Recorded, state: &VisitorState) -> HeaderValue {
        let value = cookie::encode(&self.site.shared.keys, state);
        let seconds = state.expires_at.as_second() - self.now.as_second();
        self.set_cookie(&value, seconds)
    }

    /// The `Set-Cookie` that ends any earlier decision.
    pub fn expire(&self) -> HeaderValue {
        self.set_cookie("", 0)
    }

    fn set_cookie(&self, value: &str, max_age_s: i64) -> HeaderValue {
        // None with Secure: a cross-site POST return (3-D Secure, SAML) carries no Lax cookie, and
        // decisions are checked by origin (traps: SameSite).
        let same_site = if self.front.is_https() { SameSite::None } else { SameSite::Lax };
        let line = Cookie::build((cookie_name(&self.front), value))
            .path("/")
            .http_only(true)
            .same_site(same_site)
            .secure(self.front.is_https())
            .max_age(::cookie::time::Duration::seconds(max_age_s));
        HeaderValue::from_str(&line.to_string()).expect("a cookie of base64url and attributes is a header value")
    }
}

/// A new pseudonym: 128 random bits, derived from nothing.
pub fn new_subject() -> Result<SubjectId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SubjectId(bytes))
}

fn cookie_name(front: &Front) -> &'static str {
    if front.is_https() { COOKIE_HTTPS } else { COOKIE_HTTP }
}

/// Every value of a cookie in the request (RFC 6265, 5.4). Pair by pair: a site's own cookie with bytes
/// that are no UTF-8 must not hide ours.
fn cookie_values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes());
    let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| pair.trim().split_once('=')).filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// The visitor's recorded decision, else what the regime grants without one.
fn grants_of(policy: &Policy, state: Option<&VisitorState>) -> Grants {
    state.map_or_else(|| policy.undecided(), |state| grants_for(policy, &state.purposes, &state.vendors))
}

/// Grants of purposes and exceptions by id, with what needs no consent.
pub fn grants_for(policy: &Policy, purposes: &BTreeSet<String>, vendors: &BTreeMap<String, bool>) -> Grants {
    let mut grants = policy.undecided();
    purposes.iter().filter_map(|id| policy.purpose(id)).for_each(|purpose| grants.purposes.insert(purpose));
    for (id, granted) in vendors {
        if let Some(vendor) = policy.vendor(id) {
            if *granted { grants.allowed.insert(vendor) } else { grants.denied.insert(vendor) }
        }
    }
    grants
}
