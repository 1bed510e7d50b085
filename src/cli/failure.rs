//! Turns every error of every room into what happened, what to do about it, and the exit status.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use chrono::NaiveDateTime;
use serde::{Serialize, Serializer};

use super::code::Code;
use super::exit::Exit;
use super::hint;
use super::safe::without_passwords;
use super::settings::SettingsError;
use crate::backfill::{BackfillError, PlanError};
use crate::buffer::BufferError;
use crate::clock::ClockError;
use crate::collection::CollectionError;
use crate::drain::DrainError;
use crate::ingest::{IngestError, SubmissionError};
use crate::job::JobName;
use crate::onboarding::probe::ProbeError;
use crate::reconcile::ReconcileError;
use crate::sandbox::SandboxError;
use crate::serve::ServeError;
use crate::suite::Rsid;
use crate::suite::SuiteError;
use crate::web::{ApiError, Cause, SetupError};

/// Everything that can end a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Drain(#[from] DrainError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{source}")]
    Backfill { name: JobName, source: BackfillError },
    /// No client of an interface of Adobe can be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Collection(#[from] CollectionError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// An interface of Adobe did not give what was asked for.
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the ESM report of {from} to {to} was not stored: it {source}")]
    NotStored {
        /// Its first hour, on the clock of the reports.
        from: NaiveDateTime,
        /// The hour after its last.
        to: NaiveDateTime,
        source: SubmissionError,
    },
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Suite(#[from] SuiteError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Arguments that are wrong together, or ask for something that needs a word more.
    #[error("{what}")]
    Refused { what: String, advice: String },
    /// A file of the user's could not be read or written.
    #[error("cannot {verb} {path:?}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("the -shm file beside the buffer has no room on its disk, or was truncated")]
    Unbacked,
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("cannot start")]
    Start(#[source] io::Error),
}

/// A failure, ready to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    /// What happened, and where; the causes behind it follow.
    #[serde(rename = "error")]
    pub(super) what: String,
    #[serde(rename = "cause", serialize_with = "joined")]
    pub(super) causes: Vec<String>,
    /// What to do about it, its commands as they are typed.
    #[serde(rename = "try")]
    pub(super) advice: String,
    /// The stable word for it.
    pub(super) code: Code,
    #[serde(skip)]
    pub(super) exit: Exit,
}

impl From<&CliError> for Failure {
    fn from(error: &CliError) -> Failure {
        let (exit, advice) = judge(error);
        let advice = hint::complete(&advice).into_owned();
        let what = without_passwords(&error.to_string());
        let causes = causes(error).iter().map(|cause| without_passwords(cause)).collect();
        Failure { what, causes, advice, code: Code::of(error), exit }
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Failure {
        Failure::from(&error)
    }
}

impl Failure {
    /// What happened and why, for a line of the log.
    pub(super) fn on_one_line(&self) -> String {
        let mut line = self.what.clone();
        self.causes.iter().for_each(|cause| line.push_str(&format!(": {cause}")));
        line
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.what)?;
        self.causes.iter().try_for_each(|cause| write!(out, "\n  cause: {cause}"))?;
        if self.advice.is_empty() { Ok(()) } else { write!(out, "\n  try: {}", self.advice) }
    }
}

fn joined<S: Serializer>(causes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&causes.join(": "))
}

fn causes(error: &CliError) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = error.source();
    let mut said = error.to_string();
    while let Some(cause) = source {
        // Some messages end with their cause already.
        let text = cause.to_string();
        if !said.contains(&text) {
            causes.push(text.clone());
        }
        said = text;
        source = cause.source();
    }
    causes
}

/// The exit status and the advice for each error.
fn judge(error: &CliError) -> (Exit, String) {
    match error {
        CliError::Settings(error) => (Exit::Usage, settings_advice(error).to_owned()),
        CliError::Buffer(error) => judge_buffer(error),
        CliError::Ingest(error) => judge_ingest(error),
        CliError::Drain(error) => judge_drain(error),
        CliError::Plan(PlanError::Buffer(error)) => judge_buffer(error),
        CliError::Backfill { name, source } => judge_backfill(name, source),
        CliError::Setup(error) => judge_setup(error),
        CliError::Collection(CollectionError::BadRoots(_)) => {
            (Exit::Usage, "check the certificates of this host".to_owned())
        }
        CliError::Sandbox(error) => judge_sandbox(error),
        CliError::Serve(error) => judge_serve(error),
        CliError::Api(error) => judge_api(error),
        CliError::NotStored { source, .. } => (
            Exit::Failed,
            match source {
                SubmissionError::TooLong => {
                    "lower esm.rows, so that reports are fetched in shorter parts".to_owned()
                }
                SubmissionError::Unreadable(_) => {
                    "see whether esm.url is Adobe's; run it again later".to_owned()
                }
                SubmissionError::DiskFull | SubmissionError::Failed => {
                    "see the log above, and run it again: what is stored stays once".to_owned()
                }
            },
        ),
        CliError::Reconcile(error) => judge_reconcile(error),
        CliError::Suite(_) => (Exit::Usage, "passbridge suite add --help".to_owned()),
        CliError::Probe(error) => judge_probe(error),
        CliError::Refused { advice, .. } => (Exit::Usage, advice.clone()),
        CliError::File { .. } => {
            (Exit::Failed, "check that the path exists and this user may use it".to_owned())
        }
        CliError::Output(_) => {
            (Exit::Failed, "check where standard output goes; the work itself was done".to_owned())
        }
        CliError::Unbacked => (
            Exit::Failed,
            "free some disk, then run it again: what was reported is stored, and what was in flight is in doubt".to_owned(),
        ),
        CliError::Clock(_) => (Exit::Failed, "set it, and run it again: nothing was done".to_owned()),
        CliError::Start(_) => {
            (Exit::Failed, "check the limits of this host on threads and open files".to_owned())
        }
    }
}

fn settings_advice(error: &SettingsError) -> &'static str {
    match error {
        SettingsError::NotFound(_) => "name one with --config FILE, or write one with: passbridge init",
        SettingsError::Unreadable { .. } => "check that the file exists and that this user may read it",
        SettingsError::Secret { key, .. } if key.ends_with("client_secret_file") => {
            "write the client secret of the credential into it, as Adobe's Developer Console shows it"
        }
        SettingsError::Secret { .. } => {
            "write at least 16 random bytes into it, such as: head -c 32 /dev/urandom | base64"
        }
        SettingsError::ServiceKey { .. } => {
            "write the public key of the identity service there, as PEM: openssl x509 -pubkey -noout -in its-certificate.pem"
        }
        SettingsError::Syntax { .. }
        | SettingsError::Unknown { .. }
        | SettingsError::BadValue { .. }
        | SettingsError::Schedule { .. } => {
            "correct it there; deploy/passbridge.full.toml lists every key with its unit, range and default"
        }
    }
}

fn judge_ingest(error: &IngestError) -> (Exit, String) {
    match error {
        IngestError::DiskFloor { .. } | IngestError::RejectsDiskFloor { .. } => (
            Exit::Failed,
            "free some disk, drain, or lower ingest.min_free_bytes; then ingest the same inputs again"
                .to_owned(),
        ),
        IngestError::Buffer(error) => judge_buffer(error),
        IngestError::Rejects { .. } => (
            Exit::Failed,
            "make ingest.rejects_dir a folder that this user alone may write to; then run it again"
                .to_owned(),
        ),
    }
}

fn judge_drain(error: &DrainError) -> (Exit, String) {
    match error {
        DrainError::Buffer(error) => judge_buffer(error),
        DrainError::Restored { .. } => (
            Exit::Usage,
            "passbridge drain --accept-repeat, once, if counting some of them again is better than losing the others"
                .to_owned(),
        ),
        DrainError::Thread(_) => (Exit::Failed, "check the limits of this host on threads".to_owned()),
    }
}

fn judge_sandbox(error: &SandboxError) -> (Exit, String) {
    match error {
        SandboxError::NotLoopback(_) => {
            (Exit::Usage, "--listen 127.0.0.1:0 takes any free port of this host".to_owned())
        }
        SandboxError::Listen { .. } => {
            (Exit::Failed, "choose another port, or 127.0.0.1:0 for any free one".to_owned())
        }
        SandboxError::Thread(_) => (Exit::Failed, "check the limits of this host on threads".to_owned()),
    }
}

/// What to do about an interface of Adobe: what it is, and the key that leads there, decide. A fault of a server is never one of usage.
fn judge_api(error: &ApiError) -> (Exit, String) {
    let (key, section) = (error.endpoint.key, error.endpoint.section());
    let advice = match (&error.cause, section, error.endpoint.gives_credentials) {
        (Cause::File { .. }, ..) => {
            return (Exit::Usage, "correct it, or the key that names it".to_owned());
        }
        (Cause::Full { .. }, ..) => {
            let advice = "raise esm.rows, if ESM allows more than that, or fetch fewer requestors at once: pull esm --requestor ID";
            return (Exit::Usage, advice.to_owned());
        }
        (Cause::NoCompany, ..) => {
            "add the credential to a product profile of Adobe Analytics in Adobe's Admin Console".to_owned()
        }
        (Cause::SeveralCompanies(_), ..) => {
            return (Exit::Usage, "set analytics.company to the one that has the report suite".to_owned());
        }
        (Cause::Proxy(_), ..) => {
            "check HTTPS_PROXY, ALL_PROXY and NO_PROXY, and that proxy; then run it again: nothing is counted twice".to_owned()
        }
        (Cause::NotReached(_) | Cause::NoAnswer(_), ..) => {
            format!("check {key} and the way to that host, and run it again: nothing is counted twice")
        }
        (Cause::NotSendable(_), ..) => format!("check {section}.client_id: it has signs that no request can carry"),
        (Cause::Refused { status: 429, .. }, "analytics", false) => {
            "run it again later, or lower analytics.calls_per_window: another program may use the same credential".to_owned()
        }
        (Cause::Refused { status: 408 | 429 | 500.., .. }, ..) => {
            format!("run it again later: nothing is counted twice; if it lasts, check {key}")
        }
        (Cause::Refused { status: 401 | 403, .. }, "esm", false) | (Cause::Refused { status: 400..=403, .. }, "esm", true) => {
            "ask Adobe whether these credentials may read ESM; to register anew, remove the file of esm.credentials_file".to_owned()
        }
        (Cause::Refused { status: 400..=403, .. }, _, true) => format!(
            "check {section}.client_id, its secret and {section}.scopes against the project in Adobe's Developer Console"
        ),
        (Cause::Refused { status: 401 | 403, .. }, "analytics", false) => {
            "give the credential's product profile the suite, its metrics and its dimensions in Adobe's Admin Console, and check analytics.company".to_owned()
        }
        (Cause::Refused { status: 404, .. }, "analytics", false) => {
            "check analytics.company, analytics.url and the report suite ID".to_owned()
        }
        (Cause::Refused { status: 404, .. }, "esm", false) => {
            "correct esm.url or esm.group_by: it must be a path of the published drill-down tree".to_owned()
        }
        (Cause::Refused { status: 401 | 403, .. }, "bulk", false) => {
            "check bulk.client_id, its secret, its scopes and its product profile in Adobe's Developer Console".to_owned()
        }
        (Cause::TooLong(_), "esm", false) => {
            "take fewer dimensions into esm.group_by, or fewer requestors at once with --requestor".to_owned()
        }
        (Cause::Refused { .. } | Cause::TooLong(_) | Cause::Unreadable(_), ..) => {
            format!("see what the answer says, check {key}, and run it again later: nothing is counted twice")
        }
    };
    (Exit::Failed, advice)
}

fn judge_reconcile(error: &ReconcileError) -> (Exit, String) {
    let (exit, advice) = match error {
        ReconcileError::Buffer(error) => return judge_buffer(error),
        ReconcileError::Api(error) => return judge_api(error),
        ReconcileError::Report { .. } => (
            Exit::Usage,
            "fetch it again, by hour or in the days of --timezone, grouped by mvpd and requestor-id, such as \
             /esm/v3/year/month/day/hour/media-company/proxy/mvpd/requestor-id",
        ),
        ReconcileError::NoSuite(_) => (
            Exit::Usage,
            "check the suite ID, analytics.company and the product profile of the credential; --no-analytics compares without it",
        ),
        ReconcileError::VirtualSuite { .. } => (Exit::Usage, "compare the suite that collects"),
        ReconcileError::Zone { .. } => (
            Exit::Failed,
            "correct the time zone of the suite (Admin > Report Suites), or compare without Analytics: --no-analytics",
        ),
        ReconcileError::NoMvpd(_) => (
            Exit::Usage,
            "leave esm.group_by out, or set it to a path with mvpd and requestor-id, such as media-company/proxy/mvpd/requestor-id",
        ),
    };
    (exit, advice.to_owned())
}

fn judge_setup(error: &SetupError) -> (Exit, String) {
    let (exit, advice) = match error {
        SetupError::BadUrl { .. } => (Exit::Usage, "correct the key"),
        SetupError::Proxy { .. } => (
            Exit::Usage,
            "correct that variable, unset it, or name the host in NO_PROXY to go there directly",
        ),
        SetupError::Client(_) => (Exit::Failed, "check the certificates of this host"),
    };
    (exit, advice.to_owned())
}

fn judge_backfill(name: &JobName, error: &BackfillError) -> (Exit, String) {
    let resume = format!("passbridge backfill resume {name}");
    let (exit, advice) = match error {
        BackfillError::Buffer(error) => return judge_buffer(error),
        BackfillError::Ingest(error) => return judge_ingest(error),
        BackfillError::Drain(error) => return judge_drain(error),
        BackfillError::Api(error) => {
            let (exit, advice) = judge_api(error);
            return (exit, format!("{advice}; then: {resume}"));
        }
        BackfillError::Input(_) => (Exit::Failed, "mend the file; what is stored stays once"),
        BackfillError::File { .. } => (Exit::Failed, "check the folder of bulk.dir and its disk"),
        BackfillError::NotConfigured => {
            (Exit::Usage, "set bulk.client_id and bulk.client_secret_file, or add --via dia")
        }
        BackfillError::Rejected { .. } | BackfillError::NotValid(_) => (
            Exit::Failed,
            "nothing of it is in; see what Adobe says, mend the suite or the events that it names, or go on with --via dia",
        ),
        BackfillError::Unanswered { .. } => (Exit::Failed, "check bulk.url and the way to that host"),
        BackfillError::TooLarge(_) => (Exit::Failed, "go on with --via dia"),
        BackfillError::Unnamed { .. } => {
            return (
                Exit::Failed,
                format!("to go on and count them as delivered: {resume} --accept-unnamed"),
            );
        }
        BackfillError::State { .. } => return (Exit::Usage, resume),
        BackfillError::Thread(_) => (Exit::Failed, "check the limits of this host on threads"),
    };
    (exit, format!("{advice}; then: {resume}"))
}

fn judge_probe(error: &ProbeError) -> (Exit, String) {
    match error {
        ProbeError::Api(error) => judge_api(error),
        ProbeError::Buffer(error) => judge_buffer(error),
        ProbeError::NoSuite { rsid, .. } => {
            (Exit::Usage, format!("see what it is: passbridge suite check {rsid}"))
        }
        ProbeError::NoRequestor(rsid) => {
            (Exit::Usage, format!("map one to it: passbridge suite add --rsid {rsid} --requestor ID"))
        }
        ProbeError::NotSent { .. } => (
            Exit::Failed,
            "check the collection URL of the suite and the way to that host, then probe again".to_owned(),
        ),
    }
}

fn judge_serve(error: &ServeError) -> (Exit, String) {
    match error {
        ServeError::Listen { .. } => (
            Exit::Failed,
            "see who else listens there, or set serve.listen to another address of this host".to_owned(),
        ),
        ServeError::Tokens(_) => (
            Exit::Usage,
            "write one token a line into it, such as: head -c 32 /dev/urandom | base64".to_owned(),
        ),
        ServeError::Ingest(error) => judge_ingest(error),
        ServeError::Thread(_) => (Exit::Failed, "check the limits of this host on threads".to_owned()),
    }
}

fn unmapped(rsid: &Rsid) -> String {
    format!(
        "no requestor is mapped to it here; to map one: passbridge suite add --requestor ID --rsid {rsid} --collection-url URL; \
         to see all that are: passbridge suite list"
    )
}

const REPLACED_ADVICE: &str =
    "see who did it, and start again; what was in flight is in doubt where the old file still is";
const OVERWRITTEN_ADVICE: &str = "stop everything that uses the buffer, then: passbridge restore FILE; events that were sent meanwhile may be sent again";
const COUNTED_MEANWHILE_ADVICE: &str =
    "run it again when the other one is done; nothing of this report was stored, so nothing is counted twice";

fn judge_buffer(error: &BufferError) -> (Exit, String) {
    let (exit, advice) = match error {
        BufferError::Missing(_) => (Exit::Usage, "create it with: passbridge init; or correct buffer.path"),
        BufferError::Exists(_) => (Exit::Usage, "nothing to do: it was left as it is"),
        BufferError::File { .. } => {
            (Exit::Failed, "check that the folder exists and that this user may write there")
        }
        BufferError::NetworkFilesystem { .. } => (
            Exit::Usage,
            "put buffer.path on a local disk; or, if its locks are known to hold, set buffer.allow_network_filesystem",
        ),
        BufferError::NotABuffer(_) => (Exit::Usage, "correct buffer.path"),
        BufferError::Newer { .. } => (Exit::Usage, "use the release that wrote it, or a later one"),
        BufferError::Replaced(_) => (Exit::Failed, REPLACED_ADVICE),
        BufferError::Overwritten(_) => (Exit::Failed, OVERWRITTEN_ADVICE),
        BufferError::InUse(_) => {
            (Exit::LockHeld, "stop what uses the buffer, such as `passbridge run`, then run it again")
        }
        BufferError::DamagedCopy { .. } => (Exit::Failed, "restore an earlier copy; nothing was changed"),
        BufferError::Stopped => (Exit::Failed, "run it again"),
        BufferError::Locked(_) => {
            (Exit::LockHeld, "wait for it to end; the lock frees itself when its holder ends")
        }
        BufferError::Backfilling(_) => {
            (Exit::LockHeld, "one backfill runs at a time; see which: passbridge backfill status")
        }
        BufferError::FilesUnderWay(name) => {
            return (
                Exit::Failed,
                format!("let it settle them: passbridge backfill resume {name}; then run this again"),
            );
        }
        BufferError::JobExists(name) => {
            return (Exit::Usage, format!("passbridge backfill resume {name}; or choose another name"));
        }
        BufferError::UnknownJob(_) => (Exit::Usage, "see which there are: passbridge backfill status"),
        BufferError::Sqlite(_) => (
            Exit::Failed,
            "check free disk and permissions, then run it again; what was reported before is stored. \
             If it persists: passbridge status --verify",
        ),
        BufferError::Damaged(_, _) => (Exit::Failed, "check the disk, and restore the latest backup"),
        BufferError::MappedElsewhere { rsid, .. } => {
            return (Exit::Usage, format!("free it first: passbridge suite remove {rsid} --requestor ID"));
        }
        BufferError::UnknownSuite(rsid) => return (Exit::Usage, unmapped(rsid)),
        BufferError::OtherSettings { rsid, .. } => {
            return (
                Exit::Usage,
                format!("leave the setting out, or change it with: passbridge suite set {rsid}"),
            );
        }
        BufferError::UnknownProbe(_) => {
            (Exit::Usage, "see the latest one of a suite: passbridge suite show RSID")
        }
        BufferError::NotMapped { .. } => (Exit::Usage, "see who is mapped where: passbridge suite list"),
        BufferError::Undecided { .. } => (
            Exit::Usage,
            "settle them first: passbridge held list; those in doubt are settled by the next drain",
        ),
        BufferError::CountedMeanwhile => (Exit::Failed, COUNTED_MEANWHILE_ADVICE),
        BufferError::MixedFeeds(_) => (
            Exit::Usage,
            "take one of the two sources for a requestor; nothing of this portion of the input was stored",
        ),
        BufferError::ThreadEnded => (Exit::Failed, "see the log above, and run it again"),
    };
    (exit, advice.to_owned())
}
