//! `export`: events and outcomes for a warehouse.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::words::{explained, written};
use super::{
    Context, Exit, Failure, Form, Settings, may_replace, on_file, output, person, refused, runtime, shared,
    until_stopped,
};
use crate::buffer::{Buffer, ExportCursor, ExportOf, ExportedRow, ExportedValue, Exporter};
use crate::encode::csv_row;
use crate::event::Property;
use crate::mapping::first_serial;
use crate::postgres::{SharedBuffer, SharedExporter};
use crate::suite::CountForm;
use crate::whole_file::{Readers, WholeFile};

/// Writes events or outcomes for a warehouse, from where the last export ended, or all that is stored about a person.
#[derive(Debug, Subcommand)]
#[command(after_help = include_str!("help/export.txt").trim_ascii_end())]
pub(super) enum Command {
    /// Writes each event that the buffer has, in the order of storing.
    Events(Args),
    /// Writes each outcome (delivered, dead, held or discarded), with the serial that Analytics knows.
    Outcomes(Args),
    /// Writes all that is stored about a person: events with their attempts, inbox rows, rejected lines, and the memory of sources.
    ///
    /// The person is found as by `forget`. Each line is a JSON object; its key `held` says what the line is.
    Person(person::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The cursor that the previous export printed. Without it, the export begins with the oldest row.
    #[arg(long, value_name = "CURSOR")]
    since: Option<ExportCursor>,
    /// The form of the rows.
    #[arg(long, value_parser = explained([
        (RowForm::Ndjson, "A JSON object for each row"),
        (RowForm::Csv, "A header, then a line for each row; values are unchanged, for a warehouse and not for a spreadsheet"),
    ]), default_value = "ndjson")]
    format: RowForm,
    /// Write the rows to this file, and the cursor to standard output. An earlier file is replaced once the new one is complete.
    #[arg(long, value_name = "FILE", value_parser = written())]
    output: Option<PathBuf>,
}

crate::word::words! {
    pub(super) enum RowForm {
        Ndjson = "ndjson",
        Csv = "csv",
    }
}

#[derive(Debug, Serialize)]
struct ExportReport {
    rows: u64,
    cursor: String,
    /// The file that was written; none if the rows went to standard output.
    path: Option<PathBuf>,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportReport { rows, cursor, path } = self;
        if let Some(path) = path {
            writeln!(out, "{rows} rows in {}", path.display())?;
        }
        write!(out, "cursor {cursor}")
    }
}

pub(super) fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    let (of, args) = match command {
        Command::Events(args) => (ExportOf::Events, args),
        Command::Outcomes(args) => (ExportOf::Outcomes, args),
        Command::Person(args) => return person::run(args, context),
    };
    if context.form == Form::Json && args.output.is_none() {
        return Err(refused(
            "--json prints a document with the cursor, and the rows would stand before it",
            "name a file for the rows: --output FILE",
        ));
    }
    let settings = context.settings()?;
    args.output.iter().try_for_each(|path| may_replace(&settings, path))?;
    let file = match on_file::is_on_postgres(&settings) {
        true => None,
        false => Some(Buffer::open(&context.buffer_options(&settings)?)?),
    };
    let Some(path) = &args.output else {
        return runtime()?.block_on(async {
            let mut rows = Rows::of(&settings, file.as_ref(), of, args).await?;
            let mut lines = output::Lines::new();
            while let Some(bytes) = rows.next().await? {
                if lines.bytes(bytes).is_break() {
                    // Nobody reads any more, so the cursor of what was read is not known.
                    lines.finish()?;
                    return Ok(Exit::Done);
                }
            }
            lines.finish()?;
            output::note(rows.report(None));
            Ok(Exit::Done)
        });
    };
    let report = until_stopped(async |stop| {
        let mut rows = Rows::of(&settings, file.as_ref(), of, args).await?;
        let mut file = WholeFile::create(path, Readers::Owner).map_err(Failure::writing(path))?;
        while let Some(bytes) = rows.next().await? {
            file.write_all(bytes).map_err(Failure::writing(path))?;
            tokio::task::yield_now().await;
            if stop.requested().is_some() {
                return Err(Failure::stopped());
            }
        }
        file.replace().map_err(Failure::writing(path))?;
        Ok(rows.report(Some(path.clone())))
    });
    context.done(&report?)
}

enum Source {
    File(Exporter),
    Shared(Box<SharedExporter>),
}

/// The rows of an export as bytes, part by part.
struct Rows {
    of: ExportOf,
    form: RowForm,
    source: Source,
    /// How each requestor's counts are sent, which decides on the serial.
    count_forms: HashMap<String, CountForm>,
    rows: u64,
    part: Vec<u8>,
    has_begun: bool,
}

impl Rows {
    async fn of(
        settings: &Settings,
        file: Option<&Buffer>,
        of: ExportOf,
        args: &Args,
    ) -> Result<Rows, Failure> {
        let (source, suites) = match file {
            Some(buffer) => (buffer.exporter(of, args.since)?.map(Source::File), buffer.suites()?),
            None => {
                let mut buffer = SharedBuffer::open(&shared::address(settings)?).await?;
                let suites = buffer.suites().await?;
                let exporter = buffer.exporter(of, args.since).await?;
                (exporter.map(|exporter| Source::Shared(Box::new(exporter))), suites)
            }
        };
        let source = source.ok_or_else(|| {
            refused(
                "the cursor is of another buffer or export, or from before this buffer was restored",
                "give the cursor of the last export of the same, or none: then every row comes, and of each sequence the last one counts",
            )
        })?;
        let count_forms = suites.into_iter().flat_map(|listing| {
            let count_form = listing.suite.form.count_form;
            listing.requestors.into_iter().map(move |requestor| (requestor, count_form))
        });
        Ok(Rows {
            of,
            form: args.format,
            count_forms: count_forms.collect(),
            source,
            rows: 0,
            part: Vec::new(),
            has_begun: false,
        })
    }

    fn report(&self, path: Option<PathBuf>) -> ExportReport {
        let cursor = match &self.source {
            Source::File(exporter) => exporter.cursor(),
            Source::Shared(exporter) => exporter.cursor,
        };
        ExportReport { rows: self.rows, cursor: cursor.to_string(), path }
    }

    async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        let Rows { of, form, source, count_forms, rows, part, has_begun } = self;
        part.clear();
        let is_first = !std::mem::replace(has_begun, true);
        let (names, own) = match of {
            ExportOf::Events => (of.columns().collect::<Vec<_>>(), body_columns()),
            ExportOf::Outcomes => (of.columns().chain(["serial"]).collect(), Vec::new()),
        };
        if is_first && *form == RowForm::Csv {
            csv_row(names.iter().chain(&own).copied(), part);
        }
        let mut show = |mut row: ExportedRow<'_>| {
            *rows += 1;
            if *of == ExportOf::Outcomes {
                let count_form = count_forms.get(row.requestor_id).copied().unwrap_or_default();
                let serial = first_serial(row.id, row.count, count_form);
                row.values.push(ExportedValue::Text(serial.into()));
                row.body = "{}";
            }
            match form {
                RowForm::Ndjson => write_object(&names, &row, part),
                RowForm::Csv => {
                    let mut properties = row.properties()?;
                    let own = own.iter().map(|name| properties.remove(*name).unwrap_or_default());
                    let cells: Vec<String> = row.values.iter().map(csv_text).chain(own).collect();
                    csv_row(cells.iter().map(String::as_str), part);
                }
            }
            Ok(())
        };
        let has_more = match source {
            Source::File(exporter) => exporter.next(&mut show)?,
            Source::Shared(exporter) => exporter.next(&mut show).await?,
        };
        Ok((has_more || is_first).then_some(&*part))
    }
}

/// Writes a row, with the properties in its body, as a JSON object.
fn write_object(names: &[&str], row: &ExportedRow<'_>, out: &mut Vec<u8>) {
    for (index, (name, value)) in names.iter().zip(&row.values).enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *out, value).expect("numbers and texts always serialise to memory");
    }
    // The body is a JSON object too, without spaces.
    if row.body != "{}" {
        out.push(b',');
        out.extend_from_slice(&row.body.as_bytes()[1..row.body.len() - 1]);
    }
    out.extend_from_slice(b"}\n");
}

fn csv_text(value: &ExportedValue<'_>) -> String {
    match value {
        ExportedValue::Number(number) => number.to_string(),
        ExportedValue::Text(text) => text.clone().into_owned(),
        ExportedValue::Empty => String::new(),
    }
}

fn body_columns() -> Vec<&'static str> {
    let own = Property::ALL.into_iter().filter(|property| *property != Property::RequestorId);
    ["event_id"].into_iter().chain(own.map(Property::name)).collect()
}
