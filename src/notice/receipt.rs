//! A visitor's receipt in plain words: what the receipt page and the receipt's file say of one record.
//!
//! The words are those of the language that is asked for now; what was shown then is the notice that
//! the record cites. Ids and hashes come in as text: what they prove is known elsewhere.

use jiff::Timestamp;

use super::{
    offer::plain,
    render::Face,
    strings::{Strings, TOLD_KINDS, TOLD_METHODS},
};

/// One record with its proof, as text.
#[derive(Clone, Debug)]
pub struct ReceiptOf<'a> {
    /// The record's id.
    pub id: &'a str,
    /// The visitor's pseudonym, empty where there is none.
    pub subject: &'a str,
    /// What the decision came to: the word in the record, such as `given`.
    pub kind: &'a str,
    /// How it was expressed: the word in the record, such as `accept_all`.
    pub method: &'a str,
    /// When it was made.
    pub decided_at: Timestamp,
    /// Until when it holds.
    pub valid_until: Timestamp,
    /// The site's host.
    pub site: &'a str,
    /// The controller's name in the record, empty where the policy named none.
    pub controller: &'a str,
    /// Whether the request carried a Global Privacy Control signal.
    pub gpc: bool,
    /// Every purpose that was asked for, by id.
    pub purposes: Vec<(&'a str, bool)>,
    /// The vendors that differ from their purposes, by id.
    pub vendors: Vec<(&'a str, bool)>,
    /// The notice's address.
    pub notice: &'a str,
    /// The policy revision.
    pub policy: &'a str,
    /// The record's index in the log.
    pub index: u64,
    /// The record's canonical bytes.
    pub record: &'a str,
    /// The salt, in hexadecimal digits.
    pub salt: &'a str,
    /// `SHA-256(salt || record)`, in hexadecimal digits.
    pub commitment: &'a str,
    /// The proof (c2sp.org/tlog-proof).
    pub proof: &'a str,
    /// The public key that signed its checkpoint.
    pub key: &'a str,
}

/// The same in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptWords {
    /// What was decided, when, until when, how, and who answers for it: label and text.
    pub facts: Vec<(String, String)>,
    /// Each purpose by its title, and what was said to it.
    pub purposes: Vec<Said>,
    /// Each vendor that differs from its purposes, likewise.
    pub vendors: Vec<Said>,
    /// How to withdraw.
    pub withdrawal: String,
}

/// One thing that was asked for, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its name.
    pub title: String,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The answer in a word or two.
    pub answer: String,
}

/// Puts a record into words.
pub(super) fn words(face: &Face, of: &ReceiptOf<'_>) -> ReceiptWords {
    let strings = &face.strings;
    let text = |key: &str| strings.text("receipt", key).to_owned();
    let controller = &face.offer.controller;
    let named = if of.controller.is_empty() { controller.name.clone() } else { plain(of.controller) };
    let contact = [&controller.address, &controller.contact].into_iter().filter(|part| !part.is_empty()).cloned();
    let mut facts = vec![
        (text("decision"), kind_in_words(strings, of.kind)),
        (text("decided"), when(strings, of.decided_at)),
        (text("until"), strings.date(of.valid_until)),
        (text("how"), method_in_words(strings, of.method)),
        (text("site"), plain(of.site)),
        (
            strings.text("preferences", "controller").to_owned(),
            std::iter::once(named).chain(contact).collect::<Vec<_>>().join("\n"),
        ),
    ];
    if !controller.dpo.is_empty() {
        facts.push((strings.text("preferences", "dpo").to_owned(), controller.dpo.clone()));
    }
    if of.gpc {
        facts.push((text("gpc"), text("gpc_received")));
    }
    let said = |title: String, allowed: bool| Said { title, allowed, answer: text(if allowed { "yes" } else { "no" }) };
    // In the order of the notices; a purpose that is gone from them stands at the end.
    let place = |id: &str| face.offer.purposes.iter().position(|purpose| purpose.id == id).unwrap_or(usize::MAX);
    let mut asked = of.purposes.clone();
    asked.sort_by_key(|(id, _)| place(id));
    let purposes = asked.into_iter().map(|(id, allowed)| said(strings.purpose(id).title, allowed)).collect();
    let vendor = |id: &str| face.offer.vendors.iter().find(|v| v.id == id).map_or_else(|| plain(id), |v| v.name.clone());
    let vendors = of.vendors.iter().map(|&(id, allowed)| said(vendor(id), allowed)).collect();
    let link = strings.text("choices", "link");
    ReceiptWords { facts, purposes, vendors, withdrawal: strings.filled("receipt", "withdrawal", &[("choices", link)]) }
}

/// A word of records in the language's words; one that this version does not know stays as it is.
fn told(strings: &Strings, prefix: &str, known: &[&'static str], word: &str, button: &str) -> String {
    match known.iter().find(|key| key.strip_prefix(prefix) == Some(word)) {
        Some(key) => strings.filled("receipt", key, &[("button", button)]),
        None => plain(word),
    }
}

/// What a decision came to.
pub(super) fn kind_in_words(strings: &Strings, kind: &str) -> String {
    told(strings, "kind_", &TOLD_KINDS, kind, "")
}

/// How a decision was expressed.
pub(super) fn method_in_words(strings: &Strings, method: &str) -> String {
    told(strings, "method_", &TOLD_METHODS, method, button(strings, method))
}

/// What the button of a method says.
fn button<'s>(strings: &'s Strings, method: &str) -> &'s str {
    match method {
        "accept_all" => strings.text("buttons", "accept_all"),
        "reject_all" => strings.text("buttons", "reject_all"),
        "withdraw" => strings.text("buttons", "withdraw"),
        _ => "",
    }
}

/// Date and time in UTC: where the visitor is, is not known.
pub(super) fn when(strings: &Strings, at: Timestamp) -> String {
    let time = at.strftime("%H:%M:%S").to_string();
    strings.filled("receipt", "when", &[("date", &strings.date(at)), ("time", &time)])
}

/// A record of everything that can be said: templates are tried with it when they are loaded.
pub(super) fn sample(of: &Face) -> ReceiptOf<'_> {
    ReceiptOf {
        id: "-",
        subject: "-",
        kind: "partial",
        method: "save",
        decided_at: Timestamp::UNIX_EPOCH,
        valid_until: Timestamp::UNIX_EPOCH,
        site: "-",
        controller: "",
        gpc: true,
        purposes: of.offer.purposes.iter().map(|purpose| (purpose.id.as_str(), true)).collect(),
        vendors: of.offer.vendors.iter().map(|vendor| (vendor.id.as_str(), false)).collect(),
        notice: "-",
        policy: "-",
        index: 0,
        record: "{}",
        salt: "-",
        commitment: "-",
        proof: "-",
        key: "-",
    }
}
