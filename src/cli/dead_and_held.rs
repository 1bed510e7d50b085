//! The common part of `dead-letter` and `held`: a person selects events by number or reason, and decides on them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::desk::Desk;
use super::{Context, Ended, Exit, Failure, Table, output, refused};
use crate::buffer::{Group, Requeue, Requeued, Selection, Settled, Undecided, UndecidedEvent, Why};
use crate::delivery::Sequence;
use crate::event::PassEvent;

/// The words for dead letters or for held events.
pub(super) struct Names {
    state: Undecided,
    /// What messages say of an event that is not in this state: `no dead letter`.
    none: &'static str,
    /// The plural: `dead letters`.
    many: &'static str,
    list: &'static str,
    /// The JSON keys of these events: for one event, and for a list.
    keys: [&'static str; 2],
    headings: &'static [&'static str],
}

pub(super) const DEAD: Names = Names {
    state: Undecided::Dead,
    none: "no dead letter",
    many: "dead letters",
    list: "passbridge dead-letter list",
    keys: ["dead_letter", "dead_letters"],
    headings: &["seq", "requestor", "suite", "event", "occurred_at", "died_at", "reason"],
};
pub(super) const HELD: Names = Names {
    state: Undecided::Held,
    none: "not held",
    many: "held events",
    list: "passbridge held list",
    keys: ["held", "held"],
    headings: &["seq", "requestor", "suite", "event", "occurred_at", "held_at", "attempts", "cause"],
};

/// The most groups that are shown below a list.
const GROUPS_SHOWN_MAX: usize = 50;

impl Names {
    fn missing(&self, missing: &[i64]) -> String {
        let numbers: Vec<String> = missing.iter().map(i64::to_string).collect();
        match &numbers[..] {
            [number] => format!("event {number} is {}", self.none),
            _ => format!("events {} are {}", numbers.join(", "), self.none),
        }
    }

    fn refuse(&self, what: String) -> Failure {
        refused(what, format!("see which there are: {}", self.list))
    }
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct SelectionArgs {
    /// Events with these numbers, as `list` shows them.
    #[arg(value_name = "SEQ")]
    sequences: Vec<i64>,
    /// Events with this reason, as `list` shows it.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// All events.
    #[arg(long)]
    all: bool,
}

impl SelectionArgs {
    /// Finds the selected events. It is an error if no event has any of the numbers, or the reason.
    fn find(&self, names: &Names, desk: &Desk) -> Result<(Selection, Vec<i64>), Failure> {
        let (selection, limit) = match &self.reason {
            Some(reason) => (Selection::Reason(reason.clone()), 1),
            None if self.all => return Ok((Selection::All, Vec::new())),
            None => {
                let sequences: Vec<_> = self.sequences.iter().copied().map(Sequence).collect();
                let limit = sequences.len();
                (Selection::Sequences(sequences), limit)
            }
        };
        let there = desk.undecided(names.state, &selection, limit)?;
        let there: HashSet<i64> = there.iter().map(|one| one.seq.0).collect();
        let missing: Vec<i64> = self.sequences.iter().copied().filter(|seq| !there.contains(seq)).collect();
        if there.is_empty() {
            let what = match &self.reason {
                Some(reason) => format!("there are no {} with the reason {reason:?}", names.many),
                None => names.missing(&missing),
            };
            return Err(names.refuse(what));
        }
        Ok((selection, missing))
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only events with this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The most events to list, the latest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) fn list(names: &Names, args: &ListArgs, desk: &Desk, context: &Context) -> Ended {
    let selection = args.reason.clone().map_or(Selection::All, Selection::Reason);
    let mut groups = desk.undecided_groups(names.state, &selection)?;
    let found = desk.undecided(names.state, &selection, args.limit)?;
    let all: u64 = groups.iter().map(|group| group.events).sum();
    let not_shown = all - found.len() as u64;
    groups.truncate(GROUPS_SHOWN_MAX);
    let [_, key] = names.keys;
    let mut text = table(names, &found).to_string();
    if not_shown > 0 {
        let mut of_groups = Table::new(&["events", "mvpd", "resource", "reason"]);
        for Group { reason, mvpd, resource_id, events } in &groups {
            let [mvpd, resource] = [mvpd, resource_id].map(|value| value.as_deref().unwrap_or("-"));
            of_groups.row(&[events, &mvpd, &resource, reason]);
        }
        text = format!("{text}  {not_shown} more are not shown (--limit); all {all} of them:\n\n{of_groups}");
    } else if found.is_empty() {
        text = format!("no {}", names.many);
    }
    let list: BTreeMap<&str, &[UndecidedEvent]> = BTreeMap::from([(key, &found[..])]);
    context.answer(&ListReport { list, not_shown, groups }, text.trim_end())
}

#[derive(Serialize)]
struct ListReport<'a> {
    #[serde(flatten)]
    list: BTreeMap<&'static str, &'a [UndecidedEvent]>,
    /// How many events are not listed because of `--limit`.
    not_shown: u64,
    /// The largest groups of all selected events by reason, MVPD and resource.
    groups: Vec<Group>,
}

fn table(names: &Names, found: &[UndecidedEvent]) -> Table {
    let mut table = Table::new(names.headings);
    for UndecidedEvent { seq, requestor_id, rsid, event, occurred_at, why, .. } in found {
        let (rsid, occurred_at) = (rsid.as_deref().unwrap_or("-"), occurred_at.to_the_second());
        let code;
        let (at, more): (_, Vec<&dyn fmt::Display>) = match why {
            Why::Dead { reason, died_at, .. } => {
                code = reason.code();
                (died_at.to_the_second(), vec![&code])
            }
            Why::Held { attempts, cause, held_at } => (held_at.to_the_second(), vec![attempts, cause]),
        };
        let mut cells: Vec<&dyn fmt::Display> = vec![&seq.0, requestor_id, &rsid, event, &occurred_at, &at];
        cells.extend(more);
        table.row(&cells);
    }
    table
}

/// The properties of an event as lines of text, to be shown above the event itself.
fn details(one: &UndecidedEvent) -> String {
    let UndecidedEvent { seq, requestor_id, rsid, event, occurred_at, why, .. } = one;
    let why = match why {
        Why::Dead { reason, explanation, died_at } => {
            let died_at = died_at.to_the_second();
            format!("  dead since  {died_at}\n  reason      {explanation} ({})", reason.code())
        }
        Why::Held { attempts, cause, held_at } => format!(
            "  held since  {}\n  attempts    {attempts} that report suite {} may have counted\n  cause       {cause}",
            held_at.to_the_second(),
            rsid.as_deref().unwrap_or("-")
        ),
    };
    format!("{} {event} of {requestor_id}, {}\n{why}\n", seq.0, occurred_at.to_the_second())
}

#[derive(Serialize)]
struct ShowReport {
    #[serde(flatten)]
    one: BTreeMap<&'static str, UndecidedEvent>,
    event: Option<PassEvent>,
}

/// Shows one dead letter or held event, with the event as a line of NDJSON.
pub(super) fn show(names: &Names, seq: i64, desk: &Desk, context: &Context) -> Ended {
    let found = desk.undecided(names.state, &Selection::Sequences(vec![Sequence(seq)]), 1)?.pop();
    let one = found.ok_or_else(|| names.refuse(names.missing(&[seq])))?;
    let (mut text, event) = (details(&one), desk.event(Sequence(seq))?);
    if let Some(event) = &event {
        text.push_str(&serde_json::to_string(event).expect("texts and numbers always serialise"));
    }
    let [key, _] = names.keys;
    context.answer(&ShowReport { one: BTreeMap::from([(key, one)]), event }, text.trim_end())
}

#[derive(Debug, clap::Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Also send events that Analytics may then count twice.
    #[arg(long)]
    accept_repeat: bool,
}

#[derive(Debug, Serialize)]
struct RequeueReport {
    #[serde(flatten)]
    done: Requeued,
    missing: Vec<i64>,
}

/// Exits 3 if some events were left, because they may count twice, or if one of the given numbers has no event.
pub(super) fn requeue(names: &Names, args: &RequeueArgs, desk: &Desk, context: &Context) -> Ended {
    let how = if args.accept_repeat { Requeue::EvenIfDoubled } else { Requeue::OnlyExact };
    let (selection, missing) = args.selection.find(names, desk)?;
    let report = RequeueReport { done: desk.requeue(names.state, &selection, how)?, missing };
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
    Ok(unclean_if_missing(names, &report.missing, if left > 0 { Exit::Unclean } else { Exit::Done }))
}

#[derive(Serialize)]
struct SettledReport<'a> {
    discarded: u64,
    delivered: u64,
    missing: &'a [i64],
}

/// Exits 3 if one of the given numbers has no event.
pub(super) fn settle(
    names: &Names,
    which: &SelectionArgs,
    (becomes, verb): (Settled, &str),
    desk: &Desk,
    context: &Context,
) -> Ended {
    let (selection, missing) = which.find(names, desk)?;
    let events = desk.settle(names.state, &selection, becomes)?;
    let (discarded, delivered) = if becomes == Settled::Discarded { (events, 0) } else { (0, events) };
    context.answer(
        &SettledReport { discarded, delivered, missing: &missing },
        format_args!("{events} {verb}"),
    )?;
    Ok(unclean_if_missing(names, &missing, Exit::Done))
}

fn unclean_if_missing(names: &Names, missing: &[i64], exit: Exit) -> Exit {
    if missing.is_empty() {
        return exit;
    }
    output::warn(names.missing(missing));
    Exit::Unclean
}
