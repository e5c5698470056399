//! Everything of a request or response outside its body, as pure functions on [`http::HeaderMap`].
//!
//! Here: cookies both ways, addresses that name the upstream, headers that make a browser load or
//! report something, the site's Content-Security-Policy, validators and caching, content codings.
//! Not here: framing and hop-by-hop headers (`proxy`), the gate's own cookie (`consent`), bodies
//! (`html`). No I/O, no clock; who calls what and in which order is the pipeline's business.
//!
//! Two habits hold in every file: what stays is passed on byte for byte, and what cannot be read
//! is treated as closed (a link, a report group, a tag that nobody can parse is not passed on).

mod caching;
mod cookies;
pub mod csp;
mod encoding;
mod expiry;
mod features;
mod lines;
mod links;
mod localize;
mod refresh;
mod reporting;

pub use caching::{Conditionals, Variant, append_vary, forbid_storing, mark_variant, prepare_conditionals};
pub use cookies::{CutCookie, cut_own_cookies, cut_request_cookies, filter_own_set_cookie, filter_set_cookie};
pub use encoding::{AcceptedCodings, Coding, accepted, limit_accept_encoding};
pub use expiry::{Room, expire};
pub use features::{cut_features, deny_features, withhold_features};
pub use links::{CutHeader, filter_link, filter_refresh, ungranted_location};
pub use localize::{Origin, Sides, localize_request, localize_response, wants_https};
pub use reporting::filter_reporting;

#[cfg(test)]
mod sample;
