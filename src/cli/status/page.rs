//! The status page: what waits and why, for a quick look, also on a telephone. It changes nothing and needs no other
//! host. A figure with `data-json` is in the document of `status --json`, at the place that `data-json` names.

use indicatif::HumanBytes;
use maud::{Markup, html};

use super::look::{DrainState, StatusReport};
use super::monitor::{Check, overdue};
use super::text::summary_text;
use crate::buffer::{Hourly, RequestorStatus, RunRecord, UndecidedEvent, Why};
use crate::cli::ages::{age, ago, passed};
use crate::delivery::{Sequence, Trouble};
use crate::event::Instant;
use crate::html::live_document;
use crate::report::thousands;

pub(super) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The text in the place of a missing value.
const NONE: &str = "\u{2013}";
/// How many hours a small chart shows.
pub(super) const HOURS: usize = 48;
/// How many dead letters, and how many held events, the page names: enough to see a pattern.
pub(super) const LATEST: usize = 5;

pub(super) fn document(
    report: &StatusReport,
    flow: &[Hourly],
    checks: &[Check],
    latest: &[UndecidedEvent],
) -> String {
    let broken: Vec<&Check> = checks.iter().filter(|check| check.broken).collect();
    let title = match broken.len() {
        0 => "passbridge: all well".to_owned(),
        count => format!("({count}) passbridge needs you"),
    };
    let body = html! {
        main id="status" {
            (head(report, &broken))
            (tiles(report))
            (troubles(report, checks))
            (suites(report, flow))
            (undecided(report, latest))
            (backfills(report))
            (runs(report))
            (account(report))
        }
        p id="stale" role="status" hidden {}
    };
    live_document(&title, STYLE, SCRIPT, &body)
}

/// The status of a buffer on PostgreSQL, as `status` prints it.
pub(super) fn shared_document(text: &str) -> String {
    let body = html! {
        main id="status" { h1 { "passbridge" } pre { (text) } }
        p id="stale" role="status" hidden {}
    };
    live_document("passbridge", STYLE, SCRIPT, &body)
}

/// A figure with its place in the document of `status --json`.
fn figure(place: &str, value: i64) -> Markup {
    html! { span data-json=(place) data-value=(value) { (grouped(value)) } }
}

/// A heading, and whether its column holds text.
type Heading = (&'static str, bool);

fn headings<const N: usize>(names: [&'static str; N], of_text: &[&str]) -> [Heading; N] {
    names.map(|name| (name, of_text.contains(&name)))
}

/// A table; on a telephone each row becomes a list. The first cell of a row is its name.
pub(super) fn table(
    label: &str,
    headings: &[Heading],
    rows: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    let class = |is_text: bool| if is_text { "text" } else { "" };
    html! {
        div.frame tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for (name, is_text) in headings { th class=(class(*is_text)) scope="col" { (name) } } } }
            tbody { @for row in rows { tr {
                @for (index, (cell, (name, is_text))) in row.iter().zip(headings).enumerate() {
                    @if index == 0 { th.text scope="row" { (cell) } }
                    @else { td class=(class(*is_text)) data-label=(name) { (cell) } }
                }
            } } }
        } }
    }
}

pub(super) fn text(text: impl Into<String>) -> Markup {
    let text: String = text.into();
    html! { (text) }
}

fn grouped(value: i64) -> String {
    let sign = if value < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", thousands(value.unsigned_abs()))
}

fn head(report: &StatusReport, broken: &[&Check]) -> Markup {
    html! {
        header {
            p.kind { "passbridge " (report.version) }
            @if broken.is_empty() { h1.good { "All well" } }
            @else { h1.bad { (broken.len()) @if broken.len() == 1 { " limit is broken" } @else { " limits are broken" } } }
            p.note { "At " time { (report.at.to_the_second()) } ". " (drain(report)) }
        }
        @if !broken.is_empty() {
            ul.alarms { @for check in broken {
                li { b { (check.check) @if let Some(of) = &check.of { " (" (of) ")" } } ": " (check.says) }
            } }
        }
    }
}

fn drain(report: &StatusReport) -> String {
    let began =
        report.drain.began_at.map_or_else(String::new, |at| format!(", begun {}", ago(at, report.at)));
    match (report.drain.state, report.last_completed_at) {
        (DrainState::Running, _) => format!("A drain is under way{began}."),
        (DrainState::CutOff, _) => {
            format!("The last drain was cut off{began}; what was in flight is in doubt.")
        }
        (DrainState::Idle, Some(at)) => format!("The last drain was completed {}.", ago(at, report.at)),
        (DrainState::Idle, None) => "No drain was completed yet.".to_owned(),
    }
}

fn tiles(report: &StatusReport) -> Markup {
    let status = &report.status;
    let since = |at: Option<Instant>| at.map_or(NONE.to_owned(), |at| age(passed(at, report.at)));
    let arrived = status.requestors.iter().filter_map(|one| one.arrived_at).max();
    let delivered = status.requestors.iter().filter_map(|one| one.delivered_at).max();
    html! {
        dl.tiles {
            div { dt { "Waiting events" } dd { (figure("/pending", status.pending)) } }
            div { dt { "Longest wait of those that could go" } dd { (since(status.oldest_stored_at)) } }
            div { dt { "Last event came in" } dd { (since(arrived)) } }
            div { dt { "Last delivery" } dd { (since(delivered)) } }
            div { dt { "Dead letters" } dd { (figure("/dead", status.dead)) } }
            div { dt { "Held" } dd { (figure("/held", status.held)) } }
            div { dt { "Parked" } dd { (figure("/parked", status.parked)) } }
            div { dt { "In doubt" } dd { (figure("/in_doubt", status.in_doubt)) } }
        }
    }
}

/// The troubles that break no limit yet (the head of the page names the broken limits), and suites that need a look.
fn troubles(report: &StatusReport, checks: &[Check]) -> Markup {
    let troubles: Vec<_> = report.troubles.iter().filter(|one| !overdue(checks, one)).collect();
    html! {
        @if !troubles.is_empty() {
            section { h2 { "What stands in the way" }
                ul.alarms { @for trouble in troubles { li { (trouble) } } }
            }
        }
        @if !report.verdicts.is_empty() {
            section { h2 { "Suites that need a look" }
                ul { @for one in &report.verdicts { li { b { (one.rsid) } ": " (one.readiness) ": " (one.why) } } }
            }
        }
    }
}

fn suites(report: &StatusReport, flow: &[Hourly]) -> Markup {
    let since = |at: Option<Instant>| text(at.map_or(NONE.to_owned(), |at| age(passed(at, report.at))));
    let names = ["requestor", "suite", "waiting", "waits", "last in", "delivered", "state", "last 48 hours"];
    let headings = headings(names, &["requestor", "suite", "state"]);
    let rows = report.status.requestors.iter().enumerate().map(|(index, one)| {
        vec![
            text(&one.requestor_id),
            text(one.rsid.as_deref().unwrap_or(NONE)),
            figure(&format!("/requestors/{index}/pending"), one.pending),
            since(one.oldest_stored_at),
            since(one.arrived_at),
            since(one.delivered_at),
            text(one.why_parked().unwrap_or_else(|| flow_of(report, one))),
            chart(one, flow, report.at),
        ]
    });
    html! {
        section { h2 { "Requestors and report suites" }
            p.note { "The small charts show the last " (HOURS) " hours by the time of the events: what came in (line), what was delivered (filled)." }
            @if report.status.requestors.is_empty() { p { "No requestor yet: add a suite, then ingest events." } }
            @else { (table("Requestors and report suites", &headings, rows)) }
        }
    }
}

/// Says whether the last drain could send the events of a suite that is neither paused nor blocked.
fn flow_of(report: &StatusReport, one: &RequestorStatus) -> String {
    let is_own = |trouble: &&Trouble| match &trouble.rsid {
        Some(rsid) => Some(rsid.as_str()) == one.rsid.as_deref(),
        None => Some(trouble.host.to_string()) == one.host,
    };
    let stopped = report.troubles.iter().filter(|trouble| trouble.stopped).find(is_own);
    stopped.map_or_else(|| "flowing".to_owned(), |trouble| format!("stopped: {}", trouble.kind))
}

/// What came in and what was delivered, by the hour in which the events happened.
fn chart(requestor: &RequestorStatus, flow: &[Hourly], now: Instant) -> Markup {
    const WIDTH: f64 = 144.0;
    const HEIGHT: f64 = 28.0;
    let last = now.nanos().div_euclid(3_600_000_000_000);
    let mut sums = [(0_i64, 0_i64); HOURS];
    for one in flow.iter().filter(|one| one.requestor_id == requestor.requestor_id) {
        let place = usize::try_from(one.hour - last + HOURS as i64 - 1).ok().and_then(|at| sums.get_mut(at));
        if let Some((came, went)) = place {
            *came += one.ingested;
            *went += one.delivered;
        }
    }
    let most = sums.iter().map(|(came, _)| *came).max().unwrap_or(0).max(1) as f64;
    let point = |index: usize, value: i64| {
        let x = WIDTH * index as f64 / (HOURS - 1) as f64;
        format!("{x:.1},{:.1}", HEIGHT - 1.0 - (HEIGHT - 2.0) * value as f64 / most)
    };
    let came: Vec<String> = sums.iter().enumerate().map(|(index, (came, _))| point(index, *came)).collect();
    let went: Vec<String> = sums.iter().enumerate().map(|(index, (_, went))| point(index, *went)).collect();
    let (all_came, all_went) = sums.iter().fold((0, 0), |(came, went), one| (came + one.0, went + one.1));
    let says = format!("{} came in, {} delivered", grouped(all_came), grouped(all_went));
    html! {
        svg.flow viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width=(WIDTH) height=(HEIGHT) role="img" aria-label=(says) {
            title { (says) }
            polygon points=(format!("0,{HEIGHT} {} {WIDTH},{HEIGHT}", went.join(" "))) {}
            polyline points=(came.join(" ")) {}
        }
    }
}

fn undecided(report: &StatusReport, latest: &[UndecidedEvent]) -> Markup {
    let row = |state, list, index, events, why: &str| {
        vec![text(state), figure(&format!("/{list}/{index}/events"), events), text(why)]
    };
    let (dead, held) = (&report.status.dead_by_reason, &report.status.held_by_cause);
    let dead = dead.iter().enumerate();
    let dead = dead.map(|(at, one)| row("dead", "dead_by_reason", at, one.events, &one.explanation));
    let held = held.iter().enumerate();
    let held = held.map(|(at, one)| row("held", "held_by_cause", at, one.events, &one.cause));
    let rows = latest.iter().map(|one| {
        let (state, why) = match &one.why {
            Why::Dead { explanation, .. } => ("dead", explanation),
            Why::Held { cause, .. } => ("held", cause),
        };
        let Sequence(number) = one.seq;
        vec![
            html! { a href={ "event?seq=" (number) } { (number) } },
            text(state),
            text(&one.requestor_id),
            text(one.event),
            html! { time { (one.occurred_at.to_the_second()) } },
            text(why),
        ]
    });
    let headings = ["event", "state", "requestor", "what", "happened", "reason"].map(|name| (name, true));
    html! {
        @if !latest.is_empty() {
            section { h2 { "Dead and held: a person decides" }
                (table("By reason", &[("state", true), ("events", false), ("reason", true)], dead.chain(held)))
                p.note { "The latest of them:" }
                (table("The latest", &headings, rows))
            }
        }
    }
}

fn backfills(report: &StatusReport) -> Markup {
    html! {
        @if !report.backfills.is_empty() {
            section { h2 { "Backfills" }
                ul { @for (index, one) in report.backfills.iter().enumerate() {
                    li { b { (one.job.name) } ": " (one.job.state) ", "
                        (figure(&format!("/backfills/{index}/counts/pending"), i64::try_from(one.counts.pending).unwrap_or(i64::MAX))) " events wait"
                        @for line in one.obstacles.lines() { "; " (line) }
                    }
                } }
            }
        }
    }
}

fn runs(report: &StatusReport) -> Markup {
    let value = |run: &RunRecord, name: &str| {
        let text = summary_text(run, name);
        text.parse().map_or(text, grouped)
    };
    let names = ["run", "began", "took", "delivered", "dead", "held", "ended"];
    let headings = headings(names, &["run", "began", "ended"]);
    let rows = report.status.runs.iter().map(|run| {
        let took = run.finished_at.map_or(NONE.to_owned(), |at| age(passed(run.started_at, at)));
        vec![
            text(run.run_id.0.to_string()),
            html! { time { (run.started_at.to_the_second()) } },
            text(took),
            text(value(run, "delivered")),
            text(value(run, "dead")),
            text(value(run, "held")),
            text(ending(report, run, &value(run, "stopped"))),
        ]
    });
    html! {
        section { h2 { "The last drains" }
            @if report.status.runs.is_empty() { p { "None yet." } }
            @else { (table("The last drains", &headings, rows)) }
        }
    }
}

fn ending(report: &StatusReport, run: &RunRecord, stopped: &str) -> String {
    match report.open_run(run) {
        Some(state) => state.to_owned(),
        None if stopped.is_empty() => "at the end of the backlog".to_owned(),
        None => format!("stopped: {stopped}"),
    }
}

fn account(report: &StatusReport) -> Markup {
    let account = &report.status.accounting;
    let rows = account.terms().map(|(key, name, amount)| {
        let place = |what| format!("/accounting/{key}/{what}");
        vec![text(name), figure(&place("events"), amount.events), figure(&place("units"), amount.units)]
    });
    let (bytes, free) = (HumanBytes(report.buffer.bytes), HumanBytes(report.buffer.free_bytes));
    html! {
        section { h2 { "The account" }
            p.note {
                @if account.balanced { "It balances." } @else { "It does not balance: run status --verify." }
                " The buffer takes " (bytes) "; " (free) " are free on its disk."
            }
            (table("The account", &[("term", true), ("events", false), ("units", false)], rows))
        }
    }
}
