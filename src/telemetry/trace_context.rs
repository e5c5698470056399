//! The trace id of a `traceparent` header (W3C Trace Context, level 1). The header itself is passed on as
//! it came, well formed or not; a request without one gets none here.

use std::fmt;

/// A trace id: 32 lower-case hex digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// Reads the value of the one `traceparent` header (section 3.2.2). A version later than 00 may have
    /// more after its flags; version ff and an id of zeros are invalid.
    pub fn of(traceparent: &[u8]) -> Option<Self> {
        let (head, rest) = traceparent.split_at_checked(55)?;
        let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
        let digits = (0..55).filter(|at| ![2, 35, 52].contains(at)).all(|at| matches!(head[at], b'0'..=b'9' | b'a'..=b'f'));
        let known = match &head[..2] {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let id: [u8; 32] = head[3..35].try_into().ok()?;
        let zeros = id == [b'0'; 32] || head[36..52] == [b'0'; 16];
        (dashes && digits && known && !zeros).then_some(Self(id))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_header_has_a_trace_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, good) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), true),
            (format!("cc-{id}-00f067aa0ba902b7-01-what-comes-later"), true),
            (format!("cc-{id}-00f067aa0ba902b7-01.later"), false),
            (format!("00-{id}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{id}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{id}-0000000000000000-01"), false),
            (format!("00-{id}-00f067aa0ba902b7"), false),
            (format!("00_{id}_00f067aa0ba902b7_01"), false),
            (String::new(), false),
            (format!("00-{}-00f067aa0ba902b7-01", "john.doe@example.com/reset/token"), false),
        ] {
            assert_eq!(TraceId::of(header.as_bytes()).map(|id| id.as_str().to_owned()), good.then(|| id.to_owned()), "{header}");
        }
    }
}
