//! One act of a visitor, parsed against what the notice offered. Every field at fault is named.

use std::collections::{BTreeMap, BTreeSet};

/// The act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Everything offered.
    AcceptAll,
    /// Nothing.
    RejectAll,
    /// What is ticked.
    Save,
    /// Nothing any more.
    Withdraw,
}

impl Choice {
    /// Its name in forms and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptAll => "accept_all",
            Self::RejectAll => "reject_all",
            Self::Save => "save",
            Self::Withdraw => "withdraw",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::AcceptAll, Self::RejectAll, Self::Save, Self::Withdraw].into_iter().find(|choice| choice.name() == text)
    }
}

/// A decision as it came in, its ids checked against the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The act.
    pub choice: Choice,
    /// Ids of the purposes granted.
    pub purposes: BTreeSet<String>,
    /// Vendors that differ from their purposes.
    pub vendors: BTreeMap<String, bool>,
    /// The notice token, unverified.
    pub notice: Option<String>,
    /// Where to go back to, unchecked.
    pub return_to: Option<String>,
}

impl Decision {
    /// Whether the act grants anything: only then does a missing record stop it.
    pub fn grants_anything(&self) -> bool {
        !self.purposes.is_empty() || self.vendors.values().any(|&granted| granted)
    }
}

/// What a notice offers, by id.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// The purposes that need consent.
    pub purposes: &'a [&'a str],
    /// The declared vendors, with the purposes each needs.
    pub vendors: &'a [(&'a str, Vec<&'a str>)],
}

/// A field that is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// The field's name as it came (cut to 64 characters).
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl FieldFault {
    /// Names a field.
    pub fn new(field: &str, problem: Problem) -> Self {
        Self { field: field.chars().take(64).collect(), problem }
    }
}

/// What can be wrong with a field of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no `choice`.
    ChoiceMissing,
    /// `choice` is none of the four.
    ChoiceUnknown,
    /// A purpose or vendor that is not offered, or a field nobody asked for.
    FieldUnknown,
    /// A value that the field does not take, or a body that is no form.
    ValueBad,
    /// A field sent more than once.
    Repeated,
    /// There is no notice token.
    NoticeMissing,
    /// The notice token is not valid here or no longer.
    NoticeStale,
    /// `return` is no path on this origin.
    ReturnBad,
}

impl Problem {
    /// The key in the table `problems` of the string files.
    pub fn key(self) -> &'static str {
        match self {
            Self::ChoiceMissing => "choice_missing",
            Self::ChoiceUnknown => "choice_unknown",
            Self::FieldUnknown => "field_unknown",
            Self::ValueBad => "value_bad",
            Self::Repeated => "repeated",
            Self::NoticeMissing => "notice_missing",
            Self::NoticeStale => "notice_stale",
            Self::ReturnBad => "return_bad",
        }
    }
}

/// The most fields a decision may have.
const FIELDS_MAX: usize = 2048;

/// Reads `application/x-www-form-urlencoded`.
pub fn form_fields(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).take(FIELDS_MAX + 1).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Reads a flat JSON object of strings and booleans (`true` reads as `on`, `false` as `off`). A value
/// of another type reads as one that no field takes, so that every fault is found.
pub fn json_fields(body: &[u8]) -> Result<Vec<(String, String)>, FieldFault> {
    let object: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|_| FieldFault::new("body", Problem::ValueBad))?;
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Bool(on) => if on { "on" } else { "off" }.to_owned(),
        other => format!("\0{other}"),
    };
    Ok(object.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// Parses the fields against the offer. `vendor.<id>=off` refuses one vendor within a granted
/// purpose; `vendor.<id>=on` grants one vendor where its purposes are not.
pub fn parse(fields: Vec<(String, String)>, offered: &Offered<'_>) -> Result<Decision, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut choice = None;
    let (mut notice, mut return_to) = (None, None);
    let mut purposes = BTreeSet::new();
    let mut vendors = BTreeMap::new();
    if fields.len() > FIELDS_MAX {
        return Err(vec![FieldFault::new("body", Problem::ValueBad)]);
    }
    let mut seen = BTreeSet::new();
    for (name, value) in &fields {
        if !seen.insert(name.as_str()) {
            faults.push(FieldFault::new(name, Problem::Repeated));
            continue;
        }
        match name.as_str() {
            "choice" => match Choice::parse(value) {
                Some(known) => choice = Some(known),
                None => faults.push(FieldFault::new(name, Problem::ChoiceUnknown)),
            },
            "notice" => notice = Some(value.clone()).filter(|token| !token.is_empty()),
            "return" => return_to = Some(value.clone()).filter(|place| !place.is_empty()),
            _ => match (name.strip_prefix("purpose."), name.strip_prefix("vendor.")) {
                (Some(id), _) if offered.purposes.contains(&id) => match value.as_str() {
                    "on" => {
                        purposes.insert(id.to_owned());
                    }
                    "off" => {}
                    _ => faults.push(FieldFault::new(name, Problem::ValueBad)),
                },
                (_, Some(id)) if offered.vendors.iter().any(|(known, _)| *known == id) => match value.as_str() {
                    "on" => {
                        vendors.insert(id.to_owned(), true);
                    }
                    "off" => {
                        vendors.insert(id.to_owned(), false);
                    }
                    _ => faults.push(FieldFault::new(name, Problem::ValueBad)),
                },
                (Some(_), _) => faults.push(FieldFault::new(name, Problem::FieldUnknown)),
                (_, Some(_)) => faults.push(FieldFault::new(name, Problem::FieldUnknown)),
                _ => faults.push(FieldFault::new(name, Problem::FieldUnknown)),
            },
        }
    }
    if choice.is_none() && !seen.contains("choice") {
        faults.push(FieldFault::new("choice", Problem::ChoiceMissing));
    }
    match choice {
        // The preference page posts its boxes with every button; only `save` reads them.
        Some(Choice::AcceptAll) => {
            purposes = offered.purposes.iter().map(|&id| id.to_owned()).collect();
            vendors.clear();
        }
        Some(Choice::RejectAll | Choice::Withdraw) => {
            purposes.clear();
            vendors.clear();
        }
        Some(Choice::Save) | None => keep_exceptions(&mut vendors, &purposes, offered),
    }
    match choice {
        Some(choice) if faults.is_empty() => Ok(Decision { choice, purposes, vendors, notice, return_to }),
        _ => Err(faults),
    }
}

/// Only vendors that differ from their purposes are exceptions.
fn keep_exceptions(vendors: &mut BTreeMap<String, bool>, purposes: &BTreeSet<String>, offered: &Offered<'_>) {
    vendors.retain(|id, granted| {
        let needs = offered.vendors.iter().find(|(known, _)| known == id).map(|(_, needs)| needs.as_slice()).unwrap_or_default();
        let by_purpose = needs.iter().all(|need| purposes.contains(*need) || !offered.purposes.contains(need));
        *granted != by_purpose
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str) -> Result<Decision, Vec<String>> {
        let vendors = [("acme", vec!["marketing"]), ("stat", vec!["analytics"]), ("both", vec!["analytics", "marketing"])];
        let offered = Offered { purposes: &["analytics", "marketing"], vendors: &vendors };
        parse(form_fields(form.as_bytes()), &offered).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    fn ids(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn each_choice_means_what_it_says() {
        let all = check("choice=accept_all&vendor.acme=off&notice=n").expect("accept");
        assert_eq!((all.purposes, all.vendors.len()), (ids(&["analytics", "marketing"]), 0));
        let none = check("choice=reject_all&purpose.analytics=on").expect("reject");
        assert!(!none.grants_anything());
        assert!(!check("choice=withdraw").expect("withdraw").grants_anything());
        let some = check("choice=save&purpose.analytics=on&vendor.acme=on&return=/x").expect("save");
        assert_eq!(some.purposes, ids(&["analytics"]));
        assert_eq!(some.vendors, BTreeMap::from([("acme".to_owned(), true)]));
        assert_eq!(some.return_to.as_deref(), Some("/x"));
    }

    #[test]
    fn only_what_differs_from_its_purposes_is_an_exception() {
        let save = check("choice=save&purpose.marketing=on&vendor.acme=on&vendor.stat=off&vendor.both=on").expect("save");
        assert_eq!(save.vendors, BTreeMap::from([("both".to_owned(), true)]));
        let refused = check("choice=save&purpose.marketing=on&vendor.acme=off").expect("save");
        assert_eq!(refused.vendors, BTreeMap::from([("acme".to_owned(), false)]));
    }

    #[test]
    fn every_field_at_fault_is_named() {
        assert_eq!(check("").unwrap_err(), ["choice"]);
        assert_eq!(
            check("choice=maybe&purpose.analytics=yes&purpose.ads=on&vendor.nobody=on&colour=red&notice=a&notice=b").unwrap_err(),
            ["choice", "purpose.analytics", "purpose.ads", "vendor.nobody", "colour", "notice"]
        );
    }

    #[test]
    fn json_is_read_like_a_form() {
        let fields = json_fields(br#"{"choice":"save","purpose.analytics":true,"notice":"n"}"#).expect("flat JSON");
        assert!(fields.contains(&("purpose.analytics".to_owned(), "on".to_owned())));
        assert!(json_fields(b"[1]").is_err() && json_fields(br#"{"choice":"save""#).is_err());
        let fields = json_fields(br#"{"choice":1,"purpose.analytics":{},"zork":[]}"#).expect("flat JSON");
        let offered = Offered { purposes: &["analytics"], vendors: &[] };
        let faults: Vec<String> = parse(fields, &offered).unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(faults, ["choice", "purpose.analytics", "zork"]);
    }
}
