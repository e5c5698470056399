//! `consentry log stats`: how decisions came out, and of how many notices shown.

use serde_json::{Value, json};

use super::{LogCliError, Progress, Streams, args::StatsArgs, table::table};
use crate::consent_log::{Published, Reader};

/// What stands for a count that is left out.
const LEFT_OUT: &str = "..";

pub(super) fn run(args: &StatsArgs, reader: &Reader, streams: &mut Streams<'_>) -> Result<(), LogCliError> {
    let mut progress = Progress::new(streams.err, streams.err_is_terminal);
    let stats = reader.stats(&args.filter.filter(), &args.by, &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    let rows: Vec<(Vec<String>, Published)> = match args.exact {
        true => stats.rows.iter().map(|(key, counts)| (key.clone(), counts.exact())).collect(),
        false => stats.published().into_iter().collect(),
    };
    let by: Vec<&str> = stats.by.iter().map(|group| group.as_str()).collect();
    if args.json {
        let rows: Vec<Value> = rows.iter().map(|(key, counts)| row_json(&by, key, counts)).collect();
        writeln!(streams.out, "{:#}", json!({ "by": by, "rows": rows, "suppressed": !args.exact }))?;
        return Ok(());
    }
    if rows.is_empty() {
        writeln!(streams.out, "No decision fits.")?;
        return Ok(());
    }
    let heads: Vec<&str> = by.into_iter().chain(["shown", "given", "partial", "refused", "withdrawn", "gpc", "opt-in"]).collect();
    let cells = |(key, c): &(Vec<String>, Published)| {
        let count = |count: Option<u64>| count.map_or(LEFT_OUT.to_owned(), |count| count.to_string());
        let numbers = [c.shown, c.given, c.partial, c.refused, c.withdrawn, c.gpc].map(count);
        let rate = match c.opt_in_permille() {
            Some(permille) => format!("{}.{} %", permille / 10, permille % 10),
            None if c.given == Some(0) && c.partial == Some(0) => "-".to_owned(),
            None => LEFT_OUT.to_owned(),
        };
        key.iter().cloned().chain(numbers).chain([rate]).collect::<Vec<_>>()
    };
    table(streams.out, &heads, &rows.iter().map(cells).collect::<Vec<_>>())?;
    let remark = match args.exact {
        true => "Small counts are not left out: not to be published.",
        false => "Counts below 10 are left out (..), and what would give them back.",
    };
    writeln!(streams.out, "\nDays are in UTC. opt-in: of those who answered, who granted something. {remark}")?;
    Ok(())
}

fn row_json(by: &[&str], key: &[String], counts: &Published) -> Value {
    let mut row = json!({
        "shown": counts.shown,
        "given": counts.given,
        "partial": counts.partial,
        "refused": counts.refused,
        "withdrawn": counts.withdrawn,
        "gpc": counts.gpc,
        "opt_in_permille": counts.opt_in_permille(),
        "of_shown_permille": counts.of_shown_permille(),
    });
    for (group, value) in by.iter().zip(key) {
        row[*group] = json!(value);
    }
    row
}
