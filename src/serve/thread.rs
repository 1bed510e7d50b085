//! A thread that ends with its owner.

use std::thread::{Builder, JoinHandle};

use super::error::ServeError;

/// A thread that is waited for when this is dropped. Its owner declares what tells it to end before it, so that this is dropped
/// first.
#[derive(Debug)]
pub(super) struct Thread(Option<JoinHandle<()>>);

impl Thread {
    pub(super) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Thread, ServeError> {
        let thread = Builder::new().name(name.to_owned()).spawn(work).map_err(ServeError::Thread)?;
        Ok(Thread(Some(thread)))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic of the thread was printed by its own hook; there is nothing to add while dropping.
            drop(thread.join());
        }
    }
}
