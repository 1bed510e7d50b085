//! What stops a run before anything is loaded: inputs that are not as they were planned, and days that were delivered already.

use serde::Deserialize;
use serde_json::Value;

use crate::backfill::{Day, FileState, NewDays};
use crate::buffer::{Buffer, JobRecord, JobSource};
use crate::cli::{Failure, refused};
use crate::event::{DaySpan, RequestorId};
use crate::job::JobState;

/// The most days of requestors that a refusal names, so that it stays readable.
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
            _ => format!("put the planned file back; or cancel {name}, and plan the rest under another name"),
        };
        return Err(refused(format!("{} was changed since it was planned: {what}", path.display()), advice));
    }
    Ok(())
}

/// The days of a recorded plan.
pub(super) fn new_days(plan: &Value) -> Vec<NewDays> {
    Vec::deserialize(&plan["new_days"]).unwrap_or_default()
}

/// Fails if a requestor has delivered events on a day to which events would be added, unless that day is accepted.
pub(super) fn refuse_delivered(
    buffer: &Buffer,
    new: &[NewDays],
    accepted: &[DaySpan],
) -> Result<(), Failure> {
    let reader = buffer.planning()?;
    let (mut named, mut found) = (Vec::new(), Vec::new());
    for NewDays { requestor_id, days } in new {
        let (Ok(id), Some(first), Some(last)) = (RequestorId::new(requestor_id), days.first(), days.last())
        else {
            continue;
        };
        let mut delivered = reader.delivered_days(&id, *first, *last)?;
        delivered.retain(|one| days.contains(&one.day) && !accepted.iter().any(|span| span.has(one.day)));
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
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    found.extend((more > 0).then(|| format!("{more} more")));
    Err(refused(
        format!("events would be added to days that were delivered already: {}", found.join("; ")),
        format!(
            "where they are the same events in another form, leave these days out, because Analytics cannot take a count back; where they are others, \
             name the days: --accept-days {}",
            days.join(",")
        ),
    ))
}
