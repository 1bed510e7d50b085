//! Writes a hit as Adobe's Data Insertion API reads it.
//!
//! - In: a [`Hit`](crate::hit::Hit). Out: the bytes of one XML document, the body of one request.
//! - Guarantees: UTF-8, well-formed, each tag at most once and none empty, no entity but XML's own; only tags of Adobe's
//!   variable reference, which [`TAGS`] lists.
//! - Does not know: events, where a value came from, HTTP.
//! - Rules: DIA-05 to DIA-20; "Data Insertion API" in the Analytics collection guide.

mod dia;

pub(crate) use dia::each_tag;
pub use dia::{TAGS, dia};
