//! One test binary; a module per promise.

mod ingest_formats;
mod schemas;
