//! What browsers do by themselves for somebody who has no consent: headers by which it is asked for
//! and told are cut both ways, and pages are denied the features.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    policy::{HeaderGroup, Policy},
    vocab::Grants,
};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Removes from a request the headers of groups that are not granted (`policies/headers.toml`). Returns their names.
pub fn withhold_features(headers: &mut HeaderMap, policy: &Policy, grants: &Grants) -> Vec<HeaderName> {
    remove(headers, policy, grants, HeaderGroup::withholds)
}

/// Removes the same from an answer.
pub fn cut_features(headers: &mut HeaderMap, policy: &Policy, grants: &Grants) -> Vec<HeaderName> {
    remove(headers, policy, grants, HeaderGroup::cuts)
}

fn remove(
    headers: &mut HeaderMap,
    policy: &Policy,
    grants: &Grants,
    speaks: impl Fn(&HeaderGroup, &str) -> bool,
) -> Vec<HeaderName> {
    let groups: Vec<&HeaderGroup> = refused(policy, grants).collect();
    let found = headers.keys().filter(|name| groups.iter().any(|group| speaks(group, name.as_str())));
    let found: Vec<HeaderName> = found.cloned().collect();
    found.iter().for_each(|name| drop(headers.remove(name)));
    found
}

fn refused<'p>(policy: &'p Policy, grants: &Grants) -> impl Iterator<Item = &'p HeaderGroup> {
    let grants = *grants;
    policy.header_groups().iter().filter(move |group| !group.is_granted(&grants))
}

/// Denies a page the features of groups that are not granted, beside the site's own Permissions-Policy
/// (W3C; a dictionary of RFC 9651, section 3.2, in which the last member of a name counts). What the
/// site denies itself is not said twice, and what it allows is denied.
pub fn deny_features(headers: &mut HeaderMap, policy: &Policy, grants: &Grants) {
    let features: Vec<&str> = refused(policy, grants).flat_map(|group| group.features.iter().map(String::as_str)).collect();
    if features.is_empty() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(PERMISSIONS_POLICY).iter().map(HeaderValue::as_bytes).collect();
    let own = read_dictionary(&lines.join(&b", "[..]));
    let denied = |feature: &str| own.as_ref().is_some_and(|own| own.get(feature).is_some_and(|value| value == "()"));
    let missing: Vec<String> =
        features.into_iter().filter(|feature| !denied(feature)).map(|feature| format!("{feature}=()")).collect();
    if missing.is_empty() {
        return;
    }
    if own.is_none() {
        // Browsers ignore a field that cannot be read, and would ignore ours with it.
        headers.remove(PERMISSIONS_POLICY);
    }
    let line = HeaderValue::from_str(&missing.join(", ")).expect("feature names are lower-case letters and hyphens");
    headers.append(PERMISSIONS_POLICY, line);
}

/// The members of a dictionary (RFC 9651, section 4.2.2) by name, each value as it is written, without
/// parameters; none where the parsing fails.
fn read_dictionary(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut reader = Reader { rest: std::str::from_utf8(text).ok().filter(|text| text.is_ascii())? };
    let mut members = BTreeMap::new();
    reader.skip(&[' ']);
    while !reader.rest.is_empty() {
        let name = reader.key()?;
        let value = if reader.eat('=') { reader.member()? } else { "?1" };
        reader.parameters()?;
        members.insert(name.to_owned(), value.split_ascii_whitespace().collect::<String>());
        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            break;
        }
        if !reader.eat(',') {
            return None;
        }
        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn eat(&mut self, c: char) -> bool {
        let found = self.rest.strip_prefix(c);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn skip(&mut self, over: &[char]) {
        self.rest = self.rest.trim_start_matches(over);
    }

    /// What stands before the first character that does not fit; none where that is nothing.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> Option<&'t str> {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!run.is_empty()).then_some(run)
    }

    fn key(&mut self) -> Option<&'t str> {
        self.rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '*').then_some(())?;
        self.run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '*'))
    }

    /// An item, or a list in brackets.
    fn member(&mut self) -> Option<&'t str> {
        let start = self.rest;
        if self.eat('(') {
            loop {
                self.skip(&[' ']);
                if self.eat(')') {
                    break;
                }
                self.item()?;
                self.parameters()?;
                if !self.rest.starts_with([' ', ')']) {
                    return None;
                }
            }
        } else {
            self.item()?;
        }
        Some(&start[..start.len() - self.rest.len()])
    }

    fn item(&mut self) -> Option<()> {
        match self.rest.chars().next()? {
            '"' => self.string(),
            '%' => {
                self.rest = &self.rest[1..];
                self.string()
            }
            '?' => {
                self.rest = &self.rest[1..];
                (self.eat('0') || self.eat('1')).then_some(())
            }
            ':' => {
                self.rest = &self.rest[1..];
                // Nothing at all between the colons is fine as well.
                let _ = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='));
                self.eat(':').then_some(())
            }
            '-' | '@' | '0'..='9' => {
                let _ = self.eat('@');
                let _ = self.eat('-');
                self.run(|c| c.is_ascii_digit() || c == '.').map(drop)
            }
            '*' | 'a'..='z' | 'A'..='Z' => self.run(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c)).map(drop),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<()> {
        let (_, rest) = super::links::unquote(self.rest.strip_prefix('"')?)?;
        self.rest = rest;
        Some(())
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(';') {
            self.skip(&[' ']);
            self.key()?;
            if self.eat('=') {
                self.item()?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        headers::sample::{dump, head, lines},
        policy::Sources,
    };

    fn policy() -> Policy {
        let mut sources = Sources::default();
        for (path, text) in [
            ("default.toml", include_str!("../../policies/default.toml")),
            ("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml")),
            ("headers.toml", include_str!("../../policies/headers.toml")),
            ("vendors/acme.toml", "id = \"acme\"\nname = \"A\"\npurposes = [\"marketing\"]\n"),
            ("site.toml", "vendors = \"all\"\n"),
        ] {
            sources.insert(path, text);
        }
        Policy::compile(&sources).unwrap_or_else(|faults| panic!("{faults:?}")).0
    }

    const OURS: &str = "attribution-reporting=(), browsing-topics=(), join-ad-interest-group=(), private-aggregation=(), run-ad-auction=(), shared-storage=()";

    #[test]
    fn advertising_headers_go_both_ways_until_they_are_granted() {
        let policy = policy();
        let sent = &[
            "attribution-reporting-register-trigger: {}",
            "ad-auction-signals: []",
            "content-type: text/html",
            "observe-browsing-topics: ?1",
        ];
        let mut map = head(sent);
        assert_eq!(cut_features(&mut map, &policy, &policy.undecided()).len(), 3);
        assert_eq!(dump(&map), ["content-type: text/html"]);
        let mut map = head(sent);
        assert!(cut_features(&mut map, &policy, &policy.everything()).is_empty());
        assert_eq!(map.len(), 4);

        let sent = &[
            "attribution-reporting-eligible: trigger",
            "sec-browsing-topics: ();p=P0",
            "sec-gpc: 1",
            "sec-shared-storage-writable: ?1",
        ];
        let mut map = head(sent);
        assert_eq!(withhold_features(&mut map, &policy, &policy.undecided()).len(), 3);
        assert_eq!(dump(&map), ["sec-gpc: 1"]);
        let mut map = head(sent);
        assert!(withhold_features(&mut map, &policy, &policy.everything()).is_empty());
    }

    #[test]
    fn a_page_is_denied_what_its_own_policy_does_not_deny() {
        let policy = policy();
        let without = |feature: &str| OURS.split(", ").filter(|member| *member != feature).collect::<Vec<_>>().join(", ");
        let topics = without("browsing-topics=()");
        for (own, want) in [
            (&[][..], &[OURS][..]),
            (
                &["geolocation=(self \"https://a.example\"), camera=()"],
                &["geolocation=(self \"https://a.example\"), camera=()", OURS],
            ),
            (&["browsing-topics=()"], &["browsing-topics=()", &topics]),
            (&["browsing-topics=( )"], &["browsing-topics=( )", &topics]),
            (&["browsing-topics=();report-to=x, camera=*"], &["browsing-topics=();report-to=x, camera=*", &topics]),
            (&["browsing-topics=(), browsing-topics=(self)"], &["browsing-topics=(), browsing-topics=(self)", OURS]),
            (&["browsing-topics=*", "browsing-topics=()"], &["browsing-topics=*", "browsing-topics=()", &topics]),
            (&["browsing-topics"], &["browsing-topics", OURS]),
            (&["browsing-topics 'none'"], &[OURS]),
            (&["camera=(),"], &[OURS]),
            (&["camera=(\"https://a.example)"], &[OURS]),
            (&["Camera=()"], &[OURS]),
            (&[OURS], &[OURS]),
            (&[""], &["", OURS]),
        ] {
            let mut map = HeaderMap::new();
            for line in own {
                map.append(PERMISSIONS_POLICY, HeaderValue::from_str(line).expect("a test line"));
            }
            deny_features(&mut map, &policy, &policy.undecided());
            assert_eq!(lines(&map, "permissions-policy"), want, "{own:?}");
            let mut granted = HeaderMap::new();
            deny_features(&mut granted, &policy, &policy.everything());
            assert!(granted.is_empty());
        }
    }
}
