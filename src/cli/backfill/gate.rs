//! Stops a run before it loads: for inputs that differ from the plan or lack keys, and for days delivered already.

use serde::Deserialize;
use serde_json::Value;

use crate::backfill::{Day, FileState, NewDays};
use crate::buffer::{Buffer, JobRecord, JobSource};
use crate::cli::ingest::AcceptArgs;
use crate::cli::{Failure, hint, refused};
use crate::event::{LostKeys, RequestorId};
use crate::harmless::few;
use crate::job::JobState;

/// The most days of requestors, or inputs, that a refusal names, so that it stays readable.
const NAMED_MAX: usize = 40;

/// Fails if a file that is not loaded yet differs from the file that the plan has read.
pub(super) fn refuse_changed(buffer: &Buffer, job: &JobRecord, plan: &Value) -> Result<(), Failure> {
    let name = &job.name;
    for input in buffer.job_inputs(job.key)?.into_iter().filter(|input| !input.is_loaded) {
        let JobSource::File { path, .. } = input.source else { continue };
        let planned = FileState::deserialize(&plan["inputs"][input.number as usize]).ok();
        let found = FileState::of(&path).map_err(Failure::reading(&path))?;
        let what = match planned {
            Some(planned) if planned == found => continue,
            Some(planned) => format!("it had {planned}, and has {found}"),
            None => "it could not be read then".to_owned(),
        };
        let advice = match job.state {
            JobState::Planned => {
                format!("see what changed, then plan it anew: passbridge backfill plan {name} FILE...")
            }
            _ => hint::with_mended_file(name),
        };
        return Err(refused(format!("{} was changed since it was planned: {what}", path.display()), advice));
    }
    Ok(())
}

/// Fails if an input of a recorded plan lacks keys that nearly all events before it had, unless they are accepted.
pub(super) fn refuse_lost(plan: &Value, accepted: &AcceptArgs) -> Result<(), Failure> {
    let (mut told, mut found) = (Vec::new(), LostKeys::default());
    for input in plan["inputs"].as_array().into_iter().flatten() {
        let mut lost = LostKeys::deserialize(&input["lost_keys"]).unwrap_or_default();
        lost.0
            .values_mut()
            .for_each(|keys| keys.retain(|key| !accepted.accept_missing.contains(&key.as_str())));
        lost.0.retain(|_, keys| !keys.is_empty());
        if !lost.is_empty() {
            told.push(format!("{} {lost}", input["path"].as_str().unwrap_or_default()));
            lost.0.into_iter().for_each(|(id, keys)| found.0.entry(id).or_default().extend(keys));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(refused(few(told, NAMED_MAX).join("; "), found.advice()))
}

/// Fails if a requestor has delivered events on a day to which the plan would add events, unless that day is accepted.
pub(super) fn refuse_delivered(buffer: &Buffer, plan: &Value, accepted: &AcceptArgs) -> Result<(), Failure> {
    let reader = buffer.planning()?;
    let (mut named, mut found) = (Vec::new(), Vec::new());
    for NewDays { requestor_id, days } in Vec::<NewDays>::deserialize(&plan["new_days"]).unwrap_or_default() {
        let (Ok(id), Some(first), Some(last)) = (RequestorId::new(&requestor_id), days.first(), days.last())
        else {
            continue;
        };
        let mut delivered = reader.delivered_days(&id, *first, *last)?;
        delivered.retain(|one| {
            days.contains(&one.day) && !accepted.accept_days.iter().any(|span| span.has(one.day))
        });
        named.extend(delivered.iter().map(|one| one.day));
        let told = |day| format!("{requestor_id} {}", Day::from_number(day));
        found.extend(delivered.iter().map(|one| format!("{}: {} delivered", told(one.day), one.events)));
    }
    if found.is_empty() {
        return Ok(());
    }
    named.sort_unstable();
    named.dedup();
    let days: Vec<String> = named.iter().map(|day| Day::from_number(*day).to_string()).collect();
    Err(refused(
        format!(
            "events would be added to days that were delivered already: {}",
            few(found, NAMED_MAX).join("; ")
        ),
        format!(
            "where they are the same events in another form, leave these days out, because Analytics cannot take a count back; where they are others, \
             name the days: --accept-days {}",
            days.join(",")
        ),
    ))
}
