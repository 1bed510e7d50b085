//! Writes a hit as Adobe reads it: as a document of the Data Insertion API, or as a row of a bulk file; and every other CSV.
//!
//! - In: a [`Hit`](crate::hit::Hit). Out: the bytes of one XML document, the body of one request; or those of one CSV row.
//! - Guarantees: UTF-8; both carry the same values. A document is well-formed, each tag at most once and none empty, no entity
//!   but XML's own; only tags of Adobe's variable reference, which [`TAGS`] lists. A row is as wide as its header, whose names
//!   are of Adobe's column reference, and any reader of RFC 4180 gets its values back.
//! - Does not know: events, where a value came from, HTTP, files.
//! - Rules: DIA-05 to DIA-20, BDIA-02 to BDIA-14; "Data Insertion API" and "Bulk Data Insertion API" in the Analytics
//!   collection guide.

mod bulk;
mod csv;
mod dia;

pub use bulk::{COLUMNS, bulk_header, bulk_row};
pub use csv::{csv_row, not_a_formula};
pub(crate) use dia::each_tag;
pub use dia::{TAGS, dia};
