//! SIGBUS: SQLite maps the `-shm` file beside the database into memory, and the kernel ends a process that touches a page of
//! it which the disk has no room for, or which was cut off meanwhile.
//!
//! SQLite has room reserved by writing into each page, but not on every file system (blocks of 1 KiB are enough); and the file
//! is open to be truncated. The fault is met here, so that the program ends with a message and a status instead of a core
//! dump. Nothing is lost: what was reported is in the write-ahead log.

use std::mem;
use std::sync::OnceLock;

use super::code::Code;
use super::failure::Failure;
use super::output::Form;

/// What is written when it comes, with the file that it goes to: the handler may not even allocate.
static LAST_WORDS: OnceLock<Vec<(i32, String)>> = OnceLock::new();

/// Handles SIGBUS until the process ends.
#[expect(
    unsafe_code,
    reason = "the handlers of safe crates run behind that of the standard library, which has the signal kill the process"
)]
pub(super) fn watch(form: Form) -> Result<(), Failure> {
    let failure = Failure::of(
        "the -shm file beside the buffer has no room on its disk, or was truncated",
        None,
        Code::Unbacked.failed(
            "free some disk, then run it again: what was reported is stored, and what was in flight is in doubt",
        ),
    );
    let mut words = vec![(libc::STDERR_FILENO, format!("{failure}\n"))];
    if form == Form::Json {
        let document = serde_json::to_string(&failure).expect("texts always serialise");
        words.push((libc::STDOUT_FILENO, format!("{document}\n")));
    }
    LAST_WORDS.get_or_init(|| words);
    // SAFETY: a zeroed sigaction is one without flags and with an empty mask; the handler only does what signal-safety(7)
    // allows: it reads what was written before it was installed, and calls write and _exit.
    let installed = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = end as *const () as usize;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    if installed == 0 { Ok(()) } else { Err(Failure::starting(std::io::Error::last_os_error())) }
}

#[expect(unsafe_code, reason = "see `watch`")]
extern "C" fn end(_: libc::c_int) {
    for (file, text) in LAST_WORDS.get().into_iter().flatten() {
        // SAFETY: the text outlives the call.
        unsafe { libc::write(*file, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: it ends the process, and runs nothing more of it.
    unsafe { libc::_exit(1) }
}
