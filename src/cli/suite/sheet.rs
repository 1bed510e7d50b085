//! `suite sheet`: writes the required settings of a suite to a file, for the person who sets them.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::buffer::SuiteListing;
use crate::cli::words::explained;
use crate::cli::{Context, Ended, Exit, Failure, Form, may_replace, output, refused, undisturbed};
use crate::onboarding::sheet::{Sheet, SheetForm, SheetOf};
use crate::suite::Rsid;
use crate::whole_file::{self, Readers};

/// Writes a checklist of all that must be set in a report suite: 18 events, 34 eVars, and the settings around them.
///
/// With a suite's ID, the sheet has the values of that suite. Without an ID it fits any suite, and needs no buffer.
#[derive(Debug, clap::Args)]
pub(crate) struct SheetArgs {
    /// The ID of a report suite that is mapped already.
    rsid: Option<Rsid>,
    /// The format [default: by the ending of FILE, such as .xlsx; md on standard output].
    #[arg(long, value_parser = explained(FORMS))]
    format: Option<SheetForm>,
    /// The file to write, which must not exist. Without it, or with `-`, the sheet goes to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const FORMS: [(SheetForm, &str); 4] = [
    (SheetForm::Markdown, "Markdown, for a ticket or a wiki"),
    (SheetForm::Csv, "One table, for programs"),
    (SheetForm::Xlsx, "A workbook to hand over, with a tab for each topic"),
    (SheetForm::Html, "A page that prints well"),
];

fn form_of(path: &Path) -> Option<SheetForm> {
    path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
}

pub(super) fn run(args: &SheetArgs, context: &Context) -> Ended {
    let of = match &args.rsid {
        None => SheetOf::default(),
        Some(rsid) => {
            let SuiteListing { suite, requestors, .. } = context.open()?.1.suite(rsid)?;
            SheetOf { suite: Some(suite), requestors }
        }
    };
    let sheet = Sheet::of(&of);
    match args.out.as_ref().filter(|path| path.as_os_str() != "-") {
        Some(path) => to_file(&sheet, path, args.format, context),
        None => to_output(&sheet, args.format, context.form),
    }
}

fn to_file(sheet: &Sheet, path: &Path, format: Option<SheetForm>, context: &Context) -> Ended {
    let format = format.or_else(|| form_of(path)).ok_or_else(|| {
        refused(
            format!("the name of {} says none of the forms md, csv, xlsx and html", path.display()),
            "add --format",
        )
    })?;
    // A sheet for any suite needs no configuration.
    context.settings().ok().map_or(Ok(()), |settings| may_replace(&settings, path))?;
    let bytes = written(sheet, format)?;
    let made = undisturbed(|| whole_file::write_new(path, &bytes, Readers::Umask))?;
    made.map_err(Failure::writing_new(path))?;
    let settings: usize = sheet.topics.iter().map(|topic| topic.rows.len()).sum();
    let report = json!({ "path": path, "format": format, "settings": settings });
    context.answer(&report, format_args!("{settings} settings written to {}", path.display()))
}

fn to_output(sheet: &Sheet, format: Option<SheetForm>, form: Form) -> Ended {
    let format = match (form, format) {
        (Form::Json, None) => return output::document(sheet).map(|()| Exit::Done),
        (Form::Json, Some(_)) => {
            return Err(refused(
                "--json is a form of its own: --format goes with --out",
                "leave out one of the two, or name a file with --out FILE",
            ));
        }
        (Form::Text, format) => format.unwrap_or(SheetForm::Markdown),
    };
    if format == SheetForm::Xlsx && output::is_terminal() {
        return Err(refused(
            "a workbook is no text that a terminal can show",
            "write it to a file: passbridge suite sheet --format xlsx --out sheet.xlsx",
        ));
    }
    output::bytes(&written(sheet, format)?)?;
    Ok(Exit::Done)
}

fn written(sheet: &Sheet, format: SheetForm) -> Result<Vec<u8>, Failure> {
    sheet.write(format).map_err(|error| {
        refused(format!("cannot make the workbook: {error}"), "write another form of it: --format html")
    })
}
