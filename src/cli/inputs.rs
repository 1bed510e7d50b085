//! `inputs`: where events came from, and what came of each input.

use std::fmt;

use serde::Serialize;

use super::desk::Desk;
use super::{Context, Ended, Table, refused};
use crate::buffer::InputRecord;
use crate::event::Instant;
use serde_json::Value;

/// Lists the inputs, or shows one: how many events were stored, duplicates or rejected, for which reasons, and its digest.
///
/// A file has a row for each time that it was ingested. HTTP and `pull esm` have a row for each process that took events from them, without reasons and rules.
/// On PostgreSQL, these have no counts either.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists inputs, the latest first.
    List {
        /// The most inputs to list.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Shows one input, with the number of rejected lines for each reason, and of exchanges without an event for each rule.
    Show {
        /// The number of the input, as `list` shows it.
        input: i64,
    },
}

#[derive(Serialize)]
struct Report {
    inputs: Vec<InputRecord>,
    #[serde(skip)]
    is_one: bool,
}

pub(super) fn run(command: &Command, context: &Context) -> Ended {
    let desk = Desk::open(context)?;
    let (number, limit) = match command {
        Command::List { limit } => (None, *limit),
        Command::Show { input } => (Some(*input), 1),
    };
    let inputs = desk.inputs(number, None, limit)?;
    match number {
        Some(number) if inputs.is_empty() => {
            Err(refused(format!("there is no input {number}"), "see which there are: passbridge inputs list"))
        }
        _ => context.done(&Report { inputs, is_one: number.is_some() }),
    }
}

pub(super) fn table(inputs: &[InputRecord]) -> Table {
    let headings = "input path opened_at ended_at stored duplicates conflicts rejected taken_back";
    let mut table = Table::new(&headings.split(' ').collect::<Vec<_>>());
    for record in inputs {
        let InputRecord { input, path, opened_at, stored, duplicates, conflicts, rejected, .. } = record;
        let counts = [stored, duplicates, conflicts, rejected]
            .map(|count| count.map_or("-".to_owned(), |count| count.to_string()));
        let back = record.of_summary("taken_back").map_or("0".to_owned(), Value::to_string);
        let ended_at = record.ended_at.map_or("-".to_owned(), Instant::to_the_second);
        let opened_at = opened_at.to_the_second();
        let mut cells: Vec<&dyn fmt::Display> = vec![&input.0, path, &opened_at, &ended_at];
        cells.extend(counts.iter().chain([&back]).map(|count| count as &dyn fmt::Display));
        table.row(&cells);
    }
    table
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inputs.is_empty() {
            return writeln!(out, "no input yet");
        }
        table(&self.inputs).fmt(out)?;
        let Some(one) = self.inputs.first().filter(|_| self.is_one) else { return Ok(()) };
        for (what, key) in [("sha256", "digest"), ("bytes", "bytes"), ("unused", "unused")] {
            if let Some(value) = one.of_summary(key) {
                writeln!(
                    out,
                    "  {what}  {}",
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                )?;
            }
        }
        for (heading, key) in
            [("rejected because", "rejected_by_reason"), ("exchanges without an event", "unused_by_rule")]
        {
            let mut table = Table::new(&["lines", heading]);
            for (what, count) in one.of_summary(key).and_then(Value::as_object).into_iter().flatten() {
                table.row(&[count, what]);
            }
            table.write_below(out)?;
        }
        Ok(())
    }
}
