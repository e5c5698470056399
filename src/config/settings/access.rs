//! `[access]`: the access log. Not `[log]`, which is the consent log.

use std::path::PathBuf;

use crate::{config::Section, telemetry::access::Target};

/// Whether, where and how much is told of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where the lines go; `None`: nowhere, which is the default.
    pub log: Option<Target>,
    /// Whether they say which route was asked for.
    pub routes: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self { log: None, routes: true }
    }
}

impl Access {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let mut access = Self::default();
        let Some(mut section) = root.section("access") else { return access };
        if let Some(at) = section.string("log") {
            match at.value.as_str() {
                "" => section.fault(at.offset, "`access.log` is empty", "write \"-\" for standard output, or the name of a file"),
                "-" => access.log = Some(Target::Stdout),
                file => access.log = Some(Target::File(PathBuf::from(file))),
            }
        }
        if let Some(at) = section.string("paths") {
            match at.value.as_str() {
                "routes" => access.routes = true,
                "none" => access.routes = false,
                other => section.fault(
                    at.offset,
                    format!("`{other}` is no choice"),
                    "write \"routes\" or \"none\"; whole paths can name people and are never written",
                ),
            }
        }
        section.finish();
        access
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn the_log_is_off_unless_it_is_asked_for() {
        let read = |text: &str| {
            let (access, faults) = File::read("c.toml", text, Access::read);
            (access, faults.len())
        };
        assert_eq!(read(""), (Access { log: None, routes: true }, 0));
        assert_eq!(read("[access]\nlog = \"-\"\npaths = \"none\""), (Access { log: Some(Target::Stdout), routes: false }, 0));
        assert_eq!(read("[access]\nlog = \"a.log\"").0.log, Some(Target::File("a.log".into())));
        assert_eq!(read("[access]\nlog = \"\"\npaths = \"full\"\nformat = 1").1, 3);
    }
}
