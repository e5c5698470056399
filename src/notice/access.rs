//! The page of an access request: what `consentry log access` gives as data, to be read by a person.
//!
//! It is made where no policy need be loaded: purposes and vendors are called what the notices called them
//! that the visitor saw, and the other words are the built-in ones.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde_json::Value as Json;

use super::{
    receipt,
    strings::{DEFAULT, Strings},
    templates::{ACCESS, PAGE, STYLE, TemplateSources},
};

/// The languages that [`access_page`] is written in.
pub fn access_languages() -> Vec<String> {
    TemplateSources::embedded().strings().map(|(tag, _, _)| tag.to_owned()).collect()
}

/// The page, UTF-8, a whole document that loads nothing. `data` is what `Reader::access` gives; an unknown
/// language is English. An error is a fault of this program, in words.
pub fn access_page(language: &str, data: &Json) -> Result<String, String> {
    let sources = TemplateSources::embedded();
    let strings = Strings::embedded(language).or_else(|| Strings::embedded(DEFAULT)).expect("English is embedded");
    let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let told: BTreeMap<String, BTreeMap<&str, String>> = list("records")
        .iter()
        .filter(|record| record["erased"] != true)
        .map(|record| (record["index"].to_string(), in_words(&strings, record)))
        .collect();
    let pages: BTreeMap<String, String> =
        list("notices").iter().map(|notice| (text(&notice["sha256"]), as_shown(notice))).collect();
    let policies: BTreeMap<String, String> =
        list("policies").iter().map(|policy| (text(&policy["enforced"]), format!("{:#}", policy["policy"]))).collect();
    let made = data["made_at"].as_str().and_then(|time| time.parse().ok()).map(|time| receipt::when(&strings, time));
    let values = context! {
        lang => strings.tag.as_str(),
        dir => strings.text("language", "dir"),
        t => strings.all_filled(&[]),
        css => sources.fixed(STYLE),
        data => of_json(data),
        made => made.unwrap_or_default(),
        told, pages, policies,
    };
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    let rendered =
        [ACCESS, PAGE].into_iter().try_for_each(|path| templates.add_template_owned(path, sources.fixed(path).to_owned()));
    rendered.and_then(|()| templates.get_template(ACCESS)?.render(values)).map_err(|error| format!("{error:#}"))
}

/// Data as templates take it.
fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => number.as_i64().map_or_else(|| Value::from(number.to_string()), Value::from),
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.iter().map(of_json).collect(),
        Json::Object(members) => {
            Value::from(members.iter().map(|(name, member)| (name.clone(), of_json(member))).collect::<BTreeMap<_, _>>())
        }
    }
}

fn in_words(strings: &Strings, record: &Json) -> BTreeMap<&'static str, String> {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let time = |name: &str| text(name).parse::<jiff::Timestamp>().unwrap_or_default();
    BTreeMap::from([
        ("decision", receipt::kind_in_words(strings, text("decision"))),
        ("method", receipt::method_in_words(strings, text("method"))),
        ("decided", receipt::when(strings, time("decided_at"))),
        ("until", strings.date(time("valid_until"))),
    ])
}

/// A notice as a document of its own, for a frame without an origin and without scripts: the style that it had
/// stands in it, and nothing can be loaded.
fn as_shown(notice: &Json) -> String {
    let css = notice["snapshot"]["css"].as_str().unwrap_or_default();
    let html = notice["html"].as_str().unwrap_or_default();
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"content-security-policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>{css}</style>{html}"
    )
}
