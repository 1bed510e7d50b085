//! A plan of a backfill as Markdown, for whoever approves it.

use std::time::Duration;

use crate::backfill::{Plan, Warning};
use crate::buffer::JobSettings;
use crate::cli::ages::age;
use crate::config::Zone;
use crate::event::Instant;
use crate::job::{Hours, JobName, JobRoute};

/// DIA is recommended unless it takes longer than this time and than bulk: Analytics shows hits sooner than files.
const DIA_SECONDS_MAX: u64 = 86_400;
/// The search for the finishing date looks at each minute, so it ends three years ahead.
const AHEAD_MINUTES_MAX: i64 = 3 * 366 * 24 * 60;
const MINUTE_NANOS: i64 = 60_000_000_000;

pub(super) fn of(name: &JobName, plan: &Plan, settings: JobSettings, zone: Zone) -> String {
    let (dia, bulk, total) = (&plan.by_dia, &plan.by_bulk, &plan.total);
    let is_dia = dia.seconds <= DIA_SECONDS_MAX.max(bulk.seconds);
    let hits_per_second = dia.hosts.iter().map(|host| host.hits_per_second).sum();
    let rows_per_second = bulk.rows as f64 / bulk.seconds.max(1) as f64;
    let ways =
        [(JobRoute::Dia, dia.seconds, hits_per_second), (JobRoute::Bulk, bulk.seconds, rows_per_second)];
    let ways = ways.map(|(route, seconds, calls_per_second)| {
        let peak = ((calls_per_second * 3600.0_f64).ceil() as u64).min(total.hits);
        let finished = finished_at(plan.planned_at, seconds, settings.hours, zone);
        let finished = finished.map_or("not within three years".to_owned(), Instant::to_the_second);
        let is_best = if is_dia == (route == JobRoute::Dia) { " (recommended)" } else { "" };
        let time = age(Duration::from_secs(seconds));
        [format!("--via {route}{is_best}"), peak.to_string(), time, finished]
    });
    let twice = total.duplicates_in_buffer + total.duplicates_in_inputs;
    let window = settings.hours.map_or("always".to_owned(), |hours| format!("{hours} ({})", zone.0.name()));
    let facts = [
        ("server calls", total.hits.to_string()),
        ("new events", format!("{}, {} units", total.events, total.units)),
        (
            "left out",
            format!("{twice} duplicates, {} conflicts, {} rejected", total.conflicts, plan.rejected),
        ),
        ("window", window),
        ("rate", settings.rate.map_or("as configured".to_owned(), |rate| format!("{rate} a second"))),
        ("risk", risk(plan).to_owned()),
    ];
    let inputs = plan.inputs.iter().map(|input| {
        let (bytes, sha256) = input.file.clone().map(|file| (file.bytes.to_string(), file.sha256)).unzip();
        let [bytes, sha256] = [bytes, sha256].map(Option::unwrap_or_default);
        [input.path.clone(), input.events.to_string(), input.rejected.to_string(), bytes, sha256]
    });
    let warnings = plan.failures.iter().map(ToString::to_string);
    let warnings = warnings.chain(plan.warnings.iter().map(ToString::to_string));
    let warnings = warnings.chain(plan.input_warnings.iter().map(ToString::to_string));
    format!(
        "# Backfill {name}\n\nPlanned at {}.\n\n{}\n{}\n## Inputs\n\n{}\n## Warnings\n\n{}",
        plan.planned_at.to_the_second(),
        table(["plan", ""], facts.map(|(what, value)| [what.to_owned(), value])),
        table(["route", "peak calls an hour", "time of sending", "finished at"], ways),
        table(["input", "events", "rejected", "bytes", "SHA-256"], inputs),
        warnings.map(|warning| format!("- {warning}\n")).collect::<String>(),
    )
}

fn risk(plan: &Plan) -> &'static str {
    let is_lasting = |warning: &Warning| {
        use Warning::{BeyondRetention, DeliveredDays, EventIdsOff, Future};
        matches!(warning, DeliveredDays { .. } | EventIdsOff { .. } | Future { .. } | BeyondRetention { .. })
    };
    let lacks_keys = plan.inputs.iter().any(|input| !input.lost_keys.is_empty());
    if plan.warnings.iter().any(is_lasting) || lacks_keys || !plan.failures.is_empty() {
        "high: figures may be wrong for good, see the warnings"
    } else if plan.warnings.is_empty() && plan.input_warnings.is_empty() {
        "low: no warning"
    } else {
        "medium: something waits, is left out or must be read with care, see the warnings"
    }
}

/// The time at which a route has sent for this many seconds; `None` if that is more than three years ahead.
fn finished_at(from: Instant, seconds: u64, hours: Option<Hours>, zone: Zone) -> Option<Instant> {
    let after = |minutes: i64| Instant::from_nanos(from.nanos() + minutes * MINUTE_NANOS);
    let (mut left, mut minutes) = (i64::try_from(seconds.div_ceil(60)).ok()?, 0);
    while left > 0 && minutes <= AHEAD_MINUTES_MAX {
        match hours.and_then(|hours| hours.minutes_to_wait(after(minutes), zone)) {
            Some(wait) => minutes += i64::from(wait),
            None => (minutes, left) = (minutes + 1, left - 1),
        }
    }
    (left == 0).then(|| after(minutes))
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let head = [head.map(str::to_owned), head.map(|_| "---".to_owned())];
    let rows = rows.into_iter().map(|cells| cells.map(|cell| cell.replace('|', "\\|")));
    head.into_iter().chain(rows).map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
}
