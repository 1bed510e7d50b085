//! The health check: tells if the buffer answers.

use std::error::Error;
use std::time::Duration;

use super::error::ServeError;
use super::looks::Looks;
use crate::buffer::{Buffer, BufferError, Pulse};

/// The longest time that the buffer may take to answer; it is shorter than the time-out of usual monitors.
const WITHIN: Duration = Duration::from_secs(4);

/// Checks the buffer with its own thread and database connection, both opened at the start. So the check also works
/// when senders use all threads and files.
pub(super) struct Health(Looks<(), bool>);

impl Health {
    pub(super) fn start(buffer: &Buffer) -> Result<Health, ServeError> {
        let pulse = buffer.pulse()?;
        Ok(Health(Looks::start("health", move |()| is_good(&pulse))?))
    }

    pub(super) async fn is_good(&self) -> bool {
        self.0.ask((), WITHIN).await == Some(true)
    }
}

fn is_good(pulse: &Pulse) -> bool {
    let tell =
        |error: &BufferError| tracing::error!(error = error as &dyn Error, "the buffer does not answer");
    pulse.look().inspect_err(tell).is_ok()
}
