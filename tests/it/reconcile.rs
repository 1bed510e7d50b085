//! What ESM counted, what the buffer holds and what Analytics reports are compared, and every difference is found and explained.

mod cli;
mod planted;
mod states;
mod suites;
mod world;
mod zones;
