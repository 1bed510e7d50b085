//! `schema`: the schemas that this program knows.

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::{Context, Ended};
use crate::buffer;

const PASS_EVENT: &str = "pass-event";
const BUFFER: &str = "buffer";
/// The schemas, each with what it is.
const SCHEMAS: [(&str, &str); 2] = [
    (PASS_EVENT, "an event, as JSON Schema"),
    (BUFFER, "the buffer, as the SQL that makes it; programs may write to its table inbox alone"),
];

/// Prints a schema that this program knows. Without a name, it lists the schemas.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge schema pass-event > pass-event.schema.json")]
pub(super) struct Args {
    /// The schema to print
    #[arg(value_parser = PossibleValuesParser::new(SCHEMAS.map(|(name, _)| name)))]
    name: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Ended {
    let text = match args.name.as_deref() {
        Some(PASS_EVENT) => include_str!("../../schemas/pass-event.schema.json").to_owned(),
        Some(_) => buffer::schema(),
        None => SCHEMAS.iter().fold(String::new(), |mut list, (name, what)| {
            writeln!(list, "{name:12}{what}").expect("a text takes every text");
            list
        }),
    };
    let text = text.trim_end();
    context.answer(&json!({ "schema": args.name, "text": text }), text)
}
