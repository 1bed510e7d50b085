//! The SQLite file of a buffer: how it is opened, copied and locked.

mod copy;
mod holder;
mod lock;
mod log_lock;
mod open;
mod place;

pub(super) use copy::{check, copy, finish};
pub use holder::{Holder, name_command};
pub(super) use holder::{maker, mark, users};
pub(super) use lock::{BACKFILL, DRAIN, LOCKS, backfill, drain, holder, whole};
pub use lock::{BackfillLock, DrainLock, LockWatch, WholeLock};
pub use open::{BufferOptions, known_schema, schema};
pub(super) use open::{
    MIGRATION_COPY, create, glance, migration_copy, open, open_reader, refuse_network_filesystem,
    remove_if_there, schema_version,
};
pub(super) use place::{Place, SIDE_FILES, open_immutable};
