//! The consent record: the stored proof of one decision, and its one sequence of bytes.
//!
//! Pure: no I/O, no clock; the caller says when and what. The field names are those of
//! `consent-record/1`; the mandatory fields of ISO/IEC TS 27560 that are the same for every visitor
//! stand in the notice that the record cites. There is no field for an address of the visitor, a
//! user agent string or a page: what is not needed for the proof has no place to be put.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::canonical::canonical;
use crate::vocab::{Hash, PolicyRevision, SubjectId};

/// The format that [`Record::canonical`] writes.
const FORMAT: &str = "consent-record/1";

/// The proof of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's id, a version 7 UUID: [`record_id`].
    pub id: Uuid,
    /// The visitor's previous record: a withdrawal cites the grant it ends.
    pub prev: Option<Uuid>,
    /// What the decision came to.
    pub kind: Kind,
    /// When, by the server's clock. Kept to the millisecond.
    pub time: Timestamp,
    /// Until when the decision is valid. Kept to the millisecond.
    pub expires: Timestamp,
    /// The site's host.
    pub site: String,
    /// The controller's name; address and contact are in the notice.
    pub controller: String,
    /// The visitor's pseudonym; none for a refusal by somebody who never granted anything.
    pub subject: Option<SubjectId>,
    /// The address of the notice that was answered.
    pub notice: Hash,
    /// The policy revision in force.
    pub policy: PolicyRevision,
    /// The language of the notice (BCP 47).
    pub language: String,
    /// Where in the workflow.
    pub layer: Layer,
    /// How it was expressed.
    pub method: Method,
    /// Whether the request carried `Sec-GPC: 1`.
    pub gpc: bool,
    /// Every purpose that the notice showed, refusals included.
    pub purposes: BTreeMap<String, bool>,
    /// The vendors that differ from their purposes.
    pub vendors: BTreeMap<String, bool>,
    /// The jurisdiction applied, such as `EU`.
    pub jurisdiction: String,
    /// The id of the regime applied.
    pub regime: String,
    /// The kind of browser, for plausibility.
    pub browser: Option<BrowserClass>,
    /// The address of the rule set that held tags back: [`super::PolicyLeaf::address`].
    pub enforced: Hash,
    /// The version of the product that wrote the record.
    pub product: String,
}

/// Why stored bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// Not JSON.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// A field is missing or has the wrong shape.
    #[error("its field `{0}` is missing or has the wrong shape")]
    Field(&'static str),
    /// The bytes are not the one form that says this record.
    #[error("its bytes are not the canonical form of {FORMAT}")]
    Form,
}

/// A new record id: a version 7 UUID (RFC 9562) for that time.
pub fn record_id(time: Timestamp) -> Uuid {
    // A clock before 1970 is a broken clock; the id's time part is then 0 and its random part still unique.
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    let nanos = u32::try_from(time.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// RFC 3339 in UTC with milliseconds: the one form of a time in records and exports.
pub(super) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

// === impl Record ===

impl Record {
    /// The stored and hashed bytes: canonical JSON (RFC 8785).
    pub fn canonical(&self) -> String {
        canonical(&self.value()).expect("a record's only numbers are 0 and 1")
    }

    /// Reads stored bytes. Only the exact canonical form is a record: what was hashed is what is shown.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordFault> {
        let fields = Fields(serde_json::from_slice(bytes)?);
        let record = Self {
            id: fields.parsed("id")?,
            prev: fields.optional("prev")?,
            kind: fields.word("kind", Kind::parse)?,
            time: fields.parsed("t")?,
            expires: fields.parsed("exp")?,
            site: fields.text("site")?.to_owned(),
            controller: fields.text("ctrl")?.to_owned(),
            subject: fields.optional_word("sub", SubjectId::parse)?,
            notice: fields.word("notice", Hash::parse)?,
            policy: PolicyRevision(fields.word("policy", Hash::parse)?),
            language: fields.text("lang")?.to_owned(),
            layer: fields.word("layer", Layer::parse)?,
            method: fields.word("method", Method::parse)?,
            gpc: fields.0["sig"]["gpc"].as_bool().ok_or(RecordFault::Field("sig"))?,
            purposes: fields.choices("p")?,
            vendors: fields.choices("vd")?,
            jurisdiction: fields.0["jur"]["area"].as_str().ok_or(RecordFault::Field("jur"))?.to_owned(),
            regime: fields.0["jur"]["regime"].as_str().ok_or(RecordFault::Field("jur"))?.to_owned(),
            browser: fields.optional_word("ua", BrowserClass::parse)?,
            enforced: fields.word("enf", Hash::parse)?,
            product: fields.0["src"]["version"].as_str().ok_or(RecordFault::Field("src"))?.to_owned(),
        };
        // Catches unknown fields, constants that differ and every other way to write the same thing.
        if record.canonical().as_bytes() == bytes { Ok(record) } else { Err(RecordFault::Form) }
    }

    /// Every choice by the name it has in a decision's form: each purpose asked for, and
    /// `vendor.<id>` for each vendor that differs from its purposes.
    pub fn choices(&self) -> impl Iterator<Item = (Cow<'_, str>, bool)> {
        let purposes = self.purposes.iter().map(|(id, granted)| (Cow::Borrowed(id.as_str()), *granted));
        purposes.chain(self.vendors.iter().map(|(id, granted)| (Cow::Owned(format!("vendor.{id}")), *granted)))
    }

    fn value(&self) -> Value {
        let mut value = json!({
            "v": FORMAT,
            "id": self.id.to_string(),
            "prev": self.prev.map(|prev| prev.to_string()),
            "kind": self.kind.as_str(),
            "t": stamp(self.time),
            "exp": stamp(self.expires),
            "site": self.site,
            "ctrl": self.controller,
            "by": if self.layer == Layer::Api { "agent" } else { "subject" },
            "notice": self.notice.to_string(),
            "policy": self.policy.to_string(),
            "lang": self.language,
            "layer": self.layer.as_str(),
            "method": self.method.as_str(),
            "sig": { "gpc": self.gpc },
            "p": choices(&self.purposes),
            "vd": choices(&self.vendors),
            "type": "expressed",
            "jur": { "area": self.jurisdiction, "regime": self.regime },
            "enf": self.enforced.to_string(),
            "src": { "version": self.product },
        });
        if let Some(subject) = &self.subject {
            value["sub"] = json!(subject.encode());
        }
        if let Some(browser) = &self.browser {
            value["ua"] = json!(browser.0);
        }
        value
    }
}

fn choices(of: &BTreeMap<String, bool>) -> Value {
    Value::Object(of.iter().map(|(id, granted)| (id.clone(), json!(u8::from(*granted)))).collect())
}

/// A record's JSON while it is read.
struct Fields(Value);

impl Fields {
    fn text(&self, name: &'static str) -> Result<&str, RecordFault> {
        self.0[name].as_str().ok_or(RecordFault::Field(name))
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, RecordFault> {
        self.text(name)?.parse().map_err(|_| RecordFault::Field(name))
    }

    fn optional<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, RecordFault> {
        if self.0[name].is_null() { Ok(None) } else { self.parsed(name).map(Some) }
    }

    fn word<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RecordFault> {
        parse(self.text(name)?).ok_or(RecordFault::Field(name))
    }

    fn optional_word<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, RecordFault> {
        if self.0[name].is_null() { Ok(None) } else { self.word(name, parse).map(Some) }
    }

    fn choices(&self, name: &'static str) -> Result<BTreeMap<String, bool>, RecordFault> {
        let members: &Map<String, Value> = self.0[name].as_object().ok_or(RecordFault::Field(name))?;
        let choice = |(id, value): (&String, &Value)| match value.as_u64() {
            Some(bit @ (0 | 1)) => Ok((id.clone(), bit == 1)),
            _ => Err(RecordFault::Field(name)),
        };
        members.iter().map(choice).collect()
    }
}

// === words ===

/// An enum whose variants are words in records.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// Every variant.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in records and exports.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    /// What a decision came to.
    Kind {
        /// Everything that was asked was granted.
        Given = "given",
        /// Nothing that was asked was granted, by somebody who had granted nothing before.
        Refused = "refused",
        /// Some of it was granted.
        Partial = "partial",
        /// Granted again what was granted before.
        Renewed = "renewed",
        /// A grant was taken back (GDPR art. 7(3)).
        Withdrawn = "withdrawn",
    }
}

words! {
    /// How a decision was expressed.
    Method {
        /// The button **Accept all**.
        AcceptAll = "accept_all",
        /// The button **Reject all**.
        RejectAll = "reject_all",
        /// A choice, saved.
        Save = "save",
        /// A withdrawal.
        Withdraw = "withdraw",
        /// A script of the site's own surface.
        Api = "api",
    }
}

words! {
    /// Where in the workflow a decision was made.
    Layer {
        /// The banner.
        Banner = "banner",
        /// The preference page.
        Preferences = "preferences",
        /// With a notice token for scripts.
        Api = "api",
    }
}

/// A browser's kind and form, such as `chrome/desktop`; never a user agent string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserClass(String);

impl BrowserClass {
    /// Two short words of lower-case letters with a `/` between: a user agent string does not fit.
    pub fn parse(text: &str) -> Option<Self> {
        let word = |part: &str| (1..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
        let (kind, form) = text.split_once('/')?;
        (word(kind) && word(form)).then(|| Self(text.to_owned()))
    }

    /// The two words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
