//! The drain room.
