//! The source formats, and the reader of each.

use std::io::BufRead;

use super::csv::CsvReader;
use super::esm::EsmReader;
use super::line::{ReadError, Reader};
use super::ndjson::NdjsonReader;
use super::options::ReaderOptions;
use super::rest_v2::ExchangeReader;
use crate::word::words;

words! {
    pub enum Format {
        /// One canonical event as a JSON object per line; also mended lines of a rejects file.
        Ndjson = "ndjson",
        /// A header row of property names, then one event per row.
        Csv = "csv",
        /// One exchange with the Pass REST API V2 per line. Events follow from the exchanges.
        RestV2 = "rest-v2",
        /// The same exchanges as an HTTP archive, HAR 1.2.
        Har = "har",
        /// A report of Entitlement Service Monitoring, as JSON, XML or CSV.
        Esm = "esm",
    }
}

impl Format {
    /// Opens the reader of this format. For CSV, this reads the header; for ESM, the whole report.
    pub fn open<R: BufRead + Send + 'static>(
        self,
        source: R,
        options: &ReaderOptions,
    ) -> Result<Box<dyn Reader>, ReadError> {
        Ok(match self {
            Format::Ndjson => Box::new(NdjsonReader::new(source, options.map.clone())),
            Format::Csv => Box::new(CsvReader::new(source, options.map.clone())?),
            Format::RestV2 => Box::new(ExchangeReader::of_log(source, options)),
            Format::Har => Box::new(ExchangeReader::of_archive(source, options)?),
            Format::Esm => Box::new(EsmReader::new(source, &options.esm)?),
        })
    }
}
