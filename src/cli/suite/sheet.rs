//! `suite sheet`: what the suite must be set to, as a file for the person who sets it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::buffer::SuiteListing;
use crate::cli::Context;
use crate::cli::failure::CliError;
use crate::cli::output::{self, Form};
use crate::onboarding::sheet::{Sheet, SheetForm, SheetOf};
use crate::suite::Rsid;
use crate::whole_file::{self, Readers};

/// Writes down what a report suite must be set to: 18 events, 34 eVars, and everything around them, to tick off.
///
/// With a suite's ID the sheet has its own values; without one it is for any suite, and needs no buffer.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SheetArgs {
    /// The report suite ID, where it is mapped already.
    rsid: Option<Rsid>,
    /// The form [default: what the name of FILE ends in; md on standard output].
    #[arg(long, value_enum)]
    format: Option<SheetFormat>,
    /// The file to write; it must not exist. Without one, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The forms of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SheetFormat {
    /// Markdown, for a ticket or a wiki.
    Md,
    /// One table, for programs.
    Csv,
    /// A workbook to hand over, with a tab for each topic.
    Xlsx,
    /// A page that prints well.
    Html,
}

impl SheetFormat {
    fn form(self) -> SheetForm {
        match self {
            SheetFormat::Md => SheetForm::Markdown,
            SheetFormat::Csv => SheetForm::Csv,
            SheetFormat::Xlsx => SheetForm::Xlsx,
            SheetFormat::Html => SheetForm::Html,
        }
    }

    fn of_path(path: &Path) -> Option<SheetFormat> {
        <SheetFormat as clap::ValueEnum>::from_str(path.extension()?.to_str()?, true).ok()
    }
}

#[derive(Debug, Serialize)]
struct WrittenReport {
    path: PathBuf,
    format: SheetFormat,
    settings: usize,
}

impl fmt::Display for WrittenReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} settings written to {}", self.settings, self.path.display())
    }
}

pub(super) fn run(args: &SheetArgs, context: &Context) -> Result<(), CliError> {
    let of = match &args.rsid {
        None => SheetOf::default(),
        Some(rsid) => {
            let SuiteListing { suite, requestors, .. } = context.buffer()?.suite(rsid)?;
            SheetOf { suite: Some(suite), requestors }
        }
    };
    let sheet = Sheet::of(&of);
    match &args.out {
        Some(path) => to_file(&sheet, path, args.format, context),
        None => to_output(&sheet, args.format, context.form),
    }
}

fn to_file(
    sheet: &Sheet,
    path: &Path,
    format: Option<SheetFormat>,
    context: &Context,
) -> Result<(), CliError> {
    let format = format.or_else(|| SheetFormat::of_path(path)).ok_or_else(|| CliError::Refused {
        what: format!("the name of {} says none of the forms md, csv, xlsx and html", path.display()),
        advice: "add --format".to_owned(),
    })?;
    let bytes = written(sheet, format)?;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CliError::Refused {
            what: format!("{} is there already, perhaps with what somebody ticked off", path.display()),
            advice: "choose another name, or remove it first".to_owned(),
        },
        _ => CliError::File { verb: "write", path: path.to_owned(), source },
    };
    whole_file::write_new(path, &bytes, Readers::Umask).map_err(failed)?;
    let settings = sheet.topics.iter().map(|topic| topic.rows.len()).sum();
    context.form.report(&WrittenReport { path: path.to_owned(), format, settings })
}

fn to_output(sheet: &Sheet, format: Option<SheetFormat>, form: Form) -> Result<(), CliError> {
    let format = match (form, format) {
        (Form::Json, None) => return output::document(sheet),
        (Form::Json, Some(_)) => {
            return Err(CliError::Refused {
                what: "--json is a form of its own: --format goes with --out".to_owned(),
                advice: "leave out one of the two, or name a file with --out FILE".to_owned(),
            });
        }
        (Form::Text, format) => format.unwrap_or(SheetFormat::Md),
    };
    if format == SheetFormat::Xlsx && output::is_terminal() {
        return Err(CliError::Refused {
            what: "a workbook is no text that a terminal can show".to_owned(),
            advice: "write it to a file: passbridge suite sheet --format xlsx --out sheet.xlsx".to_owned(),
        });
    }
    output::bytes(&written(sheet, format)?)
}

fn written(sheet: &Sheet, format: SheetFormat) -> Result<Vec<u8>, CliError> {
    sheet.write(format.form()).map_err(|error| CliError::Refused {
        what: error.to_string(),
        advice: "write another form of it: --format html".to_owned(),
    })
}
