//! Canonical JSON (RFC 8785): one value, one sequence of bytes. What is hashed is what is stored.
//!
//! Numbers are whole and exactly representable in every JSON reader (I-JSON, RFC 7493 section 2.2);
//! the shortest-float rules of RFC 8785 section 3.2.2.3 are not needed and not here.

use serde_json::{Number, Value};

/// The largest whole number that every JSON reader holds exactly: 2^53 - 1.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A number that has no canonical form here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not a whole number between -(2^53 - 1) and 2^53 - 1")]
pub struct NotCanonical(String);

/// The canonical text of a value.
pub fn canonical(value: &Value) -> Result<String, NotCanonical> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&whole(number)?),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                comma(position, out);
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            // RFC 8785 section 3.2.3 sorts by UTF-16 code units, which is not the order of UTF-8 bytes.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (position, (name, member)) in members.into_iter().enumerate() {
                comma(position, out);
                quote(name, out);
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn comma(position: usize, out: &mut String) {
    if position > 0 {
        out.push(',');
    }
}

fn whole(number: &Number) -> Result<String, NotCanonical> {
    match number.as_i64() {
        Some(whole) if whole.unsigned_abs() <= WHOLE_MAX => Ok(whole.to_string()),
        _ => Err(NotCanonical(number.to_string())),
    }
}

/// RFC 8785 section 3.2.2.2: the short escapes, `\u00xx` for other controls, all else as it is.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(input: &str, want: &str) {
        let value: Value = serde_json::from_str(input).expect("the test's JSON");
        assert_eq!(canonical(&value).expect("whole numbers"), want);
    }

    #[test]
    fn members_are_sorted_by_utf16() {
        // The member names of RFC 8785 section 3.2.3.
        check(
            r#"{"\u20ac":"Euro","\r":"CR","\ufb33":"Dalet","1":"One","\ud83d\ude00":"Smile","\u0080":"Control","\u00f6":"Latin"}"#,
            "{\"\\r\":\"CR\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin\",\"\u{20ac}\":\"Euro\",\"\u{1f600}\":\"Smile\",\"\u{fb33}\":\"Dalet\"}",
        );
    }

    #[test]
    fn text_is_escaped_no_more_than_needed() {
        check(r#"["\u0000\u001f\b\t\n\f\r\"\\\/\u007f\u00e9</"]"#, "[\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}\u{e9}</\"]");
        check("{ \"b\" : [ 1, -2, null ], \"a\" : { } }", r#"{"a":{},"b":[1,-2,null]}"#);
    }

    #[test]
    fn numbers_that_readers_disagree_on_are_refused() {
        for number in [json!(1.5), json!(1e30), json!(u64::MAX), json!(1_u64 << 53)] {
            assert!(canonical(&number).is_err(), "{number}");
        }
        assert_eq!(canonical(&json!((1_u64 << 53) - 1)).as_deref(), Ok("9007199254740991"));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let whole = -(WHOLE_MAX as i64)..=WHOLE_MAX as i64;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            whole.prop_map(|n| json!(n)),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The canonical text says the same value, and canonicalising it again changes nothing.
        #[test]
        fn canonical_text_is_a_fixed_point(value in any_value()) {
            let text = canonical(&value).expect("whole numbers");
            let again: Value = serde_json::from_str(&text).expect("canonical text is JSON");
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(canonical(&again).expect("whole numbers"), text);
        }
    }
}
