//! The source formats, and the reader of each.

use std::io::BufRead;

use super::csv::CsvReader;
use super::esm::EsmReader;
use super::line::{ReadError, Reader};
use super::ndjson::NdjsonReader;
use super::options::ReaderOptions;
use super::rest_v2::ExchangeReader;

/// The source formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One canonical event as a JSON object per line; also the rejects of an earlier run, mended.
    Ndjson,
    /// A header row of property names, then one event per row.
    Csv,
    /// One exchange with the Pass REST API V2 per line; events follow from it.
    RestV2,
    /// The same exchanges as an HTTP archive, HAR 1.2.
    Har,
    /// A report of Entitlement Service Monitoring, as JSON, XML or CSV.
    Esm,
}

impl Format {
    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::RestV2 => "rest-v2",
            Format::Har => "har",
            Format::Esm => "esm",
        }
    }

    /// The format of a word.
    pub fn of_name(name: &str) -> Option<Format> {
        let all = [Format::Ndjson, Format::Csv, Format::RestV2, Format::Har, Format::Esm];
        all.into_iter().find(|format| format.name() == name)
    }

    /// Its reader. Reads the header of a format that has one.
    pub fn open<R: BufRead + Send + 'static>(
        self,
        source: R,
        options: &ReaderOptions,
    ) -> Result<Box<dyn Reader>, ReadError> {
        Ok(match self {
            Format::Ndjson => Box::new(NdjsonReader::new(source)),
            Format::Csv => Box::new(CsvReader::new(source)?),
            Format::RestV2 => Box::new(ExchangeReader::of_log(source, options)),
            Format::Har => Box::new(ExchangeReader::of_archive(source, options)?),
            Format::Esm => Box::new(EsmReader::new(source, &options.esm)?),
        })
    }
}
