//! `[[stand_in]]` and `[anti_flicker]` of a vendor's file: what runs in pages while the vendor is held.

use super::{purposes::PurposeDef, vendor::read_purposes};
use crate::{
    config::{At, Section},
    vocab::PurposeSet,
};

/// A global that site code calls, played while the vendor is held so that nothing throws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Its name, such as `fbq`.
    pub global: String,
    /// How site code uses it.
    pub kind: StandInKind,
    /// Other names of the same object, which the vendor's base code looks at too (`_fbq`).
    pub aliases: Vec<String>,
    /// Where the vendor's own script looks for waiting calls (`queue`), and under which name it then takes
    /// calls (`callMethod`), as properties of the function: the page's own stub may have given way to ours.
    pub stub: Vec<String>,
    /// What a visitor must have granted for the real thing: the vendor's `purposes`, unless it says other.
    pub purposes: PurposeSet,
}

/// How site code uses a global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandInKind {
    /// `x(…)`. With a queue, calls are pushed there as `arguments`, as gtag does.
    Call {
        /// The name of the queue's global.
        queue: Option<String>,
    },
    /// `x.push(…)`: an array that the vendor's script empties.
    Queue,
    /// `x.method(…)`.
    Object {
        /// Its methods.
        methods: Vec<String>,
    },
}

/// What to take away so that a page does not stay hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AntiFlicker {
    /// Classes of the document's element.
    pub classes: Vec<String>,
    /// Ids of style elements.
    pub styles: Vec<String>,
    /// Functions to call, as dotted names (`dataLayer.hide.end`).
    pub calls: Vec<String>,
    /// What a visitor must have granted for the page to wait: the vendor's `purposes`, unless it says other.
    pub purposes: PurposeSet,
}

/// Reads a `[[stand_in]]`.
pub(super) fn read(mut section: Section<'_>, inherited: PurposeSet, known: &[PurposeDef]) -> Option<StandIn> {
    let global = section.required_string("global");
    let kind = section.required_string("kind");
    let purposes = read_purposes(&mut section, known).unwrap_or(inherited);
    let mut names = |key| -> Vec<At<String>> { section.strings(key).unwrap_or_default() };
    let (aliases, methods, stub) = (names("aliases"), names("methods"), names("stub"));
    let queue = section.string("queue");
    // `people.set` is a method of a part.
    for name in methods.iter().filter(|name| !name.value.split('.').all(is_identifier)) {
        section.fault(
            name.offset,
            format!("`{}` is no name of a method", name.value),
            "write one such as \"track\" or \"people.set\"",
        );
    }
    for name in global.iter().chain(&aliases).chain(&stub).chain(&queue) {
        if !is_identifier(&name.value) {
            section.fault(
                name.offset,
                format!("`{}` is no name of a global or a property", name.value),
                "write one such as \"acme\"",
            );
        }
    }
    if let Some(first) = stub.first()
        && (stub.len() > 2 || queue.is_some() || kind.as_ref().is_none_or(|kind| kind.value != "call"))
    {
        section.fault(
            first.offset,
            "only a stand-in of kind \"call\" without a queue has `stub`, of one or two names",
            "write stub = [\"queue\"] or [\"queue\", \"callMethod\"]",
        );
    }
    let kind_offset = kind.as_ref().map_or(section.offset(), |at| at.offset);
    let kind = kind.and_then(|at| match at.value.as_str() {
        "call" if methods.is_empty() => Some(StandInKind::Call { queue: queue.map(|at| at.value) }),
        "queue" if methods.is_empty() && queue.is_none() => Some(StandInKind::Queue),
        "object" if !methods.is_empty() && queue.is_none() => {
            Some(StandInKind::Object { methods: methods.into_iter().map(|at| at.value).collect() })
        }
        _ => None,
    });
    if kind.is_none() {
        section.fault(
            kind_offset,
            "the stand-in is of no known kind",
            "write kind = \"call\" (with queue, or without), \"queue\", or \"object\" with methods",
        );
    }
    section.finish();
    let values = |names: Vec<At<String>>| -> Vec<String> { names.into_iter().map(|at| at.value).collect() };
    Some(StandIn { global: global?.value, kind: kind?, aliases: values(aliases), stub: values(stub), purposes })
}

/// Reads `[anti_flicker]`.
pub(super) fn read_anti_flicker(mut section: Section<'_>, inherited: PurposeSet, known: &[PurposeDef]) -> AntiFlicker {
    let purposes = read_purposes(&mut section, known).unwrap_or(inherited);
    let mut words = |key| section.strings(key).unwrap_or_default().into_iter().map(|at| at.value).collect();
    let anti_flicker = AntiFlicker { classes: words("classes"), styles: words("styles"), calls: words("calls"), purposes };
    section.finish();
    anti_flicker
}

/// A name that JavaScript takes after a dot, in ASCII.
fn is_identifier(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
}

#[cfg(test)]
mod tests {
    use super::super::{
        Policy, QueuedCalls,
        tests::{compile, sources},
    };

    fn with(lines: &str) -> super::super::Sources {
        let text = format!("id = \"zeta\"\nname = \"Zeta\"\npurposes = [\"marketing\"]\n{lines}");
        sources(|sources| sources.insert("vendors/zeta.toml", text))
    }

    #[test]
    fn a_stand_in_needs_what_its_vendor_needs_or_what_it_says() {
        let policy = compile(&with(
            "[[stand_in]]\nglobal = \"zt\"\nkind = \"call\"\nstub = [\"queue\", \"take\"]\n\
             [[stand_in]]\nglobal = \"zchat\"\nkind = \"object\"\nmethods = [\"open\", \"people.set\"]\npurposes = [\"functional\"]\n\
             [anti_flicker]\nclasses = [\"z-hide\"]\n",
        ));
        let zeta = policy.vendor_def(policy.vendor("zeta").expect("just added"));
        let [call, object] = zeta.stand_ins.as_slice() else { panic!("{:?}", zeta.stand_ins) };
        assert_eq!(call.stub, ["queue", "take"]);
        assert!(call.purposes.contains(policy.purpose("marketing").expect("of default.toml")));
        assert!(object.purposes.contains(policy.purpose("functional").expect("of default.toml")));
        assert!(!object.purposes.contains(policy.purpose("marketing").expect("of default.toml")));
        assert_eq!(zeta.anti_flicker.purposes, call.purposes);
        assert_eq!(policy.queued_calls(), QueuedCalls::Deliver);
    }

    #[test]
    fn what_cannot_be_played_is_a_fault() {
        for lines in [
            "[[stand_in]]\nglobal = \"zt\"\nkind = \"queue\"\nstub = [\"q\"]\n",
            "[[stand_in]]\nglobal = \"zt\"\nkind = \"call\"\nqueue = \"layer\"\nstub = [\"q\"]\n",
            "[[stand_in]]\nglobal = \"zt\"\nkind = \"call\"\nstub = [\"q\", \"take\", \"more\"]\n",
            "[[stand_in]]\nglobal = \"zt\"\nkind = \"object\"\nmethods = [\"people.\"]\n",
            "[[stand_in]]\nglobal = \"z t\"\nkind = \"queue\"\n",
        ] {
            let faults = Policy::compile(&with(lines)).err().unwrap_or_default();
            assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
        }
    }

    #[test]
    fn queued_calls_are_delivered_or_dropped() {
        let default = include_str!("../../policies/default.toml");
        let policy = |value: &str| {
            let text = default.replace("\"deliver\"\n", &format!("{value}\n"));
            Policy::compile(&sources(|sources| sources.insert("default.toml", text)))
        };
        assert_eq!(policy("\"drop\"").expect("known").0.queued_calls(), QueuedCalls::Drop);
        let faults = policy("\"later\"").err().expect("unknown");
        assert!(faults[0].to_string().contains("deliver"), "{}", faults[0]);
    }
}
