//! Headers that make a browser send reports or read more instructions, dropped where they name an
//! ungranted vendor. A line stays or goes as a whole.

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use url::Url;

use super::{
    lines::{Line, edit_lines},
    links::{CutHeader, Scope, ungranted, unquote},
};
use crate::{policy::Policy, vocab::Grants};

const SPECULATION_RULES: HeaderName = HeaderName::from_static("speculation-rules");
const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");
const REPORT_TO: HeaderName = HeaderName::from_static("report-to");
const NEL: HeaderName = HeaderName::from_static("nel");
const SOURCE_MAP: HeaderName = HeaderName::from_static("sourcemap");
const EXPECT_CT: HeaderName = HeaderName::from_static("expect-ct");
const X_XSS_PROTECTION: HeaderName = HeaderName::from_static("x-xss-protection");
const X_SOURCE_MAP: HeaderName = HeaderName::from_static("x-sourcemap");

/// Drops the lines of `Speculation-Rules` (HTML standard), `Reporting-Endpoints` (Reporting API),
/// `Report-To` (its predecessor), `SourceMap` and `X-SourceMap` (ECMA-426), and of `Expect-CT` and
/// `X-XSS-Protection` (which older browsers report by) in which any address is an ungranted vendor's, and `NEL` (Network Error Logging), which names no address, where the group it
/// reports to went with a `Report-To` line. `base` is the address of the response.
///
/// What a browser remembers from earlier responses (`Report-To` has a lifetime) is out of reach here.
pub fn filter_reporting(headers: &mut HeaderMap, policy: &Policy, grants: &Grants, base: &Url) -> Vec<CutHeader> {
    let scope = Scope { policy, grants, base };
    let mut cut = Vec::new();
    for name in [SPECULATION_RULES, REPORTING_ENDPOINTS, EXPECT_CT] {
        edit_lines(headers, &name, |line| {
            let found = quoted_strings(line.as_bytes()).into_iter().find_map(|url| ungranted(url.as_bytes(), &name, &scope));
            drop_if(found, &mut cut)
        });
    }
    for name in [SOURCE_MAP, X_SOURCE_MAP] {
        edit_lines(headers, &name, |line| drop_if(ungranted(line.as_bytes(), &name, &scope), &mut cut));
    }
    edit_lines(headers, &X_XSS_PROTECTION, |line| {
        let pairs = line.as_bytes().split(|&byte| byte == b';').map(super::cookies::attribute_pair);
        let mut reports = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(b"report"));
        drop_if(reports.find_map(|(_, url)| ungranted(url, &X_XSS_PROTECTION, &scope)), &mut cut)
    });
    let groups = filter_report_to(headers, &scope, &mut cut);
    if !groups.is_empty() {
        edit_lines(headers, &NEL, |line| {
            let found = groups.iter().find(|(group, _)| reports_to(line.as_bytes(), group));
            drop_if(found.map(|(_, cut)| CutHeader { header: NEL, ..cut.clone() }), &mut cut)
        });
    }
    cut
}

fn drop_if(found: Option<CutHeader>, cut: &mut Vec<CutHeader>) -> Line {
    found.map_or(Line::Keep, |found| {
        cut.push(found);
        Line::Drop
    })
}

/// The strings of a structured field (RFC 9651, section 4.2.5), wherever they stand in it.
fn quoted_strings(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let mut strings = Vec::new();
    let mut rest = text.as_ref();
    while let Some((string, after)) = rest.split_once('"').and_then(|(_, quoted)| unquote(quoted)) {
        strings.push(string);
        rest = after;
    }
    strings
}

/// Returns the groups that went, each with what spoke against it.
fn filter_report_to(headers: &mut HeaderMap, scope: &Scope<'_>, cut: &mut Vec<CutHeader>) -> Vec<(String, CutHeader)> {
    let mut gone = Vec::new();
    edit_lines(headers, &REPORT_TO, |line| {
        let Some(groups) = read_report_to(line.as_bytes()) else {
            return drop_if(Some(CutHeader::unreadable(&REPORT_TO)), cut);
        };
        let mut urls = groups.iter().flat_map(endpoints);
        let Some(found) = urls.find_map(|url| ungranted(url.as_bytes(), &REPORT_TO, scope)) else {
            return Line::Keep;
        };
        gone.extend(groups.iter().map(|group| (group_name(group, "group").to_owned(), found.clone())));
        drop_if(Some(found), cut)
    });
    gone
}

/// The header is a JSON list without its brackets.
fn read_report_to(value: &[u8]) -> Option<Vec<Value>> {
    serde_json::from_slice(&[b"[", value, b"]"].concat()).ok()
}

fn endpoints(group: &Value) -> impl Iterator<Item = &str> {
    let endpoints = group.get("endpoints").and_then(Value::as_array);
    endpoints.into_iter().flatten().filter_map(|endpoint| endpoint.get("url").and_then(Value::as_str))
}

/// The group that a value names under `key`; without a name it is `default`.
fn group_name<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("default")
}

fn reports_to(nel: &[u8], group: &str) -> bool {
    // Where it cannot be read it goes with the group, since one of the lines was against the rules.
    serde_json::from_slice::<Value>(nel).map_or(true, |value| group_name(&value, "report_to") == group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::sample::{dump, head, policy};

    #[test]
    fn lines_that_name_an_ungranted_vendor_go_and_the_others_stay() {
        let policy = policy();
        let base = Url::parse("https://own.example/en/page").expect("a test address parses");
        let own_group = r#"report-to: {"group":"own","max_age":9,"endpoints":[{"url":"/r"}]}"#;
        let acme_group = r#"report-to: {"group":"a","max_age":9,"endpoints":[{"url":"/r"},{"url":"https:\/\/acme.example\/r"}]}"#;
        let unnamed = r#"report-to: {"max_age":9,"endpoints":[{"url":"//acme.example/r"}]}"#;
        for (sent, kept) in [
            (&[r#"speculation-rules: "/s.json", "https://acme.example/s.json""#][..], &[][..]),
            (&[r#"speculation-rules: "/s.json""#], &[r#"speculation-rules: "/s.json""#]),
            (&[r#"reporting-endpoints: a="/r", b="https://acme.example/\"r""#], &[]),
            (&[r#"reporting-endpoints: x="\"", b="https://acme.example/r""#], &[]),
            (
                &[r#"reporting-endpoints: a="/r", b="https://other.example/""#],
                &[r#"reporting-endpoints: a="/r", b="https://other.example/""#],
            ),
            (&["sourcemap: https://acme.example/a.map", "x-sourcemap: //acme.example/a.map"], &[]),
            (&[r#"expect-ct: max-age=9, report-uri="https://acme.example/r""#], &[]),
            (&["x-xss-protection: 1; report=https://acme.example/r"], &[]),
            (&["x-xss-protection: 1; report=/r"], &["x-xss-protection: 1; report=/r"]),
            (&["sourcemap: a.map"], &["sourcemap: a.map"]),
            (&[acme_group, r#"nel: {"report_to":"a","max_age":9}"#], &[]),
            (
                &[acme_group, own_group, r#"nel: {"report_to":"own","max_age":9}"#],
                &[r#"nel: {"report_to":"own","max_age":9}"#, own_group],
            ),
            (&[acme_group, "nel: not json"], &[]),
            (&[own_group, "nel: not json"], &["nel: not json", own_group]),
            (&[unnamed, r#"nel: {"report_to":"default","max_age":9}"#], &[]),
            (&[unnamed, r#"nel: {"report_to":"own"}"#], &[r#"nel: {"report_to":"own"}"#]),
            (&[unnamed, r#"nel: {"max_age":9}"#], &[]),
            (&["report-to: {\"group\""], &[]),
        ] {
            let mut map = head(sent);
            let cut = filter_reporting(&mut map, policy, &policy.undecided(), &base);
            assert_eq!(dump(&map), kept, "{sent:?}");
            assert_eq!(cut.len(), sent.len() - kept.len(), "{sent:?}");
            let mut map = head(sent);
            filter_reporting(&mut map, policy, &policy.everything(), &base);
            let unreadable = sent.iter().any(|line| line.starts_with("report-to: {\"group\"") && line.len() < 30);
            assert_eq!(map.len(), if unreadable { 0 } else { sent.len() }, "granted: {sent:?}");
        }
    }
}
