//! The containment policy of an answer: which answers get one, and what it is built from.

use http::{HeaderMap, header};

use super::pipeline::Prepared;
use crate::{
    config::Containment,
    headers::csp::Setting,
    site::Ctx,
    wire::{self, SEC_FETCH_DEST},
};

/// Adds the policy to what can load something: pages and other documents (a 304 too, whose lines
/// replace those of the kept copy), and scripts of workers, whose own answer decides what they load.
pub(super) fn contain(ctx: &Ctx, prepared: &Prepared, head: &mut HeaderMap) {
    let config = &ctx.site.config;
    if config.containment == Containment::Off || !loads(prepared, head) {
        return;
    }
    let behind = prepared.sides.as_ref().map(|sides| sides.upstream.host()).unwrap_or_default();
    let played = ctx.front.host == "localhost"
        || ctx.front.host.ends_with(".localhost")
        || ctx.front.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let setting = Setting { played, ..Setting::of(config.containment, &ctx.site.shared.limits, behind) };
    let wall = ctx.snapshot.wall(&ctx.grants, &setting);
    wall.raise(head, config.containment, &format!("{}/report", config.prefix), ctx.front.is_https());
}

fn loads(prepared: &Prepared, head: &HeaderMap) -> bool {
    let worker = matches!(
        wire::single(&prepared.head.headers, &SEC_FETCH_DEST),
        Some("worker" | "sharedworker" | "serviceworker" | "audioworklet" | "paintworklet")
    );
    let markup = head.get_all(header::CONTENT_TYPE).iter().any(|kind| {
        let kind = String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase();
        kind.contains("html") || kind.contains("xml")
    });
    worker || markup || prepared.asked.page
}
