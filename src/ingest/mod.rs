//! The ingest room.
