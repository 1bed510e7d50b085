//! One test binary; a module per promise.

mod collection_wire;
mod order;
mod support;
mod dia_reader;
mod dia_rules;
mod dia_rules_of_values;
mod explain;
mod fixture;
mod golden_hits;
mod hostile_events;
mod sandbox_rules;
