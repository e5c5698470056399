//! Records in the forms that others have set: ISO/IEC TS 27560:2023 by the Data Privacy Vocabulary (the guide to
//! 27560 of 2026-02-15, section 7.2), and the Kantara consent receipt 1.1. One record, the notice that it
//! answered, one value; the mandatory fields that are the same for all visitors come from the notice.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::consent_log::{
    Leaf,
    record::{Kind, Layer, Method, Record, stamp},
};

/// What the short names in [`jsonld`] stand for.
pub(super) fn context() -> Value {
    json!({
        "dct": "http://purl.org/dc/terms/",
        "dpv": "https://w3id.org/dpv#",
        "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    })
}

/// A consent record of DPV, of the profile `record-eu-gdpr`.
pub(super) fn jsonld(leaf: &Leaf, record: &Record, notice: &Value) -> Value {
    let controller = party(&notice["controller"], record);
    let mut value = json!({
        "@id": format!("urn:uuid:{}", record.id),
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": { "@id": "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr" },
        "dct:identifier": record.id.to_string(),
        "dct:isPartOf": format!("consent log, index {}", leaf.index),
        "dpv:hasDataSubject": subject(record),
        "dpv:hasDataController": controller,
        "dpv:hasNotice": {
            "@id": format!("urn:sha256:{}", record.notice),
            "@type": "dpv:PrivacyNotice",
            "dct:language": record.language,
            "dct:source": text(&notice["controller"], "privacy_policy"),
        },
        "dct:language": record.language,
        "dpv:hasJurisdiction": record.jurisdiction,
        "dpv:hasConsentControl": text(notice, "withdrawal_method"),
        "dpv:hasProcess": processes(record, notice),
        "dpv:hasStorageCondition": {
            "@type": "dpv:StorageDuration",
            "dct:description": format!("the record is kept for {} months after it ran out", notice["proof_months"].as_u64().unwrap_or(0)),
            "dct:spatial": "the operator's own server",
        },
        "@included": [{
            "@type": if record.kind == Kind::Withdrawn { "dpv:WithdrawConsent" } else { "dpv:ExpressedConsent" },
            "dpv:isIndicatedAtTime": { "@type": "xsd:dateTime", "@value": stamp(record.time) },
            "dpv:hasDuration": { "@type": "dpv:UntilTimeDuration", "dct:valid": { "@type": "xsd:dateTime", "@value": stamp(record.expires) } },
            "dpv:isIndicatedBy": if record.layer == Layer::Api { json!("a program of the site") } else { subject(record) },
            "dpv:hasIndicationMethod": indicated(record),
            "dpv:hasConsentStatus": { "@id": record_status(record.kind) },
        }],
    });
    if let Some(prev) = record.prev {
        value["dct:replaces"] = json!({ "@id": format!("urn:uuid:{prev}") });
    }
    value
}

/// A consent receipt of Kantara 1.1; none for a record that grants nothing, for which that form has no words.
pub(super) fn kantara(record: &Record, notice: &Value) -> Option<Value> {
    if !record.choices().any(|(_, granted)| granted) {
        return None;
    }
    let controller = &notice["controller"];
    let first =
        |names: &[&str]| names.iter().map(|name| text(controller, name)).find(|text| !text.is_empty()).unwrap_or_default();
    let contact = first(&["dpo", "contact", "name"]);
    let purposes = granted(record, notice).map(|(id, purpose)| {
        let vendors = recipients(record, &purpose, notice);
        json!({
            "purpose": described(&purpose, &id),
            "purposeCategory": [text(&purpose, "dpv")],
            "consentType": "EXPLICIT",
            "piiCategory": ["online identifiers", "browsing behaviour"],
            "primaryPurpose": false,
            "termination": until(record.expires),
            "thirdPartyDisclosure": !vendors.is_empty(),
            "thirdPartyName": vendors.join(", "),
        })
    });
    Some(json!({
        "version": "KI-CR-v1.1.0",
        "jurisdiction": record.jurisdiction,
        "consentTimestamp": record.time.as_second(),
        "collectionMethod": indicated(record),
        "consentReceiptID": record.id.to_string(),
        "language": record.language,
        "piiPrincipalId": record.subject.map(|subject| subject.encode()).unwrap_or_default(),
        "piiControllers": [{
            "piiController": named(controller, record),
            "onBehalf": false,
            "contact": contact,
            "address": { "streetAddress": text(controller, "address") },
            "email": first(&["contact"]),
            "phone": "",
            "piiControllerUrl": format!("https://{}/", record.site),
        }],
        "policyUrl": text(controller, "privacy_policy"),
        "services": [{ "service": record.site, "purposes": purposes.collect::<Vec<_>>() }],
        "sensitive": false,
        "spiCat": [],
    }))
}

fn until(expires: Timestamp) -> String {
    format!("{}, or when it is withdrawn", stamp(expires))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn named<'v>(controller: &'v Value, record: &'v Record) -> &'v str {
    if record.controller.is_empty() { text(controller, "name") } else { &record.controller }
}

fn party(controller: &Value, record: &Record) -> Value {
    json!({
        "@type": "dpv:DataController",
        "dct:identifier": record.site,
        "dpv:hasName": named(controller, record),
        "dpv:hasAddress": text(controller, "address"),
        "dpv:hasContact": text(controller, "contact"),
    })
}

/// A refusal by somebody who never granted anything names nobody.
fn subject(record: &Record) -> Value {
    match record.subject {
        Some(subject) => json!({ "@id": format!("urn:consent-subject:{}", subject.encode()), "@type": "dpv:DataSubject" }),
        None => json!({ "@type": "dpv:DataSubject", "dct:description": "without an identifier" }),
    }
}

/// How it was expressed, in words that stand by themselves.
fn indicated(record: &Record) -> String {
    let method = match record.method {
        Method::AcceptAll => "the button that accepts all",
        Method::RejectAll => "the button that rejects all",
        Method::Save => "choices made and saved",
        Method::Withdraw => "the button that withdraws",
        Method::Api => "a script of the site",
    };
    format!("{method} ({})", record.layer)
}

/// Each purpose that was asked for, with its status and who would receive data for it.
fn processes(record: &Record, notice: &Value) -> Vec<Value> {
    let process = |(id, allowed): (&String, &bool)| {
        let purpose = purpose(notice, id);
        let kind = text(&purpose, "dpv");
        json!({
            "@type": "dpv:Process",
            "dpv:hasPurpose": {
                "@type": if kind.is_empty() { "dpv:Purpose" } else { kind },
                "dct:identifier": id,
                "dct:title": text(&purpose, "title"),
                "dct:description": text(&purpose, "description"),
            },
            "dpv:hasLegalBasis": { "@id": "eu-gdpr:A6-1-a" },
            "dpv:hasConsentStatus": { "@id": status(record, *allowed) },
            "dpv:hasPersonalData": [{ "@type": "dpv:PersonalData", "dct:title": "online identifiers and browsing behaviour" }],
            "dpv:hasRecipientThirdParty": recipients(record, &purpose, notice),
        })
    };
    record.purposes.iter().map(process).collect()
}

fn purpose(notice: &Value, id: &str) -> Value {
    let all = notice["purposes"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|purpose| purpose["id"] == id).cloned().unwrap_or(Value::Null)
}

fn described(purpose: &Value, id: &str) -> String {
    match (text(purpose, "title"), text(purpose, "description")) {
        ("", _) => id.to_owned(),
        (title, description) => format!("{title}: {description}"),
    }
}

/// Purposes with a grant: of their own, or of one of their vendors.
fn granted<'r>(record: &'r Record, notice: &'r Value) -> impl Iterator<Item = (String, Value)> + 'r {
    let all = record.purposes.iter().map(move |(id, allowed)| (id.clone(), *allowed, purpose(notice, id)));
    let of_vendor = move |purpose: &Value| {
        let members = purpose["vendors"].as_array().map(Vec::as_slice).unwrap_or_default();
        members.iter().filter_map(Value::as_str).any(|id| record.vendors.get(id) == Some(&true))
    };
    all.filter(move |(_, allowed, purpose)| *allowed || of_vendor(purpose)).map(|(id, _, purpose)| (id, purpose))
}

/// The names of the vendors that the decision lets receive data for a purpose.
fn recipients(record: &Record, purpose: &Value, notice: &Value) -> Vec<String> {
    let allowed = record.purposes.get(text(purpose, "id")).copied().unwrap_or(false);
    let members = purpose["vendors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let vendors = notice["vendors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |id: &str| vendors.iter().find(|vendor| vendor["id"] == id).map_or(id, |vendor| text(vendor, "name")).to_owned();
    members.iter().filter_map(Value::as_str).filter(|id| record.vendors.get(*id).copied().unwrap_or(allowed)).map(name).collect()
}

fn status(record: &Record, allowed: bool) -> &'static str {
    match (allowed, record.kind) {
        (true, Kind::Renewed) => "dpv:RenewedConsentGiven",
        (true, _) => "dpv:ConsentGiven",
        (false, Kind::Withdrawn) => "dpv:ConsentWithdrawn",
        (false, _) => "dpv:ConsentRefused",
    }
}

fn record_status(kind: Kind) -> &'static str {
    match kind {
        Kind::Given | Kind::Partial => "dpv:ConsentGiven",
        Kind::Renewed => "dpv:RenewedConsentGiven",
        Kind::Refused => "dpv:ConsentRefused",
        Kind::Withdrawn => "dpv:ConsentWithdrawn",
    }
}
