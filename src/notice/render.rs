//! Templates and values -> markup with holes. One language's values are made once; only the
//! preference page adds a visitor's own.

use std::collections::BTreeMap;

use minijinja::{Environment, Error, UndefinedBehavior, Value};

use super::{
    assets::Assets,
    fill::Hole,
    offer::{Offer, OfferedPurpose, SEPARATOR, plain},
    receipt::{self, ReceiptOf, Said},
    shown::{Shown, Ticked},
    strings::Strings,
    templates::{self, HTML, TemplateSources},
};
use crate::config::Fault;
use crate::consent::Problem;

/// From this many vendors on, the banner folds their names.
const VENDORS_FOLDED_FROM: usize = 25;

type Values = BTreeMap<&'static str, Value>;

/// The compiled templates.
pub(super) struct Renderer {
    templates: Environment<'static>,
    css: Value,
}

impl Renderer {
    pub(super) fn new(sources: &TemplateSources, faults: &mut Vec<Fault>) -> Self {
        let mut templates = Environment::new();
        // A misspelt name in a template must not become an empty place in a notice.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for path in HTML {
            if let Err(error) = templates.add_template_owned(path, sources.fixed(path).to_owned()) {
                faults.push(fault(path, &error));
            }
        }
        Self { templates, css: Value::from(sources.fixed(templates::STYLE)) }
    }

    /// Markup with holes, before anything is filled in.
    pub(super) fn banner(&self, face: &Face) -> Result<String, Fault> {
        self.render(templates::BANNER, &face.values)
    }

    pub(super) fn choices(&self, face: &Face) -> Result<String, Fault> {
        self.render(templates::CHOICES, &face.values)
    }

    pub(super) fn preferences(&self, face: &Face, shown: &Shown) -> Result<String, Fault> {
        let mut values = face.values.clone();
        values.insert("purposes", face.ticked(shown));
        values.insert("decided", face.decided(shown));
        values.insert("problems", face.problems(shown));
        let message = shown.message.map(|message| face.strings.text("messages", message.key()));
        values.insert("message", Value::from(message.unwrap_or_default()));
        self.render(templates::PREFERENCES, &values)
    }

    /// The receipt of one record. The style stands in the page: it is to be kept and printed.
    pub(super) fn receipt(&self, face: &Face, of: &ReceiptOf<'_>) -> Result<String, Fault> {
        let words = receipt::words(face, of);
        let said = |said: &Said| {
            Value::from(BTreeMap::from([
                ("title", Value::from(&said.title)),
                ("allowed", Value::from(said.allowed)),
                ("answer", Value::from(&said.answer)),
            ]))
        };
        let fact = |(label, text): &(String, String)| {
            let lines: Vec<Value> = text.lines().map(Value::from).collect();
            Value::from(BTreeMap::from([("label", Value::from(label)), ("lines", Value::from(lines))]))
        };
        let proof = [
            ("id", of.id),
            ("subject", of.subject),
            ("notice", of.notice),
            ("policy", of.policy),
            ("index", &of.index.to_string()),
            ("record", of.record),
            ("salt", of.salt),
            ("commitment", of.commitment),
            ("path", of.proof),
            ("key", of.key),
        ];
        let mut values = face.values.clone();
        values.insert("css", self.css.clone());
        values.insert("facts", words.facts.iter().map(fact).collect());
        values.insert("purposes", words.purposes.iter().map(said).collect());
        values.insert("vendors", words.vendors.iter().map(said).collect());
        values.insert("withdrawal", Value::from(words.withdrawal));
        values
            .insert("proof", Value::from(proof.map(|(name, text)| (name, plain(text))).into_iter().collect::<BTreeMap<_, _>>()));
        self.render(templates::RECEIPT, &values)
    }

    pub(super) fn error(&self, strings: &Strings, status: u16, detail: &str) -> Result<String, Fault> {
        let table = match status {
            403 => "error_403",
            404 => "error_404",
            413 => "error_413",
            421 => "error_421",
            422 => "error_422",
            429 => "error_429",
            502 => "error_502",
            503 => "error_503",
            504 => "error_504",
            _ => "error_other",
        };
        self.error_of(table, strings, status, detail)
    }

    /// The error page with the texts of a table.
    pub(super) fn error_of(&self, table: &'static str, strings: &Strings, status: u16, detail: &str) -> Result<String, Fault> {
        let values = Values::from([
            ("lang", Value::from(strings.tag.as_str())),
            ("dir", Value::from(strings.text("language", "dir"))),
            ("title", Value::from(strings.text(table, "title"))),
            ("text", Value::from(strings.text(table, "text"))),
            ("status", Value::from(status)),
            ("detail", Value::from(detail)),
            ("css", self.css.clone()),
        ]);
        self.render(templates::ERROR, &values)
    }

    fn render(&self, path: &'static str, values: &Values) -> Result<String, Fault> {
        let rendered = self.templates.get_template(path).and_then(|template| template.render(Value::from(values.clone())));
        // minijinja escapes slashes, for markup inside scripts, of which there is none here; addresses
        // in a stored notice should be readable.
        rendered.map(|html| html.replace("&#x2f;", "/")).map_err(|error| fault(path, &error))
    }
}

/// minijinja names the template that is at fault, which may be one that `path` includes.
fn fault(path: &str, error: &Error) -> Fault {
    let file = error.name().unwrap_or(path);
    let message = format!("{}: {}", error.kind(), error.detail().unwrap_or("the template cannot be rendered"));
    let mend = "compare it with the file that `consentry init` writes";
    Fault { line: error.line().unwrap_or(0), column: 1, ..Fault::whole(file, message, mend) }
}

/// Everything that is the same for all visitors of one language.
pub(super) struct Face {
    pub(super) strings: Strings,
    pub(super) offer: Offer,
    values: Values,
}

impl Face {
    pub(super) fn new(strings: Strings, offer: Offer, assets: &Assets) -> Self {
        let mut face = Self { values: Values::new(), strings, offer };
        face.values = face.values(assets);
        face
    }

    /// Every box ticked.
    pub(super) fn everything(&self) -> Ticked {
        Ticked {
            purposes: self.offer.purposes.iter().map(|purpose| purpose.id.clone()).collect(),
            vendors: self.offer.vendors.iter().map(|vendor| vendor.id.clone()).collect(),
        }
    }

    /// The names that are the same all over a site.
    fn common(&self) -> [(&'static str, String); 5] {
        [
            ("controller", self.offer.controller.name.clone()),
            ("vendors", self.strings.counted("vendors_count", self.offer.vendors.len() as u64)),
            ("months", self.months(self.offer.decision_months)),
            ("proof", self.months(self.offer.proof_months)),
            ("choices", self.strings.text("choices", "link").to_owned()),
        ]
    }

    pub(super) fn months(&self, n: u64) -> String {
        self.strings.counted("months", n)
    }

    fn values(&self, assets: &Assets) -> Values {
        let common = self.common();
        let common: Vec<(&str, &str)> = common.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let texts: BTreeMap<&str, Value> =
            self.strings.all_filled(&common).into_iter().map(|(table, texts)| (table, Value::from(texts))).collect();
        let controller = &self.offer.controller;
        let duration = if self.offer.proof_months == 0 { "duration_unkept" } else { "duration" };
        let mark = |hole: Hole| Value::from(hole.mark().to_string());
        Values::from([
            ("lang", Value::from(self.strings.tag.as_str())),
            ("dir", Value::from(self.strings.text("language", "dir"))),
            ("t", Value::from(texts)),
            ("site", Value::from(if self.offer.site.is_empty() { &controller.name } else { &self.offer.site })),
            ("controller", self.controller()),
            ("purposes", self.ticked(&Shown::default())),
            ("vendor_names", Value::from(self.offer.vendor_names())),
            ("vendors_long", Value::from(self.offer.vendors.len() >= VENDORS_FOLDED_FROM)),
            ("duration", Value::from(self.strings.filled("preferences", duration, &common))),
            ("privacy_policy", Value::from(on_this_origin(&controller.privacy_policy))),
            ("prefix", mark(Hole::Prefix)),
            ("token", mark(Hole::Token)),
            ("return_to", mark(Hole::Return)),
            ("return_query", mark(Hole::ReturnQuery)),
            ("back", Value::from(format!("{}{}", Hole::Origin.mark(), Hole::Return.mark()))),
            ("stylesheet", Value::from(format!("{}/assets/{}", Hole::Prefix.mark(), assets.style.path))),
        ])
    }

    fn controller(&self) -> Value {
        let controller = &self.offer.controller;
        Value::from(BTreeMap::from([
            ("name", Value::from(&controller.name)),
            ("address", Value::from(&controller.address)),
            ("contact", Value::from(&controller.contact)),
            ("contact_href", Value::from(contact_href(&controller.contact))),
            ("dpo", Value::from(&controller.dpo)),
            ("dpo_href", Value::from(contact_href(&controller.dpo))),
        ]))
    }

    fn ticked(&self, shown: &Shown) -> Value {
        self.offer.purposes.iter().map(|purpose| self.purpose(purpose, shown)).collect()
    }

    fn purpose(&self, purpose: &OfferedPurpose, shown: &Shown) -> Value {
        let vendors: Value = purpose
            .vendors
            .iter()
            .map(|listed| {
                let vendor = &self.offer.vendors[listed.vendor];
                Value::from(BTreeMap::from([
                    ("id", Value::from(&vendor.id)),
                    ("name", Value::from(&vendor.name)),
                    ("company", Value::from(&vendor.company)),
                    ("privacy_policy", Value::from(&vendor.privacy_policy)),
                    ("policy_of", Value::from(&vendor.policy_of)),
                    ("description", Value::from(&vendor.description)),
                    ("note", Value::from(&listed.note)),
                    ("ticked", Value::from(shown.ticked.vendors.contains(&vendor.id))),
                ]))
            })
            .collect();
        Value::from(BTreeMap::from([
            ("id", Value::from(&purpose.id)),
            ("always", Value::from(purpose.always)),
            ("title", Value::from(&purpose.title)),
            ("short", Value::from(&purpose.short)),
            ("description", Value::from(&purpose.description)),
            ("all", Value::from(&purpose.all)),
            ("vendors_of", Value::from(&purpose.vendors_of)),
            ("vendors", vendors),
            ("elsewhere", Value::from(&purpose.elsewhere)),
            ("ticked", Value::from(shown.ticked.purposes.contains(&purpose.id))),
        ]))
    }

    /// The recorded choice in words, or nothing.
    fn decided(&self, shown: &Shown) -> Value {
        let Some(decided) = shown.decided else { return Value::from(()) };
        let purposes =
            self.offer.purposes.iter().filter(|p| !p.always && shown.ticked.purposes.contains(&p.id)).map(|p| &p.title);
        let vendors = self.offer.vendors.iter().filter(|v| shown.ticked.vendors.contains(&v.id)).map(|v| &v.name);
        let allowed: Vec<&str> = purposes.chain(vendors).map(String::as_str).collect();
        let dates = [("decided", self.strings.date(decided.at)), ("expires", self.strings.date(decided.expires))];
        let dates: Vec<(&str, &str)> = dates.iter().map(|(name, date)| (*name, date.as_str())).collect();
        Value::from(BTreeMap::from([
            ("text", Value::from(self.strings.filled("preferences", "decided", &dates))),
            ("receipt", Value::from(decided.receipt)),
            ("allowed", Value::from(allowed.join(SEPARATOR))),
        ]))
    }

    fn problems(&self, shown: &Shown) -> Value {
        let line = |(field, problem): &(String, Problem)| {
            Value::from(BTreeMap::from([
                ("text", Value::from(self.strings.filled("problems", problem.key(), &[("field", &plain(field))]))),
                ("anchor", Value::from(self.anchor(field))),
            ]))
        };
        shown.problems.iter().map(line).collect()
    }

    /// The id of the box of a field, empty where the page has none.
    fn anchor(&self, field: &str) -> String {
        match field.split_once('.') {
            Some(("purpose", id)) if self.offer.purposes.iter().any(|p| p.id == id) => format!("consentry-purpose-{id}"),
            Some(("vendor", id)) if self.offer.vendors.iter().any(|v| v.id == id) => format!("consentry-vendor-{id}"),
            _ => String::new(),
        }
    }
}

/// A path is made absolute: the page may carry a `<base>`.
fn on_this_origin(address: &str) -> String {
    if address.starts_with('/') { format!("{}{address}", Hole::Origin.mark()) } else { address.to_owned() }
}

/// Where a contact leads: an address of the web as it is, an e-mail address as `mailto:`, else nowhere.
fn contact_href(contact: &str) -> String {
    let web = url::Url::parse(contact).is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
    let mail = || contact.contains('@') && !contact.contains([':', '/', '?', '&', '#', '%', '<', '>', '"', ' ']);
    if web {
        contact.to_owned()
    } else if contact.starts_with('/') && !contact.starts_with("//") {
        on_this_origin(contact)
    } else if mail() {
        format!("mailto:{contact}")
    } else {
        String::new()
    }
}
