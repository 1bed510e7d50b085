//! `forget`: erases a person's events on request.

use serde_json::json;

use super::desk::Desk;
use super::{Context, Ended, Exit, Failure, Settings, options, refused};
use crate::backfill;
use crate::buffer::{Forget, Forgotten};
use crate::event::Property;
use crate::ingest;
use crate::postgres::SharedBuffer;

/// What a person who erases somebody on PostgreSQL has to know.
const REMAINS: &str = "what remains: the deleted rows stay in the files of the database until autovacuum has removed them and their room \
    is used again (VACUUM FULL of the tables in the schema passbridge rewrites these files at once, and drains wait meanwhile); the \
    write-ahead log and its archive, base backups, dumps and standbys keep them until they are deleted or have caught up; rejected \
    lines of other hosts stay until it runs there";

/// Erases a person's events from the buffer, its inbox and the rejected lines, for privacy requests.
///
/// IDs are case-sensitive. MVPDs are found in upper and lower case, and addresses in any form. If nobody is found, the report says so, with
/// status 0. Events in every state are erased, delivered and dead ones too. Only 16-byte tombstones stay, so that a file that is
/// ingested again does not bring the events back. The database file is rewritten, which needs as much free disk as the file takes. No drain
/// and no ingest may run meanwhile. Files that backfills kept, and copies of the buffer that an upgrade or a restore left beside it, are
/// deleted whole. Copies made with `backup` or `backfill export` you must delete yourself. What Analytics has is erased by Adobe's own
/// Privacy Service.
///
/// On PostgreSQL, drains and ingests may run; events that are stored meanwhile may stay. Rejected lines are erased on the host where it
/// runs. The report says what remains in the database's own files and archive.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/forget.txt").trim_ascii_end())]
pub(super) struct Args {
    #[command(flatten)]
    whom: Whom,
    /// Only say what would be erased and replaced.
    #[arg(long)]
    dry_run: bool,
}

/// The person that a request is about.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["mvpd_user_id", "visitor_id", "device_id", "session_id", "ip_address"]))]
pub(super) struct Whom {
    /// The MVPD that gave the person this user ID. Another MVPD may have given the same ID to another person.
    #[arg(long, requires = "mvpd_user_id")]
    mvpd: Option<String>,
    /// The MVPD's ID of the person, as in mvpd_user_id.
    #[arg(long, value_name = "ID", requires = "mvpd")]
    mvpd_user_id: Option<String>,
    /// The programmer's ID of the person, as in visitor_id.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    visitor_id: Option<String>,
    /// A device, as in device_id. This includes everybody who used it.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    device_id: Option<String>,
    /// A session, as in session_id.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    session_id: Option<String>,
    /// An address, as in ip_address, in any form. A household or more people may share it.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "mvpd")]
    ip_address: Option<String>,
}

impl Whom {
    /// The person, and the words for what is compared.
    pub(super) fn find(&self, settings: &Settings) -> Result<(Forget, &'static str), Failure> {
        let given = [
            (Property::MvpdUserId, &self.mvpd_user_id, "this MVPD and user ID; the ID is case-sensitive"),
            (Property::VisitorId, &self.visitor_id, "this visitor ID; it is case-sensitive"),
            (Property::DeviceId, &self.device_id, "this value"),
            (Property::SessionId, &self.session_id, "this value"),
            (Property::IpAddress, &self.ip_address, "this value"),
        ];
        let one = given.into_iter().find_map(|(property, id, told)| Some((property, id.clone()?, told)));
        let (property, id, told) =
            one.ok_or_else(|| refused("nobody is named", "passbridge forget --help"))?;
        let maps = options::maps(settings, "", "")?.named;
        Ok((Forget { property, id, mvpd: self.mvpd.clone(), maps }, told))
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Ended {
    let settings = context.settings()?;
    let (forget, whom) = args.whom.find(&settings)?;
    let desk = Desk::of(&settings, context)?;
    let (rejects_dir, own) = (&settings.config.ingest.rejects_dir, desk.own_file(&settings));
    if args.dry_run {
        let shared = async |buffer: &mut SharedBuffer| buffer.count_to_forget(&forget).await;
        let found = desk.ask(|buffer| buffer.count_to_forget(&forget), shared)?;
        return rehearsed(&found, ingest::rejects_of(rejects_dir, &forget, own)?.len(), context);
    }
    let partly = |failure: Failure| Failure {
        advice: format!("{}; until then a part may be erased", failure.advice),
        ..failure
    };
    let (lock, mut erased);
    match &desk {
        Desk::File(buffer) => {
            lock = buffer.lock_whole()?;
            let found = buffer.forget(&forget, &lock).map_err(|error| partly(error.into()))?;
            erased = Erased { found, ..Erased::default() };
            erased.copies = erased.part(buffer.forget_copies(&lock));
            // No file is being uploaded now, so all files in this folder are copies that were kept, or that a crash left.
            erased.bulk_files = erased.part(backfill::forget_files(&settings.config.bulk.dir, buffer));
        }
        Desk::Shared(runtime, buffer) => {
            let found = runtime
                .block_on(buffer.borrow_mut().forget(&forget))
                .map_err(|error| partly(error.into()))?;
            erased = Erased { found, remains: Some(REMAINS), ..Erased::default() };
        }
    }
    erased.rejected_lines = erased.part(ingest::forget_rejects(rejects_dir, &forget, own));
    told(erased, whom, context)
}

/// What was erased, and the first failure.
#[derive(Default)]
struct Erased {
    found: Forgotten,
    copies: u64,
    bulk_files: u64,
    rejected_lines: u64,
    /// What is not erased by this command.
    remains: Option<&'static str>,
    failure: Option<Failure>,
}

impl Erased {
    /// A part that fails does not keep the other parts from being erased.
    fn part<E: Into<Failure>>(&mut self, erased: Result<u64, E>) -> u64 {
        erased.unwrap_or_else(|error| {
            self.failure.get_or_insert(error.into());
            0
        })
    }
}

fn told(erased: Erased, whom: &str, context: &Context) -> Ended {
    let Erased { found, copies, bulk_files, rejected_lines, remains, failure } = erased;
    let Forgotten { events, inbox_rows, memory_rows, metric_digests, ref mvpds } = found;
    let erased =
        format!("erased {events} events, {inbox_rows} inbox rows and {rejected_lines} rejected lines");
    let is_nobody = events + inbox_rows + memory_rows + rejected_lines + metric_digests == 0;
    let unfinished = "not everything is erased: do what the error says, and run it again; so far:\n";
    let parts = [
        (failure.is_some(), unfinished.to_owned()),
        (bulk_files > 0, format!("deleted {bulk_files} files of backfills in bulk.dir\n")),
        (
            copies > 0,
            format!("deleted {copies} copies of the buffer beside it, from upgrades and restores\n"),
        ),
        (is_nobody, format!("nobody found: no event, inbox row or rejected line has exactly {whom}")),
        (!is_nobody, erased),
        (memory_rows > 0, format!(", and {memory_rows} rows of logins and profiles that sources remembered")),
        (
            metric_digests > 0,
            format!("; replaced {metric_digests} digests of theirs in the metrics by random ones"),
        ),
        (mvpds.len() > 1, format!("; the MVPD was spelt {mvpds:?}")),
        (remains.is_some() && !is_nobody, format!("\n{}", remains.unwrap_or_default())),
    ];
    let text: String = parts.into_iter().filter_map(|(is_so, part)| is_so.then_some(part)).collect();
    let mut report = json!(found);
    for (name, count) in [("rejected_lines", rejected_lines), ("bulk_files", bulk_files), ("copies", copies)]
    {
        report[name] = json!(count);
    }
    if let Some(remains) = remains {
        report["remains"] = json!(remains);
    }
    if let Some(failure) = &failure {
        report["failure"] = json!(failure);
    }
    context.form.answer(&report, text)?;
    failure.map_or(Ok(Exit::Done), Err)
}

fn rehearsed(found: &Forgotten, rejected_lines: usize, context: &Context) -> Ended {
    let Forgotten { events, inbox_rows, memory_rows, metric_digests, .. } = found;
    let text = format!(
        "nothing is erased: {events} events, {inbox_rows} inbox rows, {rejected_lines} rejected lines and {memory_rows} rows that sources \
         remembered would be, {metric_digests} digests replaced, and files of backfills and copies beside the buffer deleted whole"
    );
    let mut report = json!(found);
    (report["dry_run"], report["rejected_lines"]) = (json!(true), json!(rejected_lines));
    context.answer(&report, text)
}
