//! The health check: tells if the buffer answers.

use std::time::Duration;

use super::error::ServeError;
use super::looks::Looks;

/// The longest time that the buffer may take to answer; it is shorter than the time-out of usual monitors.
const WITHIN: Duration = Duration::from_secs(4);

/// Checks whether the buffer answers, on a connection of its own. The error is for the log.
pub type Pulse = Box<dyn Fn() -> Result<(), String> + Send>;

/// Checks the buffer with its own thread and database connection, both opened at the start. So the check also works
/// when senders use all threads and files.
pub(super) struct Health(Looks<(), bool>);

impl Health {
    pub(super) fn start(pulse: Pulse) -> Result<Health, ServeError> {
        Ok(Health(Looks::start("health", move |()| is_good(&pulse))?))
    }

    pub(super) async fn is_good(&self) -> bool {
        self.0.ask((), WITHIN).await == Some(true)
    }
}

fn is_good(pulse: &Pulse) -> bool {
    let tell = |error: &String| tracing::error!(error, "the buffer does not answer");
    pulse().inspect_err(tell).is_ok()
}
