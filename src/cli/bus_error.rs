//! SIGBUS: SQLite maps the `-shm` file beside the database into memory, and the kernel ends a process that touches a page of
//! it which the disk has no room for, or which was cut off meanwhile.
//!
//! SQLite has room reserved by writing into each page, but not on every file system; and the file is open to be truncated. The
//! fault is met here, so that the program ends with a message and a status instead of a core dump. The thread that met it
//! goes on meeting it until then. Nothing is lost: what was reported is in the write-ahead log.

use std::process;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{CliError, Failure};
use super::output::Form;

/// The number of the signal on this system.
const SIGBUS: i32 = rustix::process::Signal::BUS.as_raw();

/// Watches for the rest of the process's life.
pub(super) fn watch(form: Form) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    let mut faults = {
        let _guard = runtime.enter();
        signal(SignalKind::from_raw(SIGBUS)).map_err(CliError::Start)?
    };
    let watching = thread::Builder::new().name("bus-error".to_owned()).spawn(move || {
        runtime.block_on(faults.recv());
        let exit = form.failure(&Failure::from(CliError::Unbacked));
        process::exit(i32::from(exit.code()));
    });
    watching.map_err(CliError::Start).map(drop)
}
