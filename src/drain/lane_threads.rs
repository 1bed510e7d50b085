//! The threads that run the lanes. A lane stays on its thread, and so do its requests.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads with a runtime each. A thread ends when its sender is dropped.
pub(super) struct LaneThreads(Vec<(Handle, oneshot::Sender<()>)>);

impl LaneThreads {
    pub(super) fn start(threads: usize) -> io::Result<LaneThreads> {
        let start = |_| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
            let work = move || {
                drop(runtime.block_on(ended));
                // The end of the run must not wait for the look-up of a name that nobody needs any more.
                runtime.shutdown_background();
            };
            thread::Builder::new().name("lanes".to_owned()).spawn(work)?;
            Ok((handle, end))
        };
        (0..threads.max(1)).map(start).collect::<io::Result<_>>().map(LaneThreads)
    }

    pub(super) fn of_lane(&self, number: usize) -> &Handle {
        &self.0[number % self.0.len()].0
    }
}
