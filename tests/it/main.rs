//! One test binary; a module per promise.

mod collection_wire;
mod order;
mod replies;
mod support;
mod year;
