//! Gives each error its stable code word, the exit status, and advice to the user. Each type of error has one
//! exhaustive match. An error that wraps another error gets the advice of the inner error.

use std::borrow::Cow;
use std::io::{self, ErrorKind};

use super::code::Code;
use super::exit::Exit;
use super::settings::{SERVICE_KEYS, SettingsError};
use crate::backfill::BackfillError;
use crate::buffer::BufferError;
use crate::clock::ClockError;
use crate::collection::{CollectionError, is_open_files};
use crate::drain::DrainError;
use crate::esm::REGISTRATION;
use crate::ingest::{IngestError, InputError, SubmissionError};
use crate::job::JobName;
use crate::onboarding::probe::ProbeError;
use crate::readers::ReadError;
use crate::reconcile::ReconcileError;
use crate::report::{PeriodError, ReportError};
use crate::sandbox::SandboxError;
use crate::serve::ServeError;
use crate::suite::SuiteError;
use crate::web::{ApiError, Cause, SetupError};

const CERTIFICATES: &str = "check the certificates of this host";
const PROXY: &str = "correct that variable, unset it, or name the host in NO_PROXY to go there directly";
const DAMAGED_PACKING: &str = "what was unpacked of it may be wrong: take it back before it is sent (passbridge pending take-back --input N; \
     passbridge pending list has N), and get the file again from its source";
const THREADS: &str = "check the limits of this host on threads";

/// The advice for an error of the operating system: fixed for some kinds of errors, and `otherwise` for the others.
pub(super) fn of_system(error: &io::Error, otherwise: &'static str) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some disk, or raise the limit on it, and run it again: what is stored stays once"
        }
        _ if is_open_files(error) => {
            "raise the limit on open files (LimitNOFILE=, ulimit -n), and run it again"
        }
        ErrorKind::ResourceBusy => "look at the file in the way, remove it, and run it again",
        _ => otherwise,
    }
}

pub(super) struct Judgement {
    pub(super) code: Code,
    pub(super) exit: Exit,
    pub(super) advice: Cow<'static, str>,
}

impl Code {
    /// For a command that cannot be carried out as it was given, and that changed nothing.
    pub(super) fn usage(self, advice: impl Into<Cow<'static, str>>) -> Judgement {
        Judgement { code: self, exit: Exit::Usage, advice: advice.into() }
    }

    pub(super) fn failed(self, advice: impl Into<Cow<'static, str>>) -> Judgement {
        Judgement { code: self, exit: Exit::Failed, advice: advice.into() }
    }

    fn locked(self, advice: &'static str) -> Judgement {
        Judgement { code: self, exit: Exit::LockHeld, advice: advice.into() }
    }
}

pub(super) trait Judge {
    fn judge(&self) -> Judgement;
}

impl Judge for SettingsError {
    fn judge(&self) -> Judgement {
        match self {
            SettingsError::NotFound => {
                Code::ConfigMissing.usage("name one with --config FILE, or write one with: passbridge init")
            }
            SettingsError::Unreadable { .. } => {
                Code::ConfigUnreadable.usage("check that the file exists and that this user may read it")
            }
            SettingsError::Secret { key, .. } if key.ends_with("client_secret_file") => Code::SecretUnusable
                .usage("write the client secret into it, as Adobe's Developer Console shows it"),
            SettingsError::Secret { key, .. } if key.starts_with(SERVICE_KEYS) => Code::SecretUnusable.usage(
                "write the public key of the identity service there, as PEM: openssl x509 -pubkey -noout -in its-certificate.pem",
            ),
            SettingsError::Secret { .. } => Code::SecretUnusable.usage(
                "write at least 16 random bytes into it, such as: head -c 32 /dev/urandom | base64",
            ),
            SettingsError::Invalid(_) => Code::ConfigInvalid.usage(
                "correct it there; deploy/passbridge.full.toml lists every key with its unit, range and default",
            ),
        }
    }
}

impl Judge for IngestError {
    fn judge(&self) -> Judgement {
        match self {
            IngestError::DiskFloor { .. } | IngestError::RejectsDiskFloor { .. } => Code::DiskFloor.failed(
                "free some disk, drain, or lower ingest.min_free_bytes; then ingest the same inputs again",
            ),
            IngestError::TooManyRejects { .. } => Code::TooManyRejects.failed("see passbridge rejects list"),
            IngestError::Buffer(error) => error.judge(),
            IngestError::Postgres(error) => error.judge(),
            IngestError::Rejects { source, .. } => Code::RejectsUnwritable.failed(of_system(
                source,
                "make ingest.rejects_dir a folder that this user alone may write to; then run it again",
            )),
        }
    }
}

impl Judge for InputError {
    fn judge(&self) -> Judgement {
        match self {
            InputError::Open(_) | InputError::Directory => Code::File
                .failed("check that the path names a file and this user may read it; then ingest it again"),
            InputError::Stopped => Code::Stopped.failed("ingest it again: what is stored stays once"),
            InputError::Read(ReadError::Broken { source, .. }) if source.kind() == ErrorKind::InvalidData => {
                Code::InputUnreadable.failed(DAMAGED_PACKING)
            }
            InputError::NoFrame(_)
            | InputError::Compression(_)
            | InputError::PackedTwice(_)
            | InputError::Encoding(_)
            | InputError::Stranger(_)
            | InputError::Unfit(_)
            | InputError::NotOnPostgres(_)
            | InputError::OnlyZeros
            | InputError::Misnamed { .. }
            | InputError::Guessed { .. }
            | InputError::Read(_) => {
                Code::InputUnreadable.failed("mend the input and ingest it again; what is stored stays once")
            }
        }
    }
}

impl Judge for SubmissionError {
    fn judge(&self) -> Judgement {
        const SEE_LOG: &str = "see the log above, and run it again: what is stored stays once";
        match self {
            SubmissionError::TooLong => {
                Code::AnswerTooLong.failed("lower esm.rows, so that reports are fetched in shorter parts")
            }
            SubmissionError::Unreadable(_) => Code::AnswerUnreadable
                .failed("do what the cause says, or ask Adobe; nothing of that report was stored"),
            SubmissionError::DiskFull => Code::DiskFloor.failed(SEE_LOG),
            SubmissionError::Failed => Code::Database.failed(SEE_LOG),
            SubmissionError::Ingest(error) => error.judge(),
        }
    }
}

impl Judge for DrainError {
    fn judge(&self) -> Judgement {
        match self {
            DrainError::Buffer(error) => error.judge(),
            DrainError::Clock(error) => error.judge(),
            DrainError::Way(error) => error.judge(),
            DrainError::Thread(error) => Code::Host.failed(of_system(error, THREADS)),
        }
    }
}

impl Judge for SandboxError {
    fn judge(&self) -> Judgement {
        match self {
            SandboxError::NotLoopback(_) => {
                Code::Listen.usage("--listen 127.0.0.1:0 takes any free port of this host")
            }
            SandboxError::Listen { .. } => {
                Code::Listen.failed("choose another port, or 127.0.0.1:0 for any free one")
            }
            SandboxError::Thread(_) => Code::Host.failed(THREADS),
        }
    }
}

/// An error that a server caused is never a usage error.
impl Judge for ApiError {
    fn judge(&self) -> Judgement {
        match self.cause {
            Cause::NotReached(_) | Cause::Proxy(_) | Cause::NoAnswer(_) => {
                Code::Unreachable.failed(api_advice(self))
            }
            Cause::NotSendable(_) => Code::ClientSetup.failed(api_advice(self)),
            Cause::Refused { status: 408 | 429 | 503, .. } => Code::Busy.failed(api_advice(self)),
            Cause::Refused { .. } => Code::ServerRefused.failed(api_advice(self)),
            Cause::TooLong(_) => Code::AnswerTooLong.failed(api_advice(self)),
            Cause::Unreadable(_) => Code::AnswerUnreadable.failed(api_advice(self)),
            Cause::NoCompany => Code::Company.failed(api_advice(self)),
            Cause::SeveralCompanies(_) => Code::Company.usage(api_advice(self)),
            Cause::File { kind: ErrorKind::StorageFull | ErrorKind::QuotaExceeded, .. } => {
                Code::SourceFile.failed(api_advice(self))
            }
            Cause::File { .. } => Code::SourceFile.usage(api_advice(self)),
            Cause::Full { .. } => Code::AnswerTooLong.usage(api_advice(self)),
        }
    }
}

/// The advice for an error of an Adobe API: by its cause, by the API, and by whether the endpoint gives credentials.
fn api_advice(error: &ApiError) -> String {
    let (key, section) = (error.endpoint.key, error.endpoint.section());
    let advice = match (&error.cause, section, error.endpoint.gives_credentials) {
        (Cause::File { path, .. }, ..) if path.as_os_str().is_empty() => "name that file as {key}",
        (Cause::File { kind, .. }, ..) => {
            of_system(&io::Error::from(*kind), "correct it, or the key that names it")
        }
        (Cause::Full { .. }, ..) => {
            "raise esm.rows, if ESM allows more than that, or fetch fewer requestors at once: pull esm --requestor ID"
        }
        (Cause::NoCompany, ..) => {
            "add the credential to a product profile of Adobe Analytics in Adobe's Admin Console"
        }
        (Cause::SeveralCompanies(_), ..) => "set analytics.company to the one that has the report suite",
        (Cause::Proxy(_), ..) => {
            "check HTTPS_PROXY, ALL_PROXY and NO_PROXY, and that proxy; then run it again: nothing is counted twice"
        }
        (Cause::NotReached(_) | Cause::NoAnswer(_), ..) => {
            "check {key} and the way to that host, and run it again: nothing is counted twice"
        }
        (Cause::NotSendable(_), ..) => "check {section}.client_id: it has signs that no request can carry",
        (Cause::Refused { status: 429, .. }, "analytics", false) => {
            "run it again later, or lower analytics.calls_per_window: another program may use the same credential"
        }
        (Cause::Refused { status: 429, .. }, ..) => {
            "run it again later: nothing is counted twice; if it lasts, ask Adobe for a higher limit"
        }
        (Cause::Refused { status: 408 | 500.., .. }, ..) => {
            "run it again later: nothing is counted twice; if it lasts, check {key}"
        }
        (Cause::Refused { status: 400..=403, .. }, "esm", true) if error.endpoint.what == REGISTRATION => {
            "get a current software statement from the TVE Dashboard, for esm.software_statement_file"
        }
        (Cause::Refused { status: 401 | 403, .. }, "esm", false)
        | (Cause::Refused { status: 400..=403, .. }, "esm", true) => {
            "ask Adobe whether these credentials may read ESM; to register anew, remove the file of esm.credentials_file"
        }
        (Cause::Refused { status: 400..=403, .. }, _, true)
        | (Cause::Refused { status: 401, .. }, "analytics" | "bulk", false) => {
            "check {section}.client_id, its secret and {section}.scopes against the project in Adobe's Developer Console"
        }
        (Cause::Refused { status: 403, .. }, "analytics" | "bulk", false) => {
            "give the credential's product profile the suite, its metrics and its dimensions in Adobe's Admin Console; check \
             {section}.client_id and, for reports, analytics.company"
        }
        (Cause::Refused { status: 404, .. }, "analytics", false) => {
            "check analytics.company, analytics.url and the report suite ID"
        }
        (Cause::Refused { status: 404, .. }, "esm", false) => {
            "correct esm.url or esm.group_by: it must be a path of the published drill-down tree"
        }
        (Cause::TooLong(_), "esm", false) => {
            "take fewer dimensions into esm.group_by, or fewer requestors at once with --requestor"
        }
        (Cause::Refused { .. } | Cause::TooLong(_) | Cause::Unreadable(_), ..) => {
            "see what the answer says, check {key}, and run it again later: nothing is counted twice"
        }
    };
    advice.replace("{key}", key).replace("{section}", section)
}

impl Judge for SetupError {
    fn judge(&self) -> Judgement {
        match self {
            SetupError::BadUrl { .. } => Code::ClientSetup.usage("correct the key"),
            SetupError::Proxy { .. } => Code::ClientSetup.usage(PROXY),
            SetupError::Client(_) => Code::Host.failed(CERTIFICATES),
            SetupError::Threads(_) => Code::Host.failed(THREADS),
        }
    }
}

impl Judge for ReconcileError {
    fn judge(&self) -> Judgement {
        match self {
            ReconcileError::Buffer(error) => error.judge(),
            ReconcileError::Api(error) => error.judge(),
            ReconcileError::Report { .. } => Code::SourceFile.usage(
                "fetch it again, by hour or in the days of --timezone, grouped by mvpd and requestor-id, such as \
                 /esm/v3/year/month/day/hour/media-company/proxy/mvpd/requestor-id",
            ),
            ReconcileError::NoSuite(_) => Code::SuiteUnknown.usage(
                "check the suite ID, analytics.company and the product profile of the credential; --no-analytics compares without it",
            ),
            ReconcileError::VirtualSuite { .. } => {
                Code::NotComparable.usage("compare the suite that collects")
            }
            ReconcileError::Zone { .. } => Code::NotComparable.failed(
                "correct the time zone of the suite (Admin > Report Suites), or compare without Analytics: --no-analytics",
            ),
            ReconcileError::NoMvpd(_) => Code::NotComparable.usage(
                "leave esm.group_by out, or set it to a path with mvpd and requestor-id, such as media-company/proxy/mvpd/requestor-id",
            ),
        }
    }
}

/// The advice for an error of a backfill. In most cases `resume` continues the backfill after the cause is fixed.
pub(super) fn judge_backfill(name: &JobName, error: &BackfillError) -> Judgement {
    let resume = format!("passbridge backfill resume {name}");
    let judged = match error {
        BackfillError::Buffer(error) => return error.judge(),
        BackfillError::Ingest(error) => return error.judge(),
        BackfillError::Drain(error) => return error.judge(),
        BackfillError::State { .. } => return Code::BackfillState.usage(resume),
        BackfillError::Unnamed { .. } => {
            let advice = format!("to go on and count them as delivered: {resume} --accept-unnamed");
            return Code::BackfillUndecided.failed(advice);
        }
        BackfillError::Api(error) => error.judge(),
        BackfillError::Input(_) => return Code::BackfillInput.failed(super::hint::with_mended_file(name)),
        BackfillError::File { .. } => Code::BackfillFile.failed("check the folder of bulk.dir and its disk"),
        BackfillError::NotConfigured => {
            Code::NotConfigured.usage("set bulk.client_id and bulk.client_secret_file, or add --via dia; nothing was done")
        }
        BackfillError::Rejected { .. } | BackfillError::NotValid(_) => Code::BackfillRejected.failed(
            "nothing of it is in; see what Adobe says, mend the suite or the events that it names, or go on with --via dia",
        ),
        BackfillError::Unanswered { .. } => {
            Code::BackfillUndecided.failed("check bulk.url and the way to that host")
        }
        BackfillError::TooLarge(_) => Code::BackfillFile.failed("go on with --via dia"),
        BackfillError::Thread(_) => Code::Host.failed(THREADS),
    };
    Judgement { advice: format!("{}; then: {resume}", judged.advice).into(), ..judged }
}

impl Judge for ProbeError {
    fn judge(&self) -> Judgement {
        match self {
            ProbeError::Api(error) => error.judge(),
            ProbeError::Buffer(error) => error.judge(),
            ProbeError::Way(error) => error.judge(),
            ProbeError::NoSuite { rsid, .. } => {
                Code::SuiteUnknown.usage(format!("see what it is: passbridge suite check {rsid}"))
            }
            ProbeError::NoRequestor(rsid) => Code::Mapping
                .usage(format!("map one to it: passbridge suite add --rsid {rsid} --requestor ID")),
            ProbeError::NotSent { .. } => Code::ProbeNotSent
                .failed("check the collection URL of the suite and the way to that host, then probe again"),
        }
    }
}

impl Judge for ServeError {
    fn judge(&self) -> Judgement {
        match self {
            ServeError::Listen { .. } => Code::Listen
                .failed("see who else listens there, or set serve.listen to another address of this host"),
            ServeError::Tokens(_) => Code::SecretUnusable
                .usage("write one token a line into it, such as: head -c 32 /dev/urandom | base64"),
            ServeError::Ingest(error) => error.judge(),
            ServeError::Thread(_) => Code::Host.failed(THREADS),
        }
    }
}

impl Judge for CollectionError {
    fn judge(&self) -> Judgement {
        match self {
            CollectionError::BadRoots(_) => Code::Host.usage(CERTIFICATES),
            CollectionError::Proxy { .. } => Code::ClientSetup.usage(PROXY),
        }
    }
}

impl Judge for SuiteError {
    fn judge(&self) -> Judgement {
        Code::SuiteSetting.usage("passbridge suite add --help")
    }
}

impl Judge for ClockError {
    fn judge(&self) -> Judgement {
        Code::Clock.failed("set it, and run it again")
    }
}

impl Judge for PeriodError {
    fn judge(&self) -> Judgement {
        Code::Refused.usage("passbridge report --help")
    }
}

impl Judge for ReportError {
    fn judge(&self) -> Judgement {
        match self {
            ReportError::Buffer(error) => error.judge(),
            ReportError::Shared(error) => error.judge(),
            ReportError::UnknownRequestor { known, .. } if known.is_empty() => {
                Code::Refused.usage("passbridge ingest FILE: no event was ever stored here")
            }
            ReportError::UnknownRequestor { known, .. } => {
                Code::Refused.usage(format!("name one of which events were: {}", known.join(", ")))
            }
            ReportError::ToCome { .. } => Code::Refused.usage("choose another with --period or --from"),
            ReportError::TooManyRows { .. } => Code::Refused
                .usage("group by less, shorten the period, or count the rows of passbridge export events"),
        }
    }
}
const NETWORK: &str = "put buffer.path on a local disk; or, if its locks are known to hold, set buffer.allow_network_filesystem";
const REPLACED: &str = "see who did it, and start again; what was in flight is in doubt where the old file still is; ingest again what was stored lately";
const OVERWRITTEN: &str = "stop everything that uses the buffer, then: passbridge restore FILE; events that were sent meanwhile may be sent again";
const IN_USE: &str = "stop what uses the buffer, such as `passbridge run`, then run it again";
const MOVED: &str = "name the moved file in buffer.path; if it is lost: passbridge backup FILE --move";
const ACCEPT_REPEAT: &str =
    "passbridge drain --accept-repeat, once, if counting some of them again is better than losing the others";
const BACKFILLING: &str = "one backfill runs at a time; see which: passbridge backfill status";
const UNKNOWN_JOB: &str = "see which there are: passbridge backfill status";
const UNDECIDED: &str = "settle them first: passbridge held list; the next drain settles the others";
const RIGHTS: &str = "run it as the user to whom the buffer belongs, such as: runuser -u passbridge -- passbridge ...; that user \
                      needs the file, its folder and what lies beside it";
const COPY: &str =
    "name a copy that this user may read, as passbridge backup FILE makes one; nothing was changed";
const COUNTED_MEANWHILE: &str = "run it again when the other one is done; nothing of this report was stored";
const MIXED_FEEDS: &str =
    "take one of the two sources for a requestor; nothing of this portion of the input was stored";
const CANNOT_OPEN: &str = "raise the limit on open files (LimitNOFILE=, ulimit -n) where it is low; else check that this user may use the \
     buffer's file and folder; then run it again: what was reported before is stored";
const NO_SHM: &str =
    "free some disk, and see that this user may write there: the -shm file beside the buffer cannot be made";
const WRITTEN_TWICE: &str = "another process does the same work, as where the lock file was removed under a drain: let that one end, then run it \
     again; what was in flight is in doubt. If it persists: passbridge status --verify";
const SQLITE: &str = "check free disk and permissions, and that nobody removed the -wal under a process, which then has to end; run it again; what \
     was reported before is stored. If it persists: passbridge status --verify";
const LOCKED: &str = "wait for it to end, which frees the lock; leave lock files where they are";
const OTHER_SCHEMA: &str =
    "drop what another program made there, or restore a backup that is whole; nothing was done";

impl Judge for BufferError {
    fn judge(&self) -> Judgement {
        match self {
            BufferError::Missing(_) => {
                Code::BufferMissing.usage("create it with: passbridge init; or correct buffer.path")
            }
            BufferError::Exists(_) => Code::BufferExists.usage("nothing to do: it was left as it is"),
            BufferError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Code::BufferUnusable.failed(RIGHTS)
            }
            BufferError::File { source, .. } => Code::BufferUnusable.failed(of_system(
                source,
                "check that the folder exists and that this user may write there",
            )),
            BufferError::SecondName { .. } => Code::BufferUnusable.failed("do what the cause says; nothing was done"),
            BufferError::NetworkFilesystem { .. } => Code::BufferOnNetwork.usage(NETWORK),
            BufferError::NotABuffer(_) => Code::BufferForeign.usage("correct buffer.path"),
            BufferError::Newer { .. } => Code::BufferNewer.usage("use the release that wrote it, or a later one"),
            BufferError::OtherSchema { .. } => Code::BufferDamaged.failed(OTHER_SCHEMA),
            BufferError::Replaced(_) => Code::BufferLost.failed(REPLACED),
            BufferError::Overwritten(_) => Code::BufferLost.failed(OVERWRITTEN),
            BufferError::InUse(_) => Code::BufferInUse.locked(IN_USE),
            BufferError::DamagedCopy { .. } => Code::CopyDamaged.failed("restore an earlier one: nothing was changed"),
            BufferError::Moved { .. } => Code::BufferUnusable.usage(MOVED),
            BufferError::Restored { .. } => Code::Restored.usage(ACCEPT_REPEAT),
            BufferError::NoCopy { .. } => Code::BufferUnusable.usage(COPY),
            BufferError::ForeignCopy(_) => Code::BufferForeign.usage(COPY),
            BufferError::Stopped => Code::Stopped.failed("run it again"),
            BufferError::Locked(_) => Code::Locked.locked(LOCKED),
            BufferError::Backfilling(_) => Code::BackfillRunning.locked(BACKFILLING),
            BufferError::FilesUnderWay(name) => Code::BackfillUndecided.failed(match name.suite() {
                Some(_) => "let it settle them: passbridge drain; then run this again".to_owned(),
                None => format!("let it settle them: passbridge backfill resume {name}; then run this again"),
            }),
            BufferError::JobExists(name) => Code::BackfillExists.usage(format!(
                "passbridge backfill resume {name}; or choose another name"
            )),
            BufferError::UnknownJob(_) => Code::BackfillState.usage(UNKNOWN_JOB),
            BufferError::Sqlite(_) if self.cannot_open_file() => Code::Database.failed(CANNOT_OPEN),
            BufferError::Sqlite(_) if self.lacks_shared_memory() => Code::Unbacked.failed(NO_SHM),
            BufferError::ClaimsTaken => Code::Database.failed(WRITTEN_TWICE),
            BufferError::Sqlite(_) if self.is_written_twice() => Code::Database.failed(WRITTEN_TWICE),
            BufferError::Sqlite(_) if !self.is_damage() => Code::Database.failed(SQLITE),
            BufferError::Sqlite(_) | BufferError::Damaged(..) => {
                Code::BufferDamaged.failed("check the disk, and restore the latest backup")
            }
            BufferError::MappedElsewhere { rsid, requestor_id } => Code::Mapping
                .usage(format!("free it first: passbridge suite remove {rsid} --requestor {requestor_id}")),
            BufferError::UnknownSuite(rsid) => Code::SuiteUnknown.usage(format!(
                "no requestor is mapped to it here; to map one: passbridge suite add --requestor ID --rsid {rsid} \
                 --collection-url URL; to see all that are: passbridge suite list"
            )),
            BufferError::OtherSettings { rsid, .. } => Code::SuiteSetting.usage(format!(
                "leave the setting out, or change it with: passbridge suite set {rsid}"
            )),
            BufferError::OtherSpelling { known, .. } => Code::SuiteSetting.usage(format!(
                "spell it as Adobe's report suite manager does: {known}, or another after passbridge suite remove {known}"
            )),
            BufferError::UnknownProbe(_) => Code::ProbeUnknown.usage("see a suite's: passbridge suite show RSID"),
            BufferError::NotMapped { .. } => Code::Mapping.usage("see who is mapped: passbridge suite list"),
            BufferError::Undecided { .. } => Code::SuiteUndecided.usage(UNDECIDED),
            BufferError::CountedMeanwhile => Code::CountedMeanwhile.failed(COUNTED_MEANWHILE),
            BufferError::MixedFeeds(_) => Code::MixedFeeds.usage(MIXED_FEEDS),
            BufferError::ThreadEnded => Code::Internal.failed("see the log above, and run it again"),
        }
    }
}
