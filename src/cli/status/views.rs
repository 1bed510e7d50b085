//! The status as the views of a listener: the values of `status`, in the forms that monitors and people ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::look::look;
use super::monitor::Check;
use super::{event_page, metrics, monitor, page, shared_monitor};
use crate::buffer::{Buffer, Selection, Undecided};
use crate::cli::safe::safe;
use crate::cli::shared::{self, Looked};
use crate::cli::{Failure, Settings, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::Sequence;
use crate::event::Instant;
use crate::postgres::{Address, SharedBuffer};
use crate::serve::{Show, Shown, View};

const HTML: &str = "text/html; charset=utf-8";

/// The function that makes the views of this buffer.
pub(in super::super) fn show(buffer: &Arc<Buffer>, settings: &Settings) -> Show {
    let (buffer, config) = (Arc::clone(buffer), settings.current.subscribe());
    // The configuration is cloned, because a borrow would keep it from being renewed.
    Box::new(move |view| told(shown(&buffer, &config.borrow().clone(), view), view))
}

fn told(shown: Result<Shown, Failure>, view: View) -> Result<Shown, String> {
    shown.or_else(|failure| match view {
        // Collectors of metrics drop a reply that is not 200, so the failure is told as a metric.
        View::Metrics => Ok(measured(metrics::of_failure(failure.code))),
        _ => Err(format!("{}; try: {}", failure.on_one_line(), failure.advice)),
    })
}

/// The function that makes the views of a buffer on PostgreSQL.
pub(in super::super) fn show_shared(settings: &Settings, clock: Clock) -> Result<Show, Failure> {
    let (address, config) = (shared::address(settings)?, settings.current.subscribe());
    Ok(Box::new(move |view| told(shown_shared(&address, &config.borrow().clone(), &clock, view), view)))
}

fn shown_shared(address: &Address, config: &Config, clock: &Clock, view: View) -> Result<Shown, Failure> {
    if view == View::Ready {
        shared::look(address)?;
        return Ok(json(true, &BTreeMap::from([("status", "ready")])));
    }
    // Each look opens a connection of its own, so that it fails at once if the database is away.
    let status = runtime()?.block_on(async { SharedBuffer::open(address).await?.status().await })?;
    let checks = shared_monitor::checks(&status, clock.now(), &config.monitor, &config.ingest)?;
    Ok(match view {
        View::Status => json(true, &status),
        View::Metrics => measured(metrics::shared_text(&status, &checks)),
        View::Check => checked(&checks),
        View::Page => {
            let text = page::shared_document(&Looked { status, discrepancies: None }.to_string());
            Shown { status: 200, content_type: HTML, text: text.into() }
        }
        View::Event { .. } | View::Ready => {
            let text = "where the buffer is on PostgreSQL there is /readyz, /status, /check, /metrics and /, so far\n";
            Shown { status: 404, content_type: "text/plain; charset=utf-8", text: text.into() }
        }
    })
}

fn shown(buffer: &Buffer, config: &Config, view: View) -> Result<Shown, Failure> {
    if view == View::Ready {
        return ready(buffer, config);
    }
    let report = look(buffer, config.analytics.proof_age())?;
    if view == View::Status {
        return Ok(json(true, &report));
    }
    let checks = monitor::checks(&report, buffer, &config.monitor, &config.ingest)?;
    match view {
        View::Metrics => Ok(measured(metrics::text(&report, &buffer.suite_accounts()?, &checks))),
        View::Check => Ok(checked(&checks)),
        View::Event { sequence, is_whole } => {
            let found = event_page::document(buffer, Sequence(sequence), is_whole)?;
            let (status, text) = found.map_or((404, event_page::missing(sequence)), |page| (200, page));
            Ok(Shown { status, content_type: HTML, text: text.into() })
        }
        View::Page | View::Ready | View::Status => {
            let hours = i64::try_from(page::HOURS).unwrap_or(i64::MAX) * 3_600_000_000_000;
            let flow = buffer.hourly(Instant::from_nanos(report.at.nanos().saturating_sub(hours)))?;
            let mut latest = buffer.undecided(Undecided::Dead, &Selection::All, page::LATEST)?;
            latest.extend(buffer.undecided(Undecided::Held, &Selection::All, page::LATEST)?);
            let text = page::document(&report, &flow, &checks, &latest);
            Ok(Shown { status: 200, content_type: HTML, text: text.into() })
        }
    }
}

/// Whether this process can take events in: the buffer can be read, and its disk has room.
fn ready(buffer: &Buffer, config: &Config) -> Result<Shown, Failure> {
    buffer.pending()?;
    let (free_bytes, min) = (buffer.free_bytes()?, config.ingest.min_free_bytes);
    let why =
        format!("the disk of the buffer has {free_bytes} bytes free; ingest.min_free_bytes keeps {min}");
    let status = if free_bytes < min { &why } else { "ready" };
    Ok(json(free_bytes >= min, &BTreeMap::from([("status", status)])))
}

fn checked(checks: &[Check]) -> Shown {
    json(!checks.iter().any(|check| check.broken), &BTreeMap::from([("checks", checks)]))
}

fn measured(text: String) -> Shown {
    Shown { status: 200, content_type: metrics::CONTENT_TYPE, text: text.into() }
}

fn json(is_good: bool, document: &impl Serialize) -> Shown {
    let text = safe(&serde_json::to_string(document).expect("text and numbers always serialise"));
    Shown { status: if is_good { 200 } else { 503 }, content_type: "application/json", text: text.into() }
}
