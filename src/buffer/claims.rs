//! Claims: attempts that may be on the wire. The claims that one transaction stores are one row (a wave) for each form.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::attempts;
use super::error::{BufferError, Result};
use super::keys::{FormKey, JobKey, RunId};
use super::rows::{self, json_list, run};
use crate::delivery::{Doubt, Sequence};
use crate::event::Instant;

/// The claims of a run that have no outcome.
#[derive(Debug, Default)]
pub struct Claims {
    wave_of: HashMap<Sequence, i64>,
    left: HashMap<i64, usize>,
    /// How many waves there were.
    waves: i64,
}

/// What one transaction changes in the claims of a run.
#[derive(Default)]
pub(super) struct Changed {
    new: BTreeMap<FormKey, Vec<Sequence>>,
    /// The waves in which claims ended. True if one ended without a delivery: then the wave is written again.
    waves: BTreeMap<i64, bool>,
}

impl Claims {
    pub(super) fn begin(sequence: Sequence, form: FormKey, changed: &mut Changed) {
        changed.new.entry(form).or_default().push(sequence);
    }

    /// Ends the claim of an event, if it has one.
    pub(super) fn end(&mut self, sequence: Sequence, is_delivered: bool, changed: &mut Changed) {
        if let Some(wave) = self.wave_of.remove(&sequence) {
            *self.left.entry(wave).or_default() -= 1;
            *changed.waves.entry(wave).or_default() |= !is_delivered;
        } else {
            changed.new.values_mut().for_each(|new| new.retain(|one| *one != sequence));
        }
    }

    pub(super) fn write(&mut self, connection: &Connection, by: RunId, changed: Changed) -> Result<()> {
        for (wave, is_pending) in changed.waves {
            let written = if self.left[&wave] == 0 {
                self.left.remove(&wave);
                rows::changed(connection, "DELETE FROM waves WHERE run = ?1 AND wave = ?2", (by, wave))?
            } else if is_pending {
                let open = self.wave_of.iter().filter(|(_, of)| **of == wave).map(|(sequence, _)| *sequence);
                let list = json_list(&open.collect::<Vec<_>>());
                let update = "UPDATE waves SET seqs = ?3 WHERE run = ?1 AND wave = ?2";
                rows::changed(connection, update, (by, wave, list))?
            } else {
                1
            };
            // If somebody removed the lock file, another drain may have turned this run's claims into doubts.
            if written == 0 {
                return Err(BufferError::ClaimsTaken);
            }
        }
        for (form, new) in changed.new.into_iter().filter(|(_, new)| !new.is_empty()) {
            let insert = "INSERT INTO waves (run, wave, form, seqs) VALUES (?1, ?2, ?3, ?4)";
            self.waves += 1;
            let wave = self.waves;
            run(connection, insert, (by, wave, form, json_list(&new)))?;
            self.left.insert(wave, new.len());
            self.wave_of.extend(new.into_iter().map(|sequence| (sequence, wave)));
        }
        Ok(())
    }
}

/// Turns the claims that earlier runs left without an outcome into doubts, because these attempts may have counted.
/// Takes only claims of the same kind of run: a backfill and a drain of live events may run side by side.
pub(super) fn recover(connection: &Connection, job: JobKey, now: Instant) -> Result<u64> {
    let change = "INSERT INTO doubts (seq, form, attempts, last_at, cause)
         SELECT seq, form, 1, ?2, ?3 FROM claims WHERE run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))
         ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, last_at = ?2, cause = ?3, wanted = 0";
    let recovered = rows::changed(connection, change, (job, now, Doubt::RunEnded.to_string()))?;
    attempts::note_claims(connection, job, now)?;
    let delete = "DELETE FROM waves WHERE run IN (SELECT run FROM runs WHERE (job = 0) = (?1 = 0))";
    run(connection, delete, [job])?;
    Ok(recovered)
}
