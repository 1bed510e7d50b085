//! `suite add`, `set`, `pause`, `resume` and `remove`.

use std::fmt;

use serde::Serialize;

use super::listing::{self, SuiteReport};
use super::{AddArgs, RemoveArgs, ResumeArgs, SetArgs, Suites};
use crate::buffer::{BufferError, SuiteListing};
use crate::cli::failure::CliError;
use crate::suite::{HitForm, IdentityKind, ReportSuite, Rsid, SuiteState};

pub(super) fn add(args: &AddArgs, suites: &Suites) -> Result<SuiteReport, CliError> {
    let buffer = &suites.buffer;
    // Only what is named is compared with a known suite: a requestor is added without repeating every setting.
    let base = match (buffer.suite(&args.rsid), &args.collection_url) {
        (Ok(known), Some(url)) => ReportSuite { collection_url: url.clone(), ..known.suite },
        (Ok(known), None) => known.suite,
        (Err(BufferError::UnknownSuite(_)), Some(url)) => {
            ReportSuite::with_defaults(args.rsid.clone(), url.clone())
        }
        (Err(BufferError::UnknownSuite(rsid)), None) => {
            return Err(CliError::Refused {
                what: format!("report suite {rsid} is new: it needs a collection host"),
                advice: "add --collection-url https://HOST, the tracking server of the programmer's site"
                    .to_owned(),
            });
        }
        (Err(error), _) => return Err(error.into()),
    };
    let is_known = buffer.suite(&args.rsid).is_ok();
    let mut suite = args.settings.apply(base);
    args.settings.refuse_unknown_organisation(&suite)?;
    if args.paused && is_known && suite.state != SuiteState::Paused {
        return Err(CliError::Refused {
            what: format!("report suite {} is known, and is not paused", args.rsid),
            advice: format!("pause it first, if that is meant: passbridge suite pause {}", args.rsid),
        });
    }
    if args.paused {
        suite.state = SuiteState::Paused;
    }
    buffer.add_suite(suite, args.requestors.clone())?;
    suites.renew(&args.rsid)?;
    listing::one(suites, &args.rsid)
}

pub(super) fn set(args: &SetArgs, suites: &Suites) -> Result<SuiteReport, CliError> {
    let buffer = &suites.buffer;
    let known = buffer.suite(&args.rsid)?;
    let mut changed = args.settings.apply(known.suite.clone());
    if let Some(url) = &args.collection_url {
        changed.collection_url = url.clone();
    }
    if splits_visitors(&known.suite.form, &changed.form) && !args.split_visitors {
        return Err(CliError::Refused {
            what: split(&known, &changed),
            advice: "repeat it with --split-visitors if that is meant".to_owned(),
        });
    }
    args.settings.refuse_unknown_organisation(&changed)?;
    buffer.set_suite(changed)?;
    suites.renew(&args.rsid)?;
    listing::one(suites, &args.rsid)
}

/// Whether the same viewer becomes another visitor. An organisation counts only where ECIDs are sent.
fn splits_visitors(from: &HitForm, to: &HitForm) -> bool {
    from.identity != to.identity || (to.identity == IdentityKind::Ecid && from.org_id != to.org_id)
}

fn split(known: &SuiteListing, changed: &ReportSuite) -> String {
    format!(
        "changing the identity of report suite {} from {} to {} splits the visitors of {}: Analytics never joins the two \
         kinds, so each viewer counts as a new one from then on",
        known.suite.form.rsid,
        known.suite.form.identity_text(),
        changed.form.identity_text(),
        listing::names(&known.requestors)
    )
}

pub(super) fn pause(suites: &Suites, rsid: &Rsid) -> Result<SuiteReport, CliError> {
    let known = suites.buffer.suite(rsid)?.suite;
    suites.buffer.set_suite(ReportSuite { state: SuiteState::Paused, ..known })?;
    listing::one(suites, rsid)
}

pub(super) fn resume(args: &ResumeArgs, suites: &Suites) -> Result<SuiteReport, CliError> {
    let (rsid, buffer) = (&args.rsid, &suites.buffer);
    let SuiteListing { suite, verdict, .. } = buffer.suite(rsid)?;
    match verdict.and_then(|verdict| verdict.blocks) {
        Some(reason) if !args.anyway => {
            return Err(CliError::Refused {
                what: format!(
                    "report suite {rsid} would lose every hit ({reason}), so its events stay parked"
                ),
                advice: format!(
                    "mend it, and see that it is: passbridge suite check {rsid}; or lose them knowingly: passbridge suite \
                     resume {rsid} --anyway"
                ),
            });
        }
        Some(_) => buffer.overrule(rsid)?,
        None => {}
    }
    buffer.set_suite(ReportSuite { state: SuiteState::Active, ..suite })?;
    listing::one(suites, rsid)
}

#[derive(Debug, Serialize)]
pub(super) struct RemoveReport {
    rsid: Rsid,
    retired: bool,
    freed_requestors: Vec<String>,
}

impl fmt::Display for RemoveReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.retired {
            writeln!(out, "report suite {} is retired", self.rsid)?;
        }
        writeln!(out, "without a suite now: {}", listing::names(&self.freed_requestors))
    }
}

pub(super) fn remove(args: &RemoveArgs, suites: &Suites) -> Result<RemoveReport, CliError> {
    let (rsid, buffer) = (args.rsid.clone(), &suites.buffer);
    if args.requestors.is_empty() {
        let freed_requestors = buffer.suite(&rsid)?.requestors;
        buffer.remove_suite(&rsid)?;
        return Ok(RemoveReport { rsid, retired: true, freed_requestors });
    }
    for requestor_id in &args.requestors {
        buffer.unmap_requestor(&rsid, requestor_id)?;
    }
    suites.renew(&rsid)?;
    let freed_requestors = args.requestors.iter().map(ToString::to_string).collect();
    Ok(RemoveReport { rsid, retired: false, freed_requestors })
}
