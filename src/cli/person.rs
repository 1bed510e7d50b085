//! `export person`: what is stored about a person, for a request of access.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::desk::Desk;
use super::forget::Whom;
use super::words::written;
use super::{Context, Exit, Failure, may_replace, undisturbed};
use crate::ingest;
use crate::postgres::SharedBuffer;
use crate::whole_file::{Readers, WholeFile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    whom: Whom,
    /// The file to write, which only its owner may read. An earlier file is replaced once the new one is complete.
    #[arg(long, value_name = "FILE", value_parser = written())]
    output: PathBuf,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings()?;
    let desk = Desk::of(&settings, context)?;
    may_replace(&settings, &args.output)?;
    let (whom, told) = args.whom.find(&settings)?;
    let shared = async |buffer: &mut SharedBuffer| Ok((buffer.held_of(&whom).await?, Vec::new()));
    let (events, mut others) = desk.ask(|buffer| buffer.held_of(&whom), shared)?;
    let own = desk.own_file(&settings);
    let rejected = ingest::rejects_of(&settings.config.ingest.rejects_dir, &whom, own)?;
    others.extend(rejected.into_iter().map(|text| ("rejected_line", text)));
    // Events are read before the file is begun, because signals wait while it is written.
    let traced: Vec<_> =
        events.iter().filter_map(|seq| desk.trace(*seq).transpose()).collect::<Result<_, _>>()?;
    let path = &args.output;
    undisturbed(|| {
        let failed = |source| Failure::writing(path)(source);
        let mut file = WholeFile::create(path, Readers::Owner).map_err(failed)?;
        let mut write = |held: Value| writeln!(file, "{held}").map_err(failed);
        for event in &traced {
            write(json!({"held": "event", "event": event.event, "trace": event}))?;
        }
        others.iter().try_for_each(|(held, text)| write(json!({"held": held, "text": text})))?;
        file.replace().map_err(failed)
    })??;
    let count = |what: &str| others.iter().filter(|(held, _)| *held == what).count();
    let [inbox_rows, memory_rows, rejected_lines] = ["inbox_row", "memory_row", "rejected_line"].map(count);
    let report = json!({
        "path": path, "events": events.len(), "inbox_rows": inbox_rows, "memory_rows": memory_rows,
        "rejected_lines": rejected_lines,
    });
    let text = match events.len() + others.len() {
        0 => format!("nobody found: no event, inbox row or rejected line has exactly {told}"),
        _ => format!(
            "{}: {} events, {inbox_rows} inbox rows, {rejected_lines} rejected lines, {memory_rows} rows that sources remembered",
            path.display(),
            events.len()
        ),
    };
    context.answer(&report, text)
}
