//! passbridge carries server-side events of Adobe Pass Authentication into Adobe Analytics, each exactly once.
//!
//! ```text
//! files, stdin, exchange logs, HAR, ESM reports, inbox, HTTP collector
//!       |  ingest     parse, validate, give every event an identity, reject bad lines with a reason
//!       v
//! buffer (database)   every event exactly once, in one of a few states; nothing leaves without a record
//!       |  drain      pending events in time order -> lanes; the events of one visitor stay in order
//!       v
//! mapping             PassEvent -> Hit: the fixed table, identity, timestamp, sanitised values
//!       |  encode     Hit -> DIA XML, or a row of a bulk file
//!       v
//! collection          one hit a request; the reply is classified
//!       |  record     delivered / rejected / retry / ambiguous, in batched transactions
//!       v
//! ledger              runs, dead letters, the accounting identity
//! ```
//!
//! A room is a file or folder of `src`. It imports from lower floors, with a few exceptions in `tests/tidy`:
//!
//! ```text
//! 4  cli                                                      arguments in; text or JSON and an exit code out
//! 3  ingest  drain  backfill  schedule  explain  serve          uses the rooms below
//!    report  onboarding  reconcile  workers
//! 2  buffer  postgres (all SQL)  collection (hits by DIA)      uses files and the network
//!    analytics  esm  web  whole_file
//! 1  readers (bytes -> events)   mapping   encode   html       pure functions
//! 0  event  hit  suite  confirmation  delivery  job           shared types
//!    config  clock  word  harmless  meter
//! -  sandbox                                                  imports floor 0; imported by cli and tests only
//! ```
//!
//! Start with [`event`], then [`mapping`], then [`drain`]. `docs/architecture.md` follows one event through the
//! rooms, and says where to change what.

pub mod clock;
pub mod config;
pub mod confirmation;
pub mod delivery;
pub mod event;
pub mod harmless;
pub mod hit;
pub mod job;
pub mod meter;
pub mod suite;
pub mod word;

pub mod encode;
pub mod html;
pub mod mapping;
pub mod readers;

pub mod analytics;
pub mod buffer;
pub mod collection;
pub mod esm;
pub mod postgres;
pub mod web;
pub mod whole_file;

pub mod backfill;
pub mod drain;
pub mod explain;
pub mod ingest;
pub mod onboarding;
pub mod reconcile;
pub mod report;
pub mod schedule;
pub mod serve;
pub mod workers;

pub mod cli;
pub mod sandbox;
