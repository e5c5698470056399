//! What browsers get of a policy: small, since every page carries it, and read by
//! `templates/guard/shared.js`, whose `needs(url)` answers as [`Policy::match_url`] does.
//!
//! One text. A line is a vendor: its id, with `!` before it where nobody is offered it, then its rules
//! between `;`, in the order of precedence. A rule is its purposes, a letter each, then its hosts after a
//! dot and between `|` (none: every host; `name%`: that name under every country's ending), then a
//! regular expression in which one character stands for what all of them have:
//!
//! | character | stands for |
//! |---|---|
//! | `.` | a dot |
//! | `*` | any run of characters |
//! | `~` | the end of the path, or of a parameter |
//! | `?` | then one of these parameters |
//! | `!`, `&` | none of these parameters, this parameter |
//!
//! It is held against `/path~name=value~…~`. For cookies there are whole `@name=value` between `|`, for
//! keys `#key`.

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
    /// Parameters: any of them, each of them, none of them.
    query: [Vec<String>; 3],
    /// Cookies and keys.
    kept: Vec<String>,
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
            line.hosts = hosts.iter().map(|host| name(host)).collect();
            line.paths = paths.iter().map(glob).collect();
            let pairs =
                |list: &[(String, Glob)]| list.iter().map(|(name, value)| format!("{}={}", literal(name), glob(value))).collect();
            line.query = [pairs(query), pairs(query_all), pairs(unless_query)];
        }
        What::Cookies(cookies) => line.kept.extend(cookies.iter().map(|CookieRule { name, value }| {
            format!("@{}={}", glob(name), value.as_ref().map_or_else(|| "*".to_owned(), glob))
        })),
        What::Storage(keys) => line.kept.extend(keys.iter().map(|key| format!("#{}", glob(key)))),
        What::Inline { .. } | What::Answer { .. } | What::Amp(_) => return None,
    }
    Some(line)
}

/// A host's name; `name.*` stands for every country's.
fn name(host: &str) -> String {
    match host.strip_suffix(".*") {
        Some(stem) => format!("{stem}%"),
        None => host.to_owned(),
    }
}

fn glob(glob: &Glob) -> String {
    glob.pattern().split('*').map(literal).collect::<Vec<_>>().join("*")
}

/// Text that stands for itself.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '.' => out.push('.'),
            c if c.is_ascii_alphanumeric() || "/_-=:,@#<>'\"` ".contains(c) => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out
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
    narrow.strip_suffix(broad).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

// === impl Line ===

impl Line {
    fn is_address(&self) -> bool {
        self.kept.is_empty()
    }

    fn has_query(&self) -> bool {
        self.query.iter().any(|list| !list.is_empty())
    }

    /// Takes hosts as they are, whatever the rest of the address.
    fn is_whole(&self) -> bool {
        !self.hosts.is_empty() && self.paths.is_empty() && !self.has_query()
    }

    /// Whether both are one rule when their lists are put together.
    fn joins(&self, other: &Self) -> bool {
        let same_place = self.paths.is_empty() == other.paths.is_empty() && (self.paths.is_empty() || self.hosts == other.hosts);
        self.purposes == other.purposes
            && self.is_address() == other.is_address()
            && (!self.is_address() || !self.has_query() && !other.has_query() && same_place)
    }

    fn join(&mut self, other: Self) {
        for (own, more) in [(&mut self.hosts, other.hosts), (&mut self.paths, other.paths), (&mut self.kept, other.kept)] {
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
        if !self.is_address() {
            return out + &self.kept.join("|");
        }
        if !self.hosts.is_empty() {
            out.push('.');
            out.push_str(&self.hosts.join("|"));
        }
        let [any, all, none] = &self.query;
        all.iter().for_each(|pair| out.push_str(&format!("&{pair})~)")));
        if !none.is_empty() {
            out.push_str(&format!("!{})~)", none.join("|")));
        }
        match (self.paths.is_empty(), any.is_empty()) {
            (true, true) => {}
            (true, false) => out.push_str("*~"),
            (false, _) => out.push_str(&(one_of(&self.paths) + "~")),
        }
        if !any.is_empty() {
            out.push_str(&format!("?{})~", any.join("|")));
        }
        out
    }
}

/// Nothing for none, itself for one.
fn one_of(list: &[String]) -> String {
    match list {
        [] => String::new(),
        [one] => one.clone(),
        several => format!("({})", several.join("|")),
    }
}
