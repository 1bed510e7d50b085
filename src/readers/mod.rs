//! The readers room.
