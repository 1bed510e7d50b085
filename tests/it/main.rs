//! One test binary; a module per promise.

mod collection_wire;
mod dia_reader;
mod dia_rules;
mod dia_rules_of_values;
mod explain;
mod fixture;
mod golden_hits;
mod hostile_events;
mod ingest_formats;
mod order;
mod replies;
mod sandbox_rules;
mod schemas;
mod support;
mod year;
