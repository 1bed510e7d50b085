//! `suite add`, `set`, `pause`, `resume` and `remove`.

use serde_json::json;

use super::listing::{self, Known, SuiteReport};
use super::settings::SettingArgs;
use crate::buffer::{Buffer, SuiteListing, WholeLock};
use crate::cli::desk::Desk;
use crate::cli::{Context, Exit, Failure, Settings, options, output, refused};
use crate::event::RequestorId;
use crate::suite::{CollectionUrl, IdentityKind, LiveRoute, ReportSuite, Rsid, SuiteState};

/// Maps requestors to a suite. Their events are then sent to it; with --paused, only after `suite resume`.
///
/// If the suite is known already, it gets the requestors in addition. Settings that differ from its own are refused:
/// change them with `suite set`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The requestor IDs whose events are sent to the suite.
    #[arg(long = "requestor", required = true, num_args = 1.., value_name = "ID", value_parser = RequestorId::new)]
    requestors: Vec<RequestorId>,
    /// The report suite ID, 1 to 40 letters, digits or periods.
    #[arg(long)]
    rsid: Rsid,
    /// The collection host, such as `https://example.sc.omtrdc.net`. Plain http is only for a collector on this host.
    /// Required for a new suite.
    #[arg(long, value_name = "URL")]
    collection_url: Option<CollectionUrl>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Send nothing until `suite resume`, so that the suite can be checked and probed first.
    #[arg(long)]
    paused: bool,
}

/// Sends events again to a suite that was paused, or whose hits are known to be lost.
///
/// If the last check or probe found that the suite loses its hits, nothing is sent to it until a check no longer
/// finds that. To send all the same, use --anyway.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// Send to the suite although it is known to lose its hits. This applies until another reason for the loss is found.
    #[arg(long)]
    anyway: bool,
}

/// Changes settings of a suite. Settings that are not given stay as they are.
///
/// An event with an attempt of unknown outcome is still sent again exactly as it was sent first.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// The collection host.
    #[arg(long, value_name = "URL")]
    collection_url: Option<CollectionUrl>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Accept that every known visitor of the suite becomes a new one if the identity changes.
    #[arg(long)]
    split_visitors: bool,
}

/// Retires a suite, or takes single requestors from it. Their events are parked until the requestors are mapped again.
///
/// It is refused while events of the suite are held or in doubt, because nobody could decide about them without the suite.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The report suite ID.
    rsid: Rsid,
    /// Take only these requestors from the suite, and keep it.
    #[arg(long = "requestor", num_args = 1.., value_name = "ID", value_parser = RequestorId::new)]
    requestors: Vec<RequestorId>,
}

pub(super) fn add(args: &AddArgs, suites: &Known, settings: &Settings) -> Result<SuiteReport, Failure> {
    // For a known suite, only the given settings are compared, so that a requestor can be added without all settings.
    let mut known = suites.all()?.into_iter().map(|listing| listing.suite);
    let suite = wanted(args, known.find(|suite| suite.form.rsid == args.rsid))?;
    suites.refuse_files(&suite)?;
    warn_of_files(&suite, settings);
    warn_of_spellings(&args.requestors, &suites.all()?);
    let file = |buffer: &Buffer| buffer.add_suite(suite.clone(), args.requestors.clone());
    suites.desk.ask(file, async |buffer| buffer.add_suite(&suite, &args.requestors).await)?;
    suites.renew(&args.rsid)?;
    suites.report(&args.rsid)
}

/// Names each requestor that differs from a mapped one, or from another new one, in capitals alone.
fn warn_of_spellings(new: &[RequestorId], known: &[SuiteListing]) {
    let mapped = known.iter().flat_map(|listing| &listing.requestors).map(String::as_str);
    let all: Vec<&str> = mapped.chain(new.iter().map(RequestorId::as_str)).collect();
    for id in new.iter().map(RequestorId::as_str) {
        if let Some(other) = all.iter().find(|other| **other != id && other.eq_ignore_ascii_case(id)) {
            output::warn(format_args!(
                "requestor {id:?} is spelled {other:?} elsewhere: each takes only the events that spell it so, and Analytics shows both as one"
            ));
        }
    }
}

/// The suite with the given settings; the other settings are those of the known suite, or the defaults.
fn wanted(args: &AddArgs, known: Option<ReportSuite>) -> Result<ReportSuite, Failure> {
    let is_known = known.is_some();
    let base = match (known, &args.collection_url) {
        (Some(known), Some(url)) => ReportSuite { collection_url: url.clone(), ..known },
        (Some(known), None) => known,
        (None, Some(url)) => ReportSuite::with_defaults(args.rsid.clone(), url.clone()),
        (None, None) => {
            return Err(refused(
                format!("report suite {} is new: it needs a collection host", args.rsid),
                "add --collection-url https://HOST, the tracking server of the programmer's site",
            ));
        }
    };
    let mut suite = args.settings.apply(base);
    args.settings.refuse_unknown_organisation(&suite)?;
    if args.paused && is_known && suite.state != SuiteState::Paused {
        return Err(refused(
            format!("report suite {} is known, and is not paused", args.rsid),
            format!("pause it first, if that is meant: passbridge suite pause {}", args.rsid),
        ));
    }
    if args.paused {
        suite.state = SuiteState::Paused;
    }
    Ok(suite)
}

pub(super) fn set(args: &SetArgs, suites: &Known, settings: &Settings) -> Result<SuiteReport, Failure> {
    let known = suites.one(&args.rsid)?;
    let mut changed = args.settings.apply(known.suite.clone());
    if let Some(url) = &args.collection_url {
        changed.collection_url = url.clone();
    }
    let (from, to) = (&known.suite.form, &changed.form);
    // The organisation makes new visitors only where ECIDs are sent.
    let is_other = to.identity == IdentityKind::Ecid && from.org_id != to.org_id;
    let organisation = args.settings.refuse_unknown_organisation(&changed);
    if (from.identity != to.identity || is_other) && !args.split_visitors {
        let also =
            organisation.map_or_else(|refused| format!(", and {}", refused.advice), |()| String::new());
        let advice = format!("repeat it with --split-visitors if that is meant{also}");
        return Err(refused(split(&known, &changed), advice));
    }
    organisation?;
    suites.refuse_files(&changed)?;
    warn_of_files(&changed, settings);
    let _lock = if from.has_visitors_of(to) { None } else { lock(&suites.desk)? };
    suites.set(changed)?;
    suites.renew(&args.rsid)?;
    suites.report(&args.rsid)
}

/// Says what is missing if the events of the suite go in files and no drain could send them.
fn warn_of_files(suite: &ReportSuite, settings: &Settings) {
    let rsid = &suite.form.rsid;
    match options::bulk_client(settings) {
        _ if suite.route == LiveRoute::Dia => {}
        Ok(Some(_)) => {}
        Ok(None) => {
            tracing::warn!(%rsid, "events that go in files wait until there is a credential: set bulk.client_id and bulk.client_secret_file")
        }
        Err(failure) => {
            tracing::warn!(%rsid, error = failure.on_one_line(), "events that go in files wait until the credential can be used")
        }
    }
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

pub(super) fn pause(suites: &Known, rsid: &Rsid) -> Result<SuiteReport, Failure> {
    let known = suites.one(rsid)?.suite;
    suites.set(ReportSuite { state: SuiteState::Paused, ..known })?;
    suites.report(rsid)
}

pub(super) fn resume(args: &ResumeArgs, suites: &Known) -> Result<SuiteReport, Failure> {
    let rsid = &args.rsid;
    let SuiteListing { suite, verdict, .. } = suites.one(rsid)?;
    match (verdict.and_then(|verdict| verdict.blocks), &suites.desk) {
        (Some(reason), _) if !args.anyway => {
            return Err(refused(
                format!("report suite {rsid} would lose every hit ({reason}), so its events stay parked"),
                format!(
                    "mend it, and see that it is: passbridge suite check {rsid}; or lose them knowingly: passbridge suite \
                     resume {rsid} --anyway"
                ),
            ));
        }
        (Some(_), Desk::File(buffer)) => buffer.overrule(rsid)?,
        (Some(_) | None, _) => {}
    }
    suites.set(ReportSuite { state: SuiteState::Active, ..suite })?;
    suites.report(rsid)
}

/// Locks a buffer in a file, because a run that began before the change would send events for a while with the former
/// settings. A database of PostgreSQL refuses the change itself while a drain sends to the suite.
fn lock(desk: &Desk) -> Result<Option<WholeLock>, Failure> {
    match desk {
        Desk::File(buffer) => Ok(Some(buffer.lock_whole()?)),
        Desk::Shared(..) => Ok(None),
    }
}

pub(super) fn remove(args: &RemoveArgs, suites: &Known, context: &Context) -> Result<Exit, Failure> {
    let (rsid, desk) = (&args.rsid, &suites.desk);
    let _lock = lock(desk)?;
    let retired = args.requestors.is_empty();
    let freed_requestors = if retired {
        let freed = suites.one(rsid)?.requestors;
        desk.ask(|buffer| buffer.remove_suite(rsid), async |buffer| buffer.remove_suite(rsid).await)?;
        freed
    } else {
        for requestor_id in &args.requestors {
            let file = |buffer: &Buffer| buffer.unmap_requestor(rsid, requestor_id);
            desk.ask(file, async |buffer| buffer.unmap_requestor(rsid, requestor_id).await)?;
        }
        suites.renew(rsid)?;
        args.requestors.iter().map(ToString::to_string).collect()
    };
    let first = if retired { format!("report suite {rsid} is retired\n") } else { String::new() };
    let text = format!("{first}without a suite now: {}", listing::names(&freed_requestors));
    let report = json!({ "rsid": rsid, "retired": retired, "freed_requestors": freed_requestors });
    context.answer(&report, text)
}
