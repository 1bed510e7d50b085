//! The schedule room.
