//! The encode room.
