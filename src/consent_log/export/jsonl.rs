//! One leaf a line: its canonical bytes with `_html` (notices), `_idx`, `_kind`, `_leaf` (the
//! commitment) and `_salt` put before its first member.
//!
//! A record that is erased, or restricted and not asked for, has a line too, without bytes and salt: `_erased_by`
//! or `_restricted_by` is the index of the act.
//!
//! `_` sorts before every member that a leaf has, so the line is canonical JSON too, and cutting the
//! line after `_salt` gives back the very bytes that `_leaf` is the SHA-256 of, behind the salt:
//! `sed -E 's/^.*"_salt":"[0-9a-f]{64}",/{/'`. No JSON reader is needed to verify an export.

use std::io::Write;

use serde_json::{Value, json};

use super::output;
use crate::{
    consent_log::{Leaf, LeafKind, LogError, Reader, canonical},
    vocab::Hash,
};

pub(super) fn write(reader: &Reader, leaf: &Leaf, out: &mut dyn Write) -> Result<(), LogError> {
    let html = match leaf.kind {
        LeafKind::Notice => Some(reader.notice_html(leaf)?),
        LeafKind::Decision | LeafKind::Policy | LeafKind::Act => None,
    };
    line(leaf, html, out)
}

/// The line of a leaf, with a notice's markup where it is given.
pub(in crate::consent_log) fn line(leaf: &Leaf, html: Option<String>, out: &mut dyn Write) -> Result<(), LogError> {
    let html = match html {
        Some(html) => format!("\"_html\":{},", canonical(&Value::String(html))?),
        None => String::new(),
    };
    if leaf.bytes.is_empty() {
        let (why, act) = match (leaf.erased, leaf.restricted) {
            (Some(act), _) => ("_erased_by", act),
            (None, act) => ("_restricted_by", act.unwrap_or_default()),
        };
        let named = json!({ why: act, "_idx": leaf.index, "_kind": leaf.kind.as_str(), "_leaf": leaf.commitment.to_string() });
        return writeln!(out, "{}", canonical(&named)?).map_err(output);
    }
    let members = leaf.bytes.strip_prefix('{').expect("every leaf is a JSON object: it was written or parsed as one");
    writeln!(
        out,
        "{{{html}\"_idx\":{},\"_kind\":\"{}\",\"_leaf\":\"{}\",\"_salt\":\"{}\",{members}",
        leaf.index,
        leaf.kind,
        leaf.commitment,
        Hash(leaf.salt)
    )
    .map_err(output)
}
