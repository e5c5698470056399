//! What browsers get of a policy: small, since every page carries it, and read by
//! `templates/guard/shared.js`, whose `needs(url)` answers as [`Policy::match_url`] does.
//!
//! One text. A line is a vendor: its id, with `!` before it where nobody is offered it, then its rules
//! between `;`, in the order of precedence. A rule is its purposes, a letter each, and patterns between
//! spaces, told apart by how they begin:
//!
//! | begins with | what |
//! |---|---|
//! | `.` | a host's name, which stands for the names below as well |
//! | `/` or `*` | a path |
//! | `?`, `&`, `!` | a parameter: any of these, each of these, none of these |
//! | `@` | a cookie by name, or by name and value |
//! | `#` | a key of the storage |

use serde_json::{Value, json};

use crate::policy::{
    AntiFlicker, CookieRule, Glob, Policy, PurposeDef, QueuedCalls, Rule, StandIn, StandInKind, VendorDef, What,
};
use crate::vocab::{PurposeSet, VendorId};

/// The whole of it as the text of a JavaScript expression. `worker` is the asset for workers.
pub(super) fn page(policy: &Policy, worker: &str) -> String {
    let stand_ins: Vec<Value> =
        policy.vendors().iter().flat_map(|vendor| vendor.stand_ins.iter().map(|one| stand_in(policy, vendor, one))).collect();
    let flicker: Vec<Value> = policy
        .vendors()
        .iter()
        .filter(|vendor| vendor.anti_flicker != AntiFlicker { purposes: vendor.anti_flicker.purposes, ..AntiFlicker::default() })
        .map(|vendor| {
            let AntiFlicker { classes, styles, calls, purposes } = &vendor.anti_flicker;
            json!([vendor.id, ids(policy, *purposes), classes, styles, calls])
        })
        .collect();
    script(&json!({
        "purposes": purposes(policy),
        "rules": rules(policy, |_| true),
        "standIns": stand_ins,
        "flicker": flicker,
        "queued": match policy.queued_calls() {
            QueuedCalls::Deliver => "deliver",
            QueuedCalls::Drop => "drop",
        },
        "worker": worker,
    }))
}

/// What a worker needs of it: it has neither cookies nor storage nor globals to stand in for.
pub(super) fn worker(policy: &Policy) -> String {
    script(&json!({
        "purposes": purposes(policy),
        "rules": rules(policy, |what| matches!(what, What::Address { .. })),
    }))
}

fn ids(policy: &Policy, purposes: PurposeSet) -> Vec<&str> {
    purposes.iter().map(|purpose| policy.purposes()[usize::from(purpose.0)].id.as_str()).collect()
}

fn purposes(policy: &Policy) -> Vec<&str> {
    policy.purposes().iter().map(|def: &PurposeDef| def.id.as_str()).collect()
}

/// JSON that may stand in a script, ASCII: files of any charset are put behind it in workers.
fn script(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out
}

fn stand_in(policy: &Policy, vendor: &VendorDef, one: &StandIn) -> Value {
    let (kind, more) = match &one.kind {
        StandInKind::Call { queue } => ("call", json!(queue)),
        StandInKind::Queue => ("queue", Value::Null),
        StandInKind::Object { methods } => ("object", json!(methods)),
    };
    json!([vendor.id, one.global, kind, one.aliases, more, one.stub, ids(policy, one.purposes)])
}

/// One rule on its way into the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    purposes: PurposeSet,
    hosts: Vec<String>,
    paths: Vec<String>,
    /// Parameters, cookies, keys.
    others: Vec<String>,
}

fn rules(policy: &Policy, wanted: fn(&What) -> bool) -> String {
    let lines = (0u16..).zip(policy.vendors()).map(|(index, vendor)| {
        let own = |rule: &&Rule| rule.vendor == VendorId(index) && wanted(&rule.what);
        let mut lines: Vec<Line> = policy.rules().iter().filter(own).filter_map(line).collect();
        tidy(&mut lines);
        let mark = if policy.declared().contains(VendorId(index)) { "" } else { "!" };
        let rules: String = lines.iter().map(Line::text).collect();
        format!("{mark}{}{rules}", vendor.id)
    });
    // One without rules that browsers can use is not worth its name.
    lines.filter(|line| line.contains(';')).collect::<Vec<_>>().join("\n")
}

fn line(rule: &Rule) -> Option<Line> {
    let mut line = Line { purposes: rule.purposes, ..Line::default() };
    match &rule.what {
        What::Address { hosts, paths, query, query_all, unless_query } => {
            line.hosts.clone_from(hosts);
            line.paths = paths.iter().map(Glob::pattern).collect();
            for (mark, list) in [('?', query), ('!', unless_query)] {
                line.others.extend(list.iter().map(|(name, value)| format!("{mark}{name}={}", value.pattern())));
            }
        }
        What::Cookies(cookies) => line.others.extend(cookies.iter().map(|CookieRule { name, value }| match value {
            Some(value) => format!("@{}={}", name.pattern(), value.pattern()),
            None => format!("@{}", name.pattern()),
        })),
        What::Storage(keys) => line.others.extend(keys.iter().map(|key| format!("#{}", key.pattern()))),
        What::Inline { .. } | What::Answer { .. } | What::Amp(_) => return None,
    }
    Some(line)
}

/// Makes the list shorter without changing any answer. Rules for the same purposes that follow one
/// another may change places: which of them speaks makes no difference.
fn tidy(lines: &mut Vec<Line>) {
    // Cookies and keys have no precedence: they stand behind the addresses.
    lines.sort_by_key(|line| !line.is_address());
    let mut done: Vec<Line> = Vec::new();
    for line in lines.drain(..) {
        // What an earlier rule of whole hosts has taken does not come here.
        let mut line = line;
        let whole = done.iter().filter(|earlier| earlier.is_whole()).flat_map(|earlier| &earlier.hosts);
        if line.is_address() && !line.hosts.is_empty() {
            let whole: Vec<&String> = whole.collect();
            line.hosts.retain(|host| !whole.iter().any(|other| covers(other, host)));
            if line.hosts.is_empty() {
                continue;
            }
        }
        let run = done.iter().rposition(|earlier| earlier.purposes != line.purposes).map_or(0, |at| at + 1);
        if line.is_whole() {
            // Of its own run it makes the narrower ones needless.
            let hosts = line.hosts.clone();
            for earlier in done[run..].iter_mut().filter(|earlier| !earlier.hosts.is_empty()) {
                earlier.hosts.retain(|host| !hosts.iter().any(|other| covers(other, host)));
                if earlier.hosts.is_empty() {
                    earlier.purposes = PurposeSet::EMPTY;
                }
            }
            done.retain(|line| line.purposes != PurposeSet::EMPTY);
        }
        let run = run.min(done.len());
        match done[run..].iter_mut().find(|earlier| earlier.joins(&line)) {
            Some(earlier) => earlier.join(line),
            None => done.push(line),
        }
    }
    *lines = done;
}

/// Whether a rule for the name `broad` speaks for `narrow` as well.
fn covers(broad: &str, narrow: &str) -> bool {
    narrow == broad || narrow.strip_suffix(broad).is_some_and(|rest| rest.ends_with('.'))
}

// === impl Line ===

impl Line {
    fn is_address(&self) -> bool {
        !self.hosts.is_empty() || !self.paths.is_empty() || self.others.iter().any(|other| other.starts_with('&'))
    }

    /// Takes hosts as they are, whatever the rest of the address.
    fn is_whole(&self) -> bool {
        !self.hosts.is_empty() && self.paths.is_empty() && self.others.is_empty()
    }

    /// Whether both are one rule when their lists are put together.
    fn joins(&self, other: &Self) -> bool {
        self.purposes == other.purposes
            && self.is_address() == other.is_address()
            && (!self.is_address()
                || self.others.is_empty()
                    && other.others.is_empty()
                    && self.paths.is_empty() == other.paths.is_empty()
                    && (self.paths.is_empty() || self.hosts == other.hosts))
    }

    fn join(&mut self, other: Self) {
        for (own, more) in [(&mut self.hosts, other.hosts), (&mut self.paths, other.paths), (&mut self.others, other.others)] {
            for one in more {
                if !own.contains(&one) {
                    own.push(one);
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut out = String::from(";");
        out.extend(self.purposes.iter().map(|purpose| char::from(b'A' + purpose.0)));
        let hosts = self.hosts.iter().map(|host| format!(".{host}"));
        for pattern in hosts.chain(self.paths.iter().cloned()).chain(self.others.iter().cloned()) {
            out.push(' ');
            // What stands between patterns cannot stand in one: a star takes its place, which holds more.
            let plain = |c: char| if c.is_ascii_graphic() && c != ';' { c } else { '*' };
            out.extend(pattern.chars().map(plain));
        }
        out
    }
}
