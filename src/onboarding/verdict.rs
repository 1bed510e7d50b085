//! The verdict on a suite: what its last check and probe came to, remembered together with what they saw.
//!
//! What a source showed counts until it shows something else; what a settings file showed also until a newer word of a person
//! or a newer probe says otherwise. So a check with the API alone keeps what an earlier one read from a file, and a suite that
//! was seen to lose its hits stays blocked until something shows that it is mended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{ApiSettings, CheckReport, Evidence, check};
use super::probe;
use super::settings_file::SettingsFile;
use crate::buffer::{Buffer, BufferError, NewVerdict};
use crate::event::Instant;
use crate::suite::Rsid;

/// What the sources showed of a suite, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// When a source was last read.
    pub checked_at: Option<Instant>,
    /// What the API showed when it last showed the suite.
    pub api: Option<Dated<ApiSettings>>,
    /// Since when the API shows these credentials no such suite; `None` where it does, or was never asked.
    pub invisible_at: Option<Instant>,
    /// What the latest settings file says.
    pub file: Option<Dated<SettingsFile>>,
    /// When a source was last seen to show other settings than before.
    pub changed_at: Option<Instant>,
}

/// What was read, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated<T> {
    pub at: Instant,
    pub read: T,
}

impl Seen {
    /// Takes what the API shows now.
    pub fn add_api(&mut self, api: ApiSettings, now: Instant) {
        self.checked_at = Some(now);
        if api.suite.is_none() {
            self.invisible_at.get_or_insert(now);
            return;
        }
        self.invisible_at = None;
        self.note_change(self.api.as_ref().is_some_and(|known| known.read != api), now);
        self.api = Some(Dated { at: now, read: api });
    }

    /// Takes what a settings file says.
    pub fn add_file(&mut self, file: SettingsFile, now: Instant) {
        self.checked_at = Some(now);
        // Rows about other things are not compared, and may be many.
        let file = SettingsFile { other_rows: Vec::new(), ..file };
        self.note_change(self.file.as_ref().is_some_and(|known| known.read != file), now);
        self.file = Some(Dated { at: now, read: file });
    }

    fn note_change(&mut self, is_changed: bool, now: Instant) {
        if is_changed {
            self.changed_at = Some(now);
        }
    }
}

/// What was seen of a suite so far.
pub fn seen(buffer: &Buffer, rsid: &Rsid) -> Result<Seen, BufferError> {
    Ok(buffer.seen(rsid)?.unwrap_or_default())
}

/// Checks a suite by what was seen of it, and remembers what that came to.
pub fn judge(
    buffer: &Buffer,
    rsid: &Rsid,
    seen: &Seen,
    proof_age: Duration,
) -> Result<CheckReport, BufferError> {
    let known = buffer.suite(rsid)?;
    let probe = buffer.last_read_probe(rsid)?.as_ref().and_then(probe::outcome);
    let evidence = Evidence {
        seen,
        confirmations: &known.confirmations,
        probe: probe.as_ref(),
        has_delivered: buffer.has_delivered(rsid)?,
        now: buffer.now(),
        proof_age,
    };
    let report = check(&known.suite, &known.requestors, evidence);
    let verdict = NewVerdict {
        checked_at: seen.checked_at.unwrap_or(evidence.now),
        open: report.unsettled().count() as u32,
        blocks: report.blocks(),
        proved_at: report.proved_at,
        void: report.void.clone(),
        seen: serde_json::to_value(seen).expect("texts and numbers always serialise"),
    };
    buffer.set_verdict(rsid, verdict)?;
    Ok(report)
}

/// Judges anew a suite of which something else changed than what the sources show. One that nobody has checked stays so.
pub fn renew(buffer: &Buffer, rsid: &Rsid, proof_age: Duration) -> Result<(), BufferError> {
    match buffer.seen(rsid)? {
        Some(seen) => judge(buffer, rsid, &seen, proof_age).map(drop),
        None => Ok(()),
    }
}
