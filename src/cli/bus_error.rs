//! Handles SIGBUS, and ignores SIGXFSZ so that a write above a limit of file size (`ulimit -f`) fails instead of
//! killing the process. SQLite maps the `-shm` file beside the database into memory. The kernel sends SIGBUS to a
//! process that touches a page of this file for which the disk has no space, or which another program has cut off.
//!
//! SQLite reserves the space by writing to each page, but on some file systems (with blocks of 1 KiB, for example)
//! this is not enough; and other programs can truncate the file. The handler ends the program with a message and a
//! status instead of a core dump. No event is lost, because reported work is in the write-ahead log.

use std::mem;
use std::sync::OnceLock;

use super::code::Code;
use super::failure::Failure;
use super::output::Form;

/// The messages and the files to write them to, prepared in advance because a signal handler must not allocate.
static LAST_WORDS: OnceLock<Vec<(i32, String)>> = OnceLock::new();

/// Handles SIGBUS and ignores SIGXFSZ until the process ends.
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
    // SAFETY: a zeroed sigaction has no flags and an empty mask. The handler does only what signal-safety(7)
    // allows: it calls write and _exit, and reads data that was written before the calls below.
    let installed = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        action.sa_sigaction = end as *const () as usize;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
    };
    if installed == 0 { Ok(()) } else { Err(Failure::starting(std::io::Error::last_os_error())) }
}

#[expect(unsafe_code, reason = "see `watch`")]
extern "C" fn end(_: libc::c_int) {
    for (file, text) in LAST_WORDS.get().into_iter().flatten() {
        // SAFETY: the text is static, so it is valid during the call.
        unsafe { libc::write(*file, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: _exit ends the process without running other code.
    unsafe { libc::_exit(1) }
}
