//! The buffer room.
