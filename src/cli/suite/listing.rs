//! `suite list` and `suite show`, and the access of all `suite` commands to the suites.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::buffer::{Buffer, ProbeRecord, SuiteListing};
use crate::cli::desk::Desk;
use crate::cli::{Context, Failure, Settings, Table, hint, on_file};
use crate::confirmation::Confirmation;
use crate::event::Instant;
use crate::onboarding::verdict;
use crate::suite::{CountForm, HitForm, LiveRoute, Readiness, ReportSuite, Rsid, Verdict};

/// The suites of a buffer in a file, or of a buffer on PostgreSQL, which has no checks and probes of suites so far.
pub(super) struct Known {
    pub(super) desk: Desk,
    proof_age: Duration,
    now: Instant,
}

impl Known {
    pub(super) fn open(context: &Context, settings: &Settings) -> Result<Known, Failure> {
        let (desk, now) = (Desk::of(settings, context)?, context.clock.now());
        Ok(Known { desk, proof_age: settings.config.analytics.proof_age(), now })
    }

    pub(super) fn all(&self) -> Result<Vec<SuiteListing>, Failure> {
        self.desk.ask(Buffer::suites, async |buffer| buffer.suites().await)
    }

    pub(super) fn one(&self, rsid: &Rsid) -> Result<SuiteListing, Failure> {
        self.desk.ask(|buffer| buffer.suite(rsid), async |buffer| buffer.suite(rsid).await)
    }

    pub(super) fn set(&self, suite: ReportSuite) -> Result<(), Failure> {
        self.desk.ask(|buffer| buffer.set_suite(suite.clone()), async |buffer| buffer.set_suite(&suite).await)
    }

    pub(super) fn renew(&self, rsid: &Rsid) -> Result<(), Failure> {
        match &self.desk {
            Desk::File(buffer) => Ok(verdict::renew(buffer, rsid, self.proof_age)?),
            Desk::Shared(..) => Ok(()),
        }
    }

    /// Fails if the buffer is on PostgreSQL and the suite's live events may go in files.
    pub(super) fn refuse_files(&self, suite: &ReportSuite) -> Result<(), Failure> {
        let is_shared = matches!(self.desk, Desk::Shared(..));
        on_file::refuse_options(
            is_shared && suite.route != LiveRoute::Dia,
            "a suite has no other route than dia",
        )
    }

    pub(super) fn list(&self) -> Result<SuitesReport, Failure> {
        let listed = |listing: SuiteListing| ListedSuite {
            readiness: Readiness::of(listing.verdict.as_ref(), self.now, self.proof_age),
            listing,
        };
        Ok(SuitesReport { suites: self.all()?.into_iter().map(listed).collect() })
    }

    pub(super) fn report(&self, rsid: &Rsid) -> Result<SuiteReport, Failure> {
        let SuiteListing { suite, requestors, confirmations, verdict } = self.one(rsid)?;
        let words = confirmations
            .into_iter()
            .map(|confirmation| Word { holds: confirmation.holds(&suite, &requestors), confirmation });
        let confirmations = words.collect();
        let last_probe = match &self.desk {
            Desk::File(buffer) => buffer.last_probe(rsid)?.map(ProbeLine::from),
            Desk::Shared(..) => None,
        };
        let readiness = Readiness::of(verdict.as_ref(), self.now, self.proof_age);
        Ok(SuiteReport { suite, requestors, readiness, verdict, confirmations, last_probe })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SuitesReport {
    suites: Vec<ListedSuite>,
}

#[derive(Debug, Serialize)]
struct ListedSuite {
    #[serde(flatten)]
    listing: SuiteListing,
    readiness: Readiness,
}

impl fmt::Display for SuitesReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suites.is_empty() {
            return write_none(out);
        }
        let policies = ["rsid", "state", "readiness", "stage", "identity", "event ids", "in doubt", "route"];
        let mut table = Table::new(&[&policies[..], &["collection host", "requestors"]].concat());
        for ListedSuite { listing: SuiteListing { suite, requestors, .. }, readiness } in &self.suites {
            let ReportSuite { form, collection_url: url, on_ambiguous: doubt, state, stage, route, .. } =
                suite;
            let HitForm { rsid, identity, event_ids, .. } = form;
            let requestors = names(requestors);
            table.row(&[rsid, state, readiness, stage, identity, event_ids, doubt, route, url, &requestors]);
        }
        table.fmt(out)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SuiteReport {
    #[serde(flatten)]
    suite: ReportSuite,
    requestors: Vec<String>,
    readiness: Readiness,
    verdict: Option<Verdict>,
    confirmations: Vec<Word>,
    last_probe: Option<ProbeLine>,
}

#[derive(Debug, Serialize)]
struct Word {
    #[serde(flatten)]
    confirmation: Confirmation,
    /// True if the confirmation was given for the current settings of the suite.
    holds: bool,
}

#[derive(Debug, Serialize)]
struct ProbeLine {
    id: String,
    started_at: Instant,
    sent_at: Option<Instant>,
    read_at: Option<Instant>,
    /// `right`, `wrong` or `unseen`; `None` if the probe was never read back.
    verdict: Option<String>,
}

impl From<ProbeRecord> for ProbeLine {
    fn from(record: ProbeRecord) -> ProbeLine {
        let ProbeRecord { id, started_at, sent_at, read_at, report, .. } = record;
        let verdict = report.as_ref().and_then(|report| report["verdict"].as_str()).map(str::to_owned);
        ProbeLine { id, started_at, sent_at, read_at, verdict }
    }
}

impl fmt::Display for ProbeLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProbeLine { id, started_at, sent_at, verdict, .. } = self;
        let state = match (verdict.as_deref(), sent_at) {
            (Some("right"), _) => "all was seen as it was sent",
            (Some("wrong"), _) => "it found something wrong",
            (Some(_), _) => "not everything was seen in its time",
            (None, Some(_)) => "sent, and not read back yet",
            (None, None) => "interrupted while it was sent",
        };
        write!(out, "{id} of {}: {state}", started_at.to_the_day())
    }
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SuiteReport { suite, requestors, readiness, .. } = self;
        let ReportSuite { form, collection_url, on_ambiguous, hits_per_second, state, stage, route } = suite;
        let rate = hits_per_second.map_or("no limit".to_owned(), |rate| format!("{rate} hits per second"));
        writeln!(out, "report suite     {} ({state})", form.rsid)?;
        writeln!(out, "requestors       {}", names(requestors))?;
        writeln!(out, "stage            {stage}")?;
        writeln!(out, "collection host  {collection_url}")?;
        writeln!(out, "identity         {}", form.identity)?;
        writeln!(out, "organisation     {}", form.org_id.as_ref().map_or("none", |org_id| org_id.as_str()))?;
        writeln!(out, "event ids        {}", form.event_ids)?;
        writeln!(out, "counts above 1   {}", count_form(form.count_form))?;
        writeln!(out, "in doubt         {on_ambiguous}")?;
        writeln!(out, "rate             {rate}")?;
        writeln!(out, "route            {route}")?;
        writeln!(out, "readiness        {readiness}")?;
        let verdict = self.verdict.iter();
        for (what, why) in verdict.flat_map(|verdict| {
            [("blocks", &verdict.blocks), ("overruled", &verdict.overruled), ("void proof", &verdict.void)]
        }) {
            why.iter().try_for_each(|why| writeln!(out, "{what:<17}{why}"))?;
        }
        let probe = self.last_probe.as_ref().map_or("none".to_owned(), ToString::to_string);
        writeln!(out, "last probe       {probe}")?;
        if self.confirmations.is_empty() {
            return writeln!(out, "confirmed        nothing");
        }
        for (index, word) in self.confirmations.iter().enumerate() {
            writeln!(out, "{:<17}{}", if index == 0 { "confirmed" } else { "" }, self.line(word))?;
        }
        Ok(())
    }
}

impl SuiteReport {
    fn line(&self, Word { confirmation, holds }: &Word) -> String {
        let Confirmation { item, by, at, note, basis } = confirmation;
        let mut line = format!("{item} by {by} on {}", at.to_the_day());
        note.iter().for_each(|note| line.push_str(&format!(": {note}")));
        if !holds {
            let now = item.basis(&self.suite, &self.requestors);
            line.push_str(&format!("; void: it was given for {basis}, and now it is {now}"));
        }
        line
    }
}

pub(super) fn write_none(out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(out, "no report suites yet: {}", hint::complete("passbridge suite add --help"))
}

pub(super) fn names(requestors: &[String]) -> String {
    if requestors.is_empty() { "none".to_owned() } else { requestors.join(", ") }
}

fn count_form(form: CountForm) -> &'static str {
    match form {
        CountForm::SingleHits => "as single hits",
        CountForm::CountWithId => "as eventN=count:id",
    }
}
