//! One test binary; a module per promise.

mod bulk_rows;
mod cli_output;
mod collection_wire;
mod crash;
mod deploy;
mod dia_reader;
mod dia_rules;
mod dia_rules_of_values;
mod esm;
mod exit_codes;
mod explain;
mod fixture;
mod golden_hits;
mod hostile_events;
mod ingest_formats;
mod order;
mod privacy;
mod program;
mod readme;
mod replies;
mod rest_v2;
mod sandbox_rules;
mod schemas;
mod serve;
mod support;
mod year;
