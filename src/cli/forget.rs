//! `forget`: erases a person's events on request.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Context, Exit, Failure, Settings, refused};
use crate::backfill;
use crate::buffer::{Buffer, Forget, Forgotten};
use crate::config::MapConfig;
use crate::event::Property;
use crate::ingest;

/// Erases a person's events from the buffer, its inbox and the rejected lines, for privacy requests.
///
/// IDs are compared exactly, upper and lower case included; MVPDs in any case, and addresses in any form. Where nobody is found, the
/// report says so, with status 0.
/// Every state is covered, delivered and dead alike. Only 16-byte tombstones stay, so that a file ingested again does not
/// bring the events back. The database file is rewritten, which needs as much free disk as it takes, and no drain or ingest
/// may run meanwhile. What Analytics holds is erased by Adobe's own Privacy Service; copies made with `backup` or `backfill export` are yours to
/// delete. Files that backfills kept, and copies of the buffer that an upgrade or a restore left beside it, are deleted whole.
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
    /// The MVPD that knows the person; its user IDs mean nothing elsewhere.
    #[arg(long, requires = "mvpd_user_id")]
    mvpd: Option<String>,
    /// The MVPD's ID of the person, as in mvpd_user_id.
    #[arg(long, value_name = "ID", requires = "mvpd")]
    mvpd_user_id: Option<String>,
    /// The programmer's ID of the person, as in visitor_id.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    visitor_id: Option<String>,
    /// A device, as in device_id: whoever used it.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    device_id: Option<String>,
    /// A session, as in session_id.
    #[arg(long, value_name = "ID", conflicts_with = "mvpd")]
    session_id: Option<String>,
    /// An address, as in ip_address, in any form; a household or more may be behind it.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "mvpd")]
    ip_address: Option<String>,
}

impl Whom {
    pub(super) fn find(&self, maps: &BTreeMap<String, MapConfig>) -> Result<(Forget, &'static str), Failure> {
        Ok(match (&self.mvpd, &self.mvpd_user_id, &self.visitor_id) {
            (Some(mvpd), Some(mvpd_user_id), None) => {
                let of_maps = maps.values().filter_map(|map| map.values.get(Property::Mvpd.name())).flatten();
                let words = of_maps.filter(|(_, value)| value.to_lowercase() == mvpd.to_lowercase());
                let words = words.map(|(word, _)| word.clone()).collect();
                (
                    Forget::MvpdUser { mvpd: mvpd.clone(), mvpd_user_id: mvpd_user_id.clone(), words },
                    "this MVPD and user ID; the ID is case-sensitive",
                )
            }
            (_, _, Some(visitor_id)) => {
                (Forget::Visitor { visitor_id: visitor_id.clone() }, "this visitor ID; it is case-sensitive")
            }
            (_, _, None) => match self.viewer() {
                Some(viewer) => (viewer, "this value"),
                None => return Err(refused("nobody is named", "passbridge forget --help")),
            },
        })
    }

    fn viewer(&self) -> Option<Forget> {
        let given = [
            (Property::DeviceId, &self.device_id),
            (Property::SessionId, &self.session_id),
            (Property::IpAddress, &self.ip_address),
        ];
        let (property, id) = given.into_iter().find_map(|(property, id)| Some((property, id.clone()?)))?;
        Some(Forget::Viewer { property, id })
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let (settings, buffer) = context.open()?;
    let (forget, whom) = args.whom.find(&settings.config.map)?;
    if args.dry_run {
        return rehearse(&forget, &settings, &buffer, context);
    }
    let lock = buffer.lock_whole()?;
    let Forgotten { events, inbox_rows, memory_rows, metric_digests, mvpds } =
        buffer.forget(&forget, &lock).map_err(|error| {
            let failure = Failure::from(error);
            Failure { advice: format!("{}; until then a part may be erased", failure.advice), ..failure }
        })?;
    let mut failure = None;
    // What fails keeps nothing else from being erased.
    let mut part = |erased: Result<u64, Failure>| {
        erased.unwrap_or_else(|error| {
            failure.get_or_insert(error);
            0
        })
    };
    let copies = part(buffer.forget_copies(&lock).map_err(Failure::from));
    // No file is being uploaded now, so all files in this folder are copies that were kept, or that a crash left.
    let bulk_files = part(backfill::forget_files(&settings.config.bulk.dir, &buffer).map_err(Failure::from));
    let rejects_dir = &settings.config.ingest.rejects_dir;
    let rejected_lines =
        part(ingest::forget_rejects(rejects_dir, &forget, buffer.path()).map_err(Failure::from));
    let mut text = String::new();
    if failure.is_some() {
        text.push_str("not everything is erased: do what the error says, and run it again; so far:\n");
    }
    for (count, what) in [
        (bulk_files, "files of backfills in bulk.dir"),
        (copies, "copies of the buffer beside it, from upgrades and restores"),
    ] {
        if count > 0 {
            text.push_str(&format!("deleted {count} {what}\n"));
        }
    }
    if events + inbox_rows + memory_rows + rejected_lines + metric_digests == 0 {
        text.push_str(&format!("nobody found: no event, inbox row or rejected line has exactly {whom}"));
    } else {
        text.push_str(&format!(
            "erased {events} events, {inbox_rows} inbox rows and {rejected_lines} rejected lines"
        ));
    }
    if memory_rows > 0 {
        text.push_str(&format!(", and {memory_rows} rows of logins and profiles that sources remembered"));
    }
    if metric_digests > 0 {
        text.push_str(&format!(
            "; replaced {metric_digests} digests of theirs in the metrics by random ones"
        ));
    }
    if mvpds.len() > 1 {
        text.push_str(&format!("; the MVPD was spelt {mvpds:?}"));
    }
    let mut report = json!({
        "mvpds": mvpds,
        "events": events,
        "inbox_rows": inbox_rows,
        "memory_rows": memory_rows,
        "rejected_lines": rejected_lines,
        "bulk_files": bulk_files,
        "metric_digests": metric_digests,
        "copies": copies,
    });
    if let Some(failure) = &failure {
        report["failure"] = json!(failure);
    }
    context.form.answer(&report, text)?;
    failure.map_or(Ok(Exit::Done), Err)
}

fn rehearse(
    forget: &Forget,
    settings: &Settings,
    buffer: &Buffer,
    context: &Context,
) -> Result<Exit, Failure> {
    let found = buffer.count_to_forget(forget)?;
    let rejected_lines =
        ingest::rejects_of(&settings.config.ingest.rejects_dir, forget, buffer.path())?.len();
    let Forgotten { events, inbox_rows, memory_rows, metric_digests, mvpds } = &found;
    let text = format!(
        "nothing is erased: {events} events, {inbox_rows} inbox rows, {rejected_lines} rejected lines and {memory_rows} rows that sources \
         remembered would be, {metric_digests} digests replaced, and files of backfills and copies beside the buffer deleted whole"
    );
    let report = json!({
        "dry_run": true, "events": events, "inbox_rows": inbox_rows, "memory_rows": memory_rows,
        "rejected_lines": rejected_lines, "metric_digests": metric_digests, "mvpds": mvpds,
    });
    context.answer(&report, text)
}
