//! Where a policy sends its reports: each names the page's address, so they go to nobody ungranted.

use http::{
    HeaderMap,
    header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY},
};
use url::Url;

use super::{
    edit_policies,
    policy::{effective, parse},
    written,
};
use crate::{
    headers::{
        lines::edit_lines,
        links::{CutHeader, Scope, ungranted},
    },
    policy::Policy,
    vocab::Grants,
};

/// Cuts the addresses of ungranted vendors from `report-uri` (CSP Level 3, section 6.5.1) in
/// `Content-Security-Policy` and `Content-Security-Policy-Report-Only`. What the policies forbid stays
/// as it was; `report-to` names a group of another header
/// ([`filter_reporting`](crate::headers::filter_reporting)). `base` is the address of the response.
pub fn filter_reports(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, base: &Url) -> Vec<CutHeader> {
    let scope = Scope { policy, grants, base };
    let mut cut = Vec::new();
    for name in [CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY] {
        edit_lines(headers, &name, |line| {
            edit_policies(line, |text| {
                let directives = parse(text);
                let directive = effective(&directives, &["report-uri"])?;
                let before = cut.len();
                // The name stays, even alone: a second `report-uri` must not begin to count.
                let mut kept = text[directive.place.clone()][..directive.name.len()].to_owned();
                for word in directive.words() {
                    match ungranted(word.as_bytes(), &name, &scope) {
                        Some(found) => cut.push(found),
                        None => kept.extend([" ", word]),
                    }
                }
                (cut.len() > before).then(|| written(text, vec![(directive, kept)], &[]))
            })
        });
    }
    cut
}
