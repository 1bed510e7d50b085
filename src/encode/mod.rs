//! Writes a hit as an XML document of the Data Insertion API or as a row of a bulk file, and writes all other CSV.
//!
//! - In: a [`Hit`](crate::hit::Hit). Out: the bytes of one XML document (the body of one request), or of one CSV row.
//! - Guarantees: both are UTF-8 and carry the same values. A document is well-formed: each tag at most once, no empty
//!   tag, only XML's own entities, only tags of Adobe's variable reference ([`TAGS`]). A row has as many cells as its
//!   header, whose names are from Adobe's column reference; any reader of RFC 4180 gets the values back.
//! - Does not know: events, where a value came from, HTTP, files.
//! - Rules: "Data Insertion API" and "Bulk Data Insertion API" in the Analytics collection guide.

mod bulk;
mod csv;
mod dia;

pub use bulk::{COLUMNS, bulk_header, bulk_row};
pub use csv::{csv_row, safe_value};
pub(crate) use dia::each_tag;
pub use dia::{TAGS, dia};
