//! `[log.witness]`: where checkpoints of the consent log go, so that not only the operator holds them.

use std::{path::PathBuf, time::Duration};

use url::Url;

use crate::config::{At, Section};

/// Where the newest checkpoint is pushed to, how often, and when it is an alarm that it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// A file elsewhere that checkpoints are appended to.
    pub file: Option<PathBuf>,
    /// A program and its arguments, which gets the checkpoint on its standard input. Never empty.
    pub command: Option<Vec<String>>,
    /// A time-stamping authority (RFC 3161), by http or https.
    pub timestamp: Option<Url>,
    /// Between two tries.
    pub every: Duration,
    /// Without success, until it is an alarm.
    pub alarm_after: Duration,
}

impl WitnessConfig {
    pub(super) fn read(log: &mut Section<'_>) -> Option<Self> {
        let mut section = log.section("witness")?;
        let file = section.string("file").filter(|at| is_something(&section, at, "file")).map(|at| at.value.into());
        let command = section.strings("command").map(|words| words.into_iter().map(|at| at.value).collect::<Vec<_>>());
        if command.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
            section.fault(
                section.offset(),
                "`log.witness.command` names no program",
                "write [\"/path/to/program\", \"argument\"]",
            );
        }
        let timestamp = section.string("timestamp").and_then(|at| match Url::parse(&at.value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                let mend = "write the address of a time-stamping authority, http or https";
                section.fault(at.offset, format!("`{}` is no such address", at.value), mend);
                None
            }
        });
        let mut seconds = |key, or| section.integer(key, 1..=31_536_000).map_or(or, |At { value, .. }| value);
        let (every, alarm_after) = (seconds("every_s", 3_600), seconds("alarm_after_s", 86_400));
        let (at, nowhere) = (section.offset(), !["file", "command", "timestamp"].iter().any(|key| section.has(key)));
        if nowhere {
            section.fault(at, "`log.witness` names nobody", "add file, command or timestamp");
        }
        section.finish();
        let (every, alarm_after) = (Duration::from_secs(every), Duration::from_secs(alarm_after));
        Some(Self { file, command, timestamp, every, alarm_after })
    }
}

fn is_something(section: &Section<'_>, at: &At<String>, key: &str) -> bool {
    if at.value.is_empty() {
        section.fault(at.offset, format!("`log.witness.{key}` is empty"), "write a name between the quotes");
    }
    !at.value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File};

    #[test]
    fn every_way_is_read_and_every_fault_is_named() {
        let text = "[log.witness]\nfile = \"/mnt/kept\"\ncommand = [\"mail\", \"-s\", \"x\"]\ntimestamp = \"http://tsa.example/\"\nevery_s = 60\n";
        let (config, faults, _) = Config::read("c.toml", text);
        assert!(faults.is_empty(), "{faults:?}");
        let witness = config.witness.expect("a witness");
        assert_eq!((witness.every.as_secs(), witness.alarm_after.as_secs()), (60, 86_400));
        assert_eq!(witness.command.expect("a program"), ["mail", "-s", "x"]);
        let text = "[log.witness]\nfile = \"\"\ncommand = []\ntimestamp = \"ftp://x\"\nevery_s = 0\nalarm = 1\n";
        let (_, faults) = File::read("c.toml", text, |root| {
            let mut log = root.section("log").expect("a table");
            WitnessConfig::read(&mut log)
        });
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert_eq!(Config::read("c.toml", "[log.witness]\n").1.len(), 1, "nobody");
        assert_eq!(Config::read("c.toml", "[log]\nstore = \"sqlite\"\n").0.witness, None);
    }
}
