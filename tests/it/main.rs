//! One test binary; a module per promise.

mod sandbox_rules;
