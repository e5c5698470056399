//! A notice as evidence: what was shown, as canonical JSON, addressed by its SHA-256.
//!
//! In it is everything that a visitor could see or that decided how it looked: the markup with
//! tokens and addresses blanked, style, script, texts, purposes, vendors, controller, durations.
//! Not in it: the product's version and anything else that changes without the notice changing.

use serde_json::{Value, json};

use super::{assets::Assets, offer::Offer, strings::Strings};
use crate::vocab::Hash;

/// Where in the workflow a notice stands (EDPB guideline 05/2020, paragraph 108).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The first layer, over the site's pages.
    Banner,
    /// The preference page.
    Preferences,
}

impl Layer {
    /// The word in records: `banner` or `preferences`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Banner => "banner",
            Self::Preferences => "preferences",
        }
    }

    /// The buttons in the order in which they stand; `choose` leads to the preference page.
    fn buttons(self) -> &'static [&'static str] {
        match self {
            Self::Banner => &["accept_all", "reject_all", "choose"],
            Self::Preferences => &["save", "accept_all", "reject_all"],
        }
    }
}

/// One notice of one language, as shown and as stored.
#[derive(Clone, Debug)]
pub struct Notice {
    /// SHA-256 of the snapshot.
    pub hash: Hash,
    /// Banner or preference page.
    pub layer: Layer,
    /// The language tag in lower case, such as `de`.
    pub lang: String,
    /// Canonical JSON (RFC 8785 for the values that occur here), ASCII or UTF-8.
    pub snapshot: String,
    /// The markup in it: as shown to somebody who has not decided, tokens and addresses blanked.
    pub html: String,
}

impl Notice {
    /// `html` is the blank rendering: nobody has decided, tokens and addresses are empty.
    pub(super) fn new(layer: Layer, strings: &Strings, offer: &Offer, assets: &Assets, html: &str) -> Self {
        let mut snapshot = offer.snapshot();
        let Value::Object(fields) = &mut snapshot else { unreachable!("an offer's snapshot is an object") };
        let button = |&key: &&str| json!({ "choice": key, "label": strings.text("buttons", key), "prominence": "equal" });
        let own = [
            ("v", json!("consent-notice/1")),
            ("layer", json!(layer.as_str())),
            ("lang", json!(strings.tag)),
            ("buttons", Value::Array(layer.buttons().iter().map(button).collect())),
            ("css", json!(assets.style.text())),
            ("css_sha256", json!(assets.style.hash.to_string())),
            ("html", json!(html)),
            ("html_sha256", json!(Hash::of(html.as_bytes()).to_string())),
            ("js", json!(assets.script)),
            ("js_sha256", json!(assets.script_hash.to_string())),
            ("texts", json!(strings.all_filled(&[]))),
            ("withdrawal_method", json!(strings.text("preferences", "withdrawal"))),
        ];
        fields.extend(own.map(|(key, value)| (key.to_owned(), value)));
        // serde_json keeps object keys sorted unless its `preserve_order` feature is on; a test holds it.
        let snapshot = snapshot.to_string();
        Self { hash: Hash::of(snapshot.as_bytes()), layer, lang: strings.tag.clone(), snapshot, html: html.to_owned() }
    }
}
