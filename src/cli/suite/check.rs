//! `suite check`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::listing;
use crate::analytics::AnalyticsClient;
use crate::buffer::Buffer;
use crate::cli::code::Code;
use crate::cli::{Context, Exit, Failure, Settings, Table, hint, input, options, refused, runtime};
use crate::confirmation::Item;
use crate::onboarding::check::{ApiSettings, CheckReport, Finding, ItemState, Seen, Severity};
use crate::onboarding::settings_file::{self, BYTES_MAX, SettingsFile};
use crate::onboarding::verdict;
use crate::suite::{Readiness, Rsid};
use crate::web::{ApiError, Cause};

const ROWS_NAMED_MAX: usize = 5;

/// Compares a report suite with what the integration needs, field by field.
///
/// It reads the suite through the Analytics 2.0 API if `[analytics]` has credentials, and from the file of Admin >
/// Report Suites > Download if --settings names it. One of the two is enough. What neither shows must be confirmed by
/// a person (`suite confirm`) or proved by a probe (`suite probe`). Nothing is changed at Adobe. The result is
/// stored, with what the file showed. If the suite loses its hits, its events wait until a check no longer finds
/// that.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("../help/suite_check.txt").trim_ascii_end())]
pub(crate) struct CheckArgs {
    /// The report suite ID.
    #[arg(required_unless_present = "all")]
    rsid: Option<Rsid>,
    /// Check every suite, one after the other, through the API.
    #[arg(long, conflicts_with_all = ["rsid", "settings"])]
    all: bool,
    /// The file of Admin > Report Suites > Download.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Also exit with 3 if an item is not shown, proved or confirmed, or if nobody has confirmed its warning.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    check: CheckReport,
    readiness: Readiness,
    api: bool,
    settings_file: Option<SettingsFile>,
}

#[derive(Debug, Serialize)]
struct AllReport {
    suites: Vec<Report>,
    unread: BTreeMap<Rsid, String>,
}

pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let Some(rsid) = &args.rsid else { return all(args, &settings, &buffer, context) };
    buffer.suite(rsid)?;
    let read_file = |path| Ok::<_, Failure>((path, input::read(path, BYTES_MAX, SETTINGS_ADVICE)?));
    let file = args.settings.as_deref().map(read_file).transpose()?;
    let api = match client(&settings, args.settings.is_some())? {
        Some(client) => Some(runtime()?.block_on(read(&client, rsid))?),
        None => None,
    };
    let names = api.as_ref().and_then(|api| api.suite.as_ref()).map(|suite| suite.name.as_str());
    let parsed = file.map(|(path, bytes)| {
        settings_file::parse(&bytes, rsid, names.as_slice()).map_err(|error| {
            refused(format!("{path:?} is no settings file for this suite: {error}"), SETTINGS_ADVICE)
        })
    });
    let file = parsed.transpose()?;
    let report = judge(&settings, &buffer, rsid, api, file)?;
    let is_refused = report.is_refused(args.strict);
    context.form.report(&report)?;
    Ok(if is_refused { Exit::Unclean } else { Exit::Done })
}

/// Checks every suite with one client. Stops if the credentials are at fault, because no suite can be read then.
fn all(args: &CheckArgs, settings: &Settings, buffer: &Buffer, context: &Context) -> Result<Exit, Failure> {
    let client = options::analytics(settings)?;
    let runtime = runtime()?;
    let mut report = AllReport { suites: Vec::new(), unread: BTreeMap::new() };
    let mut first = None;
    for listing in buffer.suites()? {
        let rsid = listing.suite.form.rsid;
        match runtime.block_on(read(&client, &rsid)) {
            Ok(api) => report.suites.push(judge(settings, buffer, &rsid, Some(api), None)?),
            Err(error) if is_of_credentials(&error) => return Err(of_no_suite(error).into()),
            Err(error) => {
                report.unread.insert(rsid, error.to_string());
                first.get_or_insert(Failure::from(error));
            }
        }
    }
    let is_refused = report.suites.iter().any(|one| one.is_refused(args.strict));
    context.ended(&report, first, if is_refused { Exit::Unclean } else { Exit::Done })
}

fn is_of_credentials(error: &ApiError) -> bool {
    let is_of_company =
        matches!(error.cause, Cause::NoCompany | Cause::SeveralCompanies(_) | Cause::NotSendable(_));
    error.endpoint.gives_credentials || is_of_company || error.status() == Some(401)
}

/// The error without the URL path of the suite that was just read, because the error applies to all suites.
fn of_no_suite(mut error: ApiError) -> ApiError {
    let place = &mut error.endpoint.place;
    place.truncate(place.find("/reportsuites").unwrap_or(place.len()));
    error
}

/// Adds the new findings to the stored ones, and judges all of them.
pub(super) fn judge(
    settings: &Settings,
    buffer: &Buffer,
    rsid: &Rsid,
    api: Option<ApiSettings>,
    file: Option<SettingsFile>,
) -> Result<Report, Failure> {
    let proof_age = settings.config.analytics.proof_age();
    let mut seen: Seen = buffer.seen(rsid)?.unwrap_or_default();
    let (now, is_api) = (buffer.now(), api.is_some());
    api.into_iter().for_each(|api| seen.add_api(api, now));
    file.iter().for_each(|file| seen.add_file(file.clone(), now));
    let check = verdict::judge(buffer, rsid, &seen, proof_age)?;
    let readiness = Readiness::of(buffer.suite(rsid)?.verdict.as_ref(), now, proof_age);
    Ok(Report { check, readiness, api: is_api, settings_file: file })
}

/// The client of the API; `None` if there are no credentials and a file is given instead.
fn client(settings: &Settings, has_file: bool) -> Result<Option<AnalyticsClient>, Failure> {
    if has_file && settings.config.analytics.client_id.is_empty() {
        return Ok(None);
    }
    let refuse = |mut failure: Failure| {
        if failure.code == Code::Refused {
            failure
                .advice
                .push_str("; or give the file of Admin > Report Suites > Download with --settings FILE");
        }
        failure
    };
    options::analytics(settings).map(Some).map_err(refuse)
}

pub(super) async fn read(client: &AnalyticsClient, rsid: &Rsid) -> Result<ApiSettings, ApiError> {
    let suite = client.suite(rsid).await?;
    // Adobe answers nothing about eVars and events of an unknown suite.
    let (evars, events) = match &suite {
        Some(_) => (client.evars(rsid).await?, client.events(rsid).await?),
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    Ok(ApiSettings { suite, evars, events })
}

const SETTINGS_ADVICE: &str =
    "in Admin > Report Suites select the suite, then Download, and give that file as it is";

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CheckReport { rsid, name, requestors, items, findings, hints, .. } = &self.check;
        let name = name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        writeln!(out, "report suite {rsid}{name} of {}: {}", listing::names(requestors), self.summary())?;
        let unlike = |finding: &Finding| Finding { subject: String::new(), ..finding.clone() };
        let open = findings.iter().filter(|finding| finding.severity < Severity::Ok);
        for (finding, subjects) in grouped(open.map(|finding| (unlike(finding), subject(finding)))) {
            write_finding(out, &finding, &ranges(&subjects))?;
        }
        if self.readiness == Readiness::Blocks {
            let anyway = format!("passbridge suite resume {rsid} --anyway");
            let anyway = hint::complete(&anyway);
            writeln!(out, "  parked    nothing is sent to it until a check finds it mended, or: {anyway}")?;
        }
        let is_warned =
            |item| findings.iter().any(|one| one.item == item && one.severity == Severity::Warning);
        let (warned, right): (Vec<_>, Vec<_>) = items.iter().partition(|report| is_warned(report.item));
        for (what, items) in [("right", right), ("accepted", warned)] {
            let is_open = |state| matches!(state, ItemState::Wrong | ItemState::Open | ItemState::Warned);
            let settled = items.into_iter().filter(|report| !is_open(report.state));
            for (because, names) in grouped(settled.map(|report| (&report.because, report.item.as_str()))) {
                writeln!(out, "  {what:<10}{}: {because}", names.join(", "))?;
            }
        }
        let spelled: Vec<String> = findings.iter().filter_map(spelled).collect();
        if !spelled.is_empty() {
            writeln!(out, "  spelled   {}", spelled.join(", "))?;
        }
        for hint in hints {
            writeln!(out, "  shorter   {}", hint::complete(hint))?;
        }
        self.file_line(out)
    }
}

impl fmt::Display for AllReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suites.is_empty() && self.unread.is_empty() {
            return listing::write_none(out);
        }
        let mut table = Table::new(&["rsid", "readiness", "found"]);
        for report in &self.suites {
            table.row(&[&report.check.rsid, &report.readiness, &report.summary()]);
        }
        for (rsid, why) in &self.unread {
            table.row(&[rsid, &"not read", why]);
        }
        write!(out, "{table}")?;
        let open = self.suites.iter().filter(|report| report.readiness != Readiness::Ready);
        let worst = open.min_by_key(|report| report.badness()).map(|report| &report.check.rsid);
        let Some(rsid) = worst.or(self.unread.keys().next()) else { return Ok(()) };
        writeln!(out, "  what to do: {}", hint::complete(&format!("passbridge suite check {rsid}")))
    }
}

impl Report {
    fn is_refused(&self, is_strict: bool) -> bool {
        self.check.is_wrong() || (is_strict && self.check.open().next().is_some())
    }

    /// A sort key: first suites that lose hits, then by the most severe finding, then by the number of such findings.
    fn badness(&self) -> (bool, Severity, Reverse<usize>) {
        let open = self.check.findings.iter().map(|one| one.severity).filter(|one| *one < Severity::Ok);
        let gravest = open.clone().min().unwrap_or(Severity::Ok);
        (self.readiness != Readiness::Blocks, gravest, Reverse(open.filter(|one| *one == gravest).count()))
    }

    fn summary(&self) -> String {
        let count = |severity| self.check.findings.iter().filter(|one| one.severity == severity).count();
        let parts: Vec<String> = [
            (count(Severity::Blocks), "that keep hits from being recorded"),
            (count(Severity::Wrong), "wrong"),
            (count(Severity::Warning), "to be warned of"),
            (count(Severity::Confirm), "to confirm"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        if parts.is_empty() { "all is as it should be".to_owned() } else { parts.join(", ") }
    }

    fn file_line(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.settings_file else { return Ok(()) };
        let others = file.other_rows.len();
        write!(out, "  file      column {:?}: {} rows understood", file.column, file.understood_rows)?;
        if others == 0 {
            return writeln!(out);
        }
        let named: Vec<String> =
            file.other_rows.iter().take(ROWS_NAMED_MAX).map(|label| format!("{label:?}")).collect();
        let more = if others > ROWS_NAMED_MAX { ", ..." } else { "" };
        writeln!(out, ", {others} about other things: {}{more}", named.join(", "))
    }
}

/// Groups the values by key; keys and values keep their order.
fn grouped<K: PartialEq, V>(pairs: impl Iterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}

/// The subject of a finding or, for the whole suite, its item: the subject `suite` would be taken for the item `suite`.
fn subject(finding: &Finding) -> &str {
    if finding.subject == Item::Suite.as_str() { finding.item.as_str() } else { &finding.subject }
}

/// A name that is accepted but spelled differently; `None` for every other finding.
fn spelled(finding: &Finding) -> Option<String> {
    let Finding { severity, setting, subject, expected, found, .. } = finding;
    let differs = *severity == Severity::Ok && *setting == "Name" && expected != found;
    differs.then(|| format!("{subject} {found:?} for {expected:?}"))
}

fn write_finding(out: &mut fmt::Formatter<'_>, finding: &Finding, subjects: &str) -> fmt::Result {
    let Finding { item, severity, setting, expected, found, fix, .. } = finding;
    if *severity == Severity::Confirm {
        writeln!(out, "  {severity:<10}{item}: {found}")?;
    } else {
        writeln!(out, "  {severity:<10}{subjects}: {setting}: {found}")?;
        writeln!(out, "            expected: {expected}")?;
    }
    writeln!(out, "            fix: {}", hint::complete(fix))
}

/// Joins subjects to ranges: `event1-event3, event7` for these four events.
pub(super) fn ranges(subjects: &[&str]) -> String {
    let number = |subject: &str| -> Option<(String, u32)> {
        let digits = subject.find(|letter: char| letter.is_ascii_digit())?;
        Some((subject[..digits].to_owned(), subject[digits..].parse().ok()?))
    };
    let mut spans: Vec<(&str, &str)> = Vec::new();
    for subject in subjects {
        let follows = spans.last().is_some_and(|(_, last)| match (number(last), number(subject)) {
            (Some((word, last)), Some((other, next))) => word == other && last + 1 == next,
            (_, _) => false,
        });
        match spans.last_mut().filter(|_| follows) {
            Some((_, last)) => *last = subject,
            None => spans.push((subject, subject)),
        }
    }
    let spans = spans
        .into_iter()
        .map(|(first, last)| if first == last { first.to_owned() } else { format!("{first}-{last}") });
    spans.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_named_by_the_first_and_the_last() {
        assert_eq!(ranges(&["event1", "event2", "event3", "event7"]), "event1-event3, event7");
        assert_eq!(ranges(&["suite"]), "suite");
        assert_eq!(ranges(&["eVar9", "eVar10", "event11"]), "eVar9-eVar10, event11");
    }
}
