//! A thread that is joined when its owner is dropped.

use std::thread::{Builder, JoinHandle};

use super::error::ServeError;

/// A struct must declare the channel that ends the thread before a field of this type, because fields are dropped in
/// the order of their declaration.
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
            // If the thread panicked, its panic hook has printed the message already.
            drop(thread.join());
        }
    }
}
