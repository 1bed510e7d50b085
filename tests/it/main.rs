//! One test binary; a module per promise.

mod dia_reader;
mod dia_rules;
mod dia_rules_of_values;
mod explain;
mod fixture;
mod golden_hits;
mod hostile_events;
