//! What the open buffer shows: its files, folders and disk, whether it is whole, who uses it, its suites and limits.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::geteuid;

use super::finding::Finding;
use super::secrets;
use crate::buffer::{Buffer, SuiteListing};
use crate::cli::status::broken_checks;
use crate::cli::{Failure, Settings};
use crate::suite::{Readiness, SuiteState};
use crate::whole_file::{beside, refuse_open_folder};

/// This many times `ingest.min_free_bytes` should be free. Less is a warning; below `min_free_bytes`, ingest stops.
const ROOM_FACTOR: u64 = 4;

/// A question to the buffer that cannot be answered is a finding too.
pub(super) fn findings(settings: &Settings, buffer: &Buffer, full: bool) -> Vec<Finding> {
    let answers: [(&'static str, Result<Vec<Finding>, Failure>); 5] = [
        ("owner", Ok(places(settings, buffer))),
        ("disk", disk(settings, buffer)),
        ("integrity", integrity(buffer, full)),
        ("locks", users(buffer)),
        ("suite", suites(settings, buffer)),
    ];
    let mut findings = Vec::new();
    for (check, answer) in answers {
        findings.extend(answer.unwrap_or_else(|failure| vec![Finding::of(check, None).failed(&failure)]));
    }
    match broken_checks(buffer, &settings.config) {
        Err(failure) => findings.push(Finding::of("monitor", None).failed(&failure)),
        Ok(broken) => findings.extend(broken.into_iter().map(|(check, says)| {
            Finding::of("monitor", Some(check)).warning(says, "see what waits, and why: passbridge status")
        })),
    }
    findings
}

/// Owner and modes of the buffer's files, and of the folders into which this program writes personal data.
fn places(settings: &Settings, buffer: &Buffer) -> Vec<Finding> {
    let path = buffer.path();
    let of = || Some(path.display().to_string());
    let owner = fs::metadata(path).map_or(0, |found| found.uid());
    let own = geteuid().as_raw();
    let mut findings = vec![if owner == own {
        Finding::of("owner", of()).ok(format!("it belongs to this user (uid {own})"))
    } else {
        let says = format!(
            "it belongs to uid {owner}, and this user is uid {own}: what is found may not hold for the service"
        );
        Finding::of("owner", of())
            .warning(says, "run it as the user of the service: runuser -u passbridge -- passbridge doctor")
    }];
    findings.extend(["", "-wal", "-shm"].iter().filter_map(|side| secrets::open(&beside(path, side))));
    let folders = [
        ("ingest.rejects_dir", &settings.config.ingest.rejects_dir),
        ("bulk.dir", &settings.config.bulk.dir),
    ];
    for (key, folder) in folders.into_iter().filter(|(_, folder)| folder.exists()) {
        let found = Finding::of("folder", Some(key.to_owned()));
        findings.push(match refuse_open_folder(folder, path) {
            Ok(()) => found.ok(format!("{} is closed to others", folder.display())),
            Err(error) => {
                found.bad(error.to_string(), "do what the text says: lines of others could be put there")
            }
        });
    }
    findings
}

fn disk(settings: &Settings, buffer: &Buffer) -> Result<Vec<Finding>, Failure> {
    let (free, floor) = (buffer.free_bytes()?, settings.config.ingest.min_free_bytes);
    let found = Finding::of("disk", Some(buffer.path().display().to_string()));
    let says = format!("{free} bytes are free; ingest.min_free_bytes keeps {floor}");
    let advice = "free some disk, shorten buffer.retention_days, or move the buffer to a larger disk";
    Ok(vec![match free {
        _ if free < floor => found.bad(format!("{says}: nothing is taken in"), advice),
        _ if free < floor.saturating_mul(ROOM_FACTOR) => found.warning(says, advice),
        _ => found.ok(says),
    }])
}

fn integrity(buffer: &Buffer, full: bool) -> Result<Vec<Finding>, Failure> {
    let found = || Finding::of("integrity", Some(if full { "full" } else { "quick" }.to_owned()));
    let advice = "check the disk, and restore the latest backup: passbridge restore FILE";
    if let Some(damage) = buffer.quick_damage()? {
        return Ok(vec![found().bad(format!("damaged: {damage}"), advice)]);
    }
    if !buffer.status()?.accounting.balanced {
        return Ok(vec![found().bad("the account is off", "passbridge status --verify")]);
    }
    if !full {
        return Ok(vec![found().ok("counters and main tables are whole, and the account balances")]);
    }
    let differences = buffer.verify()?;
    Ok(vec![match differences.first() {
        None => found().ok("every row was counted, and agrees with the counters"),
        Some(first) => found().bad(
            format!(
                "{} differences between rows and counters; the first: {}",
                differences.len(),
                first.state
            ),
            "see all: passbridge status --verify; then check the disk, and restore the latest backup",
        ),
    }])
}

/// The processes that hold a lock or have the buffer open. Neither is a fault: a lock ends with its holder.
fn users(buffer: &Buffer) -> Result<Vec<Finding>, Failure> {
    let holders = [buffer.drain_holder()?, buffer.backfill_holder()?];
    let holders: Vec<String> = holders.iter().flatten().map(ToString::to_string).collect();
    let locks = match holders.as_slice() {
        [] => "no drain and no backfill holds its lock".to_owned(),
        holders => format!("held: {}", holders.join("; ")),
    };
    let users = buffer.users()?;
    let users = match users.as_slice() {
        [] => "no other process of which this user may know has the buffer open".to_owned(),
        users => format!("they have the buffer open: {}", users.join(", ")),
    };
    Ok(vec![Finding::of("locks", None).ok(locks), Finding::of("processes", None).ok(users)])
}

fn suites(settings: &Settings, buffer: &Buffer) -> Result<Vec<Finding>, Failure> {
    let listings = buffer.suites()?;
    if listings.is_empty() {
        let advice = "map a requestor to its suite: passbridge suite add --help";
        return Ok(vec![
            Finding::of("suite", None).warning("no requestor has a report suite, so nothing is sent", advice),
        ]);
    }
    let proof_age = settings.config.analytics.proof_age();
    let tell = |SuiteListing { suite, verdict, .. }: SuiteListing| {
        let rsid = suite.form.rsid;
        let readiness = Readiness::of(verdict.as_ref(), buffer.now(), proof_age);
        let why = verdict.and_then(|verdict| verdict.blocks.or(verdict.overruled));
        let says = format!("{readiness}{}", why.map_or_else(String::new, |why| format!(": {why}")));
        let found = Finding::of("suite", Some(rsid.to_string()));
        let advice = format!("see each item, and what to set: passbridge suite check {rsid}");
        match readiness {
            Readiness::Blocks => found.bad(says, &advice),
            _ if suite.state == SuiteState::Paused => {
                let advice = format!("its events wait until: passbridge suite resume {rsid}");
                found.warning(format!("paused; {says}"), &advice)
            }
            Readiness::Ready => found.ok(says),
            Readiness::Unchecked
            | Readiness::Open { .. }
            | Readiness::Overruled
            | Readiness::ProofAged { .. } => found.warning(says, &advice),
        }
    };
    Ok(listings.into_iter().map(tell).collect())
}
