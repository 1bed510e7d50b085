//! What `dead-letter` and `held` have in common: events that wait for a person's decision, by their number or reason.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::{Context, Exit, Failure, Table, output, refused};
use crate::buffer::{Buffer, BufferError, Requeue, Requeued, Selection};
use crate::delivery::Sequence;
use crate::event::PassEvent;

/// An event in a state that a person decides about.
pub(super) trait Undecided: Serialize + Sized {
    const NAMES: Names;

    /// The latest first.
    fn list(buffer: &Buffer, selection: Selection, limit: usize) -> Result<Vec<Self>, BufferError>;
    fn requeue(buffer: &Buffer, selection: Selection, how: Requeue) -> Result<Requeued, BufferError>;
    fn seq(&self) -> Sequence;
    fn table(found: &[Self]) -> Table;
    /// What is known of it, in lines above the event itself.
    fn details(&self) -> String;
}

/// What events in one state are called.
pub(super) struct Names {
    /// What one is not: `no dead letter`.
    pub(super) none: &'static str,
    /// What many are: `dead letters`.
    pub(super) many: &'static str,
    /// The command that shows them.
    pub(super) list: &'static str,
    /// Their keys in JSON: of one, and of a list.
    pub(super) keys: [&'static str; 2],
}

impl Names {
    fn missing(&self, missing: &[i64]) -> String {
        let numbers: Vec<String> = missing.iter().map(i64::to_string).collect();
        match &numbers[..] {
            [number] => format!("event {number} is {}", self.none),
            _ => format!("events {} are {}", numbers.join(", "), self.none),
        }
    }
}

/// Which of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct SelectionArgs {
    /// Those with these numbers, as `list` shows them.
    #[arg(value_name = "SEQ")]
    sequences: Vec<i64>,
    /// Those with this reason, as `list` shows it.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

pub(super) struct Found {
    pub(super) selection: Selection,
    pub(super) missing: Vec<i64>,
}

impl SelectionArgs {
    /// The selection that was asked for. What was asked for by number or reason and is not there at all is refused; `--all` of
    /// none is done.
    pub(super) fn find<T: Undecided>(&self, buffer: &Buffer) -> Result<Found, Failure> {
        let (selection, limit) = match &self.reason {
            Some(reason) => (Selection::Reason(reason.clone()), 1),
            None if self.all => return Ok(Found { selection: Selection::All, missing: Vec::new() }),
            None => {
                let sequences: Vec<_> = self.sequences.iter().copied().map(Sequence).collect();
                let limit = sequences.len();
                (Selection::Sequences(sequences), limit)
            }
        };
        let there = T::list(buffer, selection.clone(), limit)?;
        let there: HashSet<i64> = there.iter().map(|one| one.seq().0).collect();
        let missing: Vec<i64> = self.sequences.iter().copied().filter(|seq| !there.contains(seq)).collect();
        if there.is_empty() {
            let what = match &self.reason {
                Some(reason) => format!("there are no {} with the reason {reason:?}", T::NAMES.many),
                None => T::NAMES.missing(&missing),
            };
            return Err(refuse::<T>(what));
        }
        Ok(Found { selection, missing })
    }
}

fn refuse<T: Undecided>(what: String) -> Failure {
    refused(what, format!("see which there are: {}", T::NAMES.list))
}

/// What a list shows.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only those with this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// How many at most, the latest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) fn list<T: Undecided>(
    args: &ListArgs,
    buffer: &Buffer,
    context: &Context,
) -> Result<Exit, Failure> {
    let selection = args.reason.clone().map_or(Selection::All, Selection::Reason);
    let found = T::list(buffer, selection, args.limit)?;
    let [_, key] = T::NAMES.keys;
    let text = if found.is_empty() { format!("no {}", T::NAMES.many) } else { T::table(&found).to_string() };
    context.answer(&BTreeMap::from([(key, &found)]), text.trim_end())
}

#[derive(Serialize)]
struct ShowReport<T> {
    #[serde(flatten)]
    one: BTreeMap<&'static str, T>,
    event: Option<PassEvent>,
}

/// Shows one of them, with its event as a line of NDJSON.
pub(super) fn show<T: Undecided>(seq: i64, buffer: &Buffer, context: &Context) -> Result<Exit, Failure> {
    let found = T::list(buffer, Selection::Sequences(vec![Sequence(seq)]), 1)?.into_iter().next();
    let one = found.ok_or_else(|| refuse::<T>(T::NAMES.missing(&[seq])))?;
    let (mut text, event) = (one.details(), buffer.event(Sequence(seq))?);
    if let Some(event) = &event {
        text.push_str(&serde_json::to_string(event).expect("texts and numbers always serialise"));
    }
    let [key, _] = T::NAMES.keys;
    context.answer(&ShowReport { one: BTreeMap::from([(key, one)]), event }, text.trim_end())
}

#[derive(Debug, clap::Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Also those that Analytics may then count twice.
    #[arg(long)]
    accept_repeat: bool,
}

#[derive(Debug, Serialize)]
struct RequeueReport {
    #[serde(flatten)]
    done: Requeued,
    missing: Vec<i64>,
}

/// Exits 3 if events were left or a number matched nothing.
pub(super) fn requeue<T: Undecided>(
    args: &RequeueArgs,
    buffer: &Buffer,
    context: &Context,
) -> Result<Exit, Failure> {
    let how = if args.accept_repeat { Requeue::EvenIfDoubled } else { Requeue::OnlyExact };
    let Found { selection, missing } = args.selection.find::<T>(buffer)?;
    let report = RequeueReport { done: T::requeue(buffer, selection, how)?, missing };
    let Requeued { requeued, may_double: left, .. } = report.done;
    let mut text =
        format!("{requeued} requeued; the next drain sends them, and `backfill resume` those of a backfill");
    if left > 0 {
        text.push_str(&format!(
            "\n{left} left: they may have been counted already, and their suite has no event IDs by which a repeat counts \
             once. To send them all the same: --accept-repeat"
        ));
    }
    context.answer(&report, text)?;
    Ok(unclean_if_missing::<T>(&report.missing, if left > 0 { Exit::Unclean } else { Exit::Done }))
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ChangedReport {
    pub(super) discarded: u64,
    pub(super) delivered: u64,
    pub(super) missing: Vec<i64>,
    #[serde(skip)]
    pub(super) verb: &'static str,
}

/// Exits 3 if a number matched nothing.
pub(super) fn changed<T: Undecided>(report: &ChangedReport, context: &Context) -> Result<Exit, Failure> {
    context.answer(report, format_args!("{} {}", report.discarded + report.delivered, report.verb))?;
    Ok(unclean_if_missing::<T>(&report.missing, Exit::Done))
}

fn unclean_if_missing<T: Undecided>(missing: &[i64], exit: Exit) -> Exit {
    if missing.is_empty() {
        return exit;
    }
    output::warn(T::NAMES.missing(missing));
    Exit::Unclean
}
