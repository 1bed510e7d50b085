//! Tells people of drains and of broken limits: by a ping URL, and by a command. All of it happens on a thread of its own, so
//! that nothing of it delays a drain.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant as Moment};
use std::{env, io};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::layers::VARIABLE_PREFIX;
use super::status::broken_checks;
use super::{Failure, Settings, options};
use crate::buffer::{Buffer, Told};
use crate::config::Config;
use crate::event::Instant;
use crate::harmless::few;
use crate::web::{Ping, Pinger};

/// How often the limits are compared between drains: a breach shall be told within a minute.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// The shortest time between two runs of the command. What changes meanwhile is told together.
const COMMAND_SPACING: Duration = Duration::from_secs(5 * 60);
/// How long the command may run. Mail and chat take seconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a ping is tried, and the pause between two tries: one lost packet shall wake nobody.
const PING_TRIES: u32 = 3;
const PING_PAUSE: Duration = Duration::from_secs(1);
/// The most pings that wait for a service that does not answer. The others are left out.
const PINGS_WAITING_MAX: usize = 8;
/// The most lines of a message: each has to be read by a person, and all must fit into the buffer of a pipe.
pub(super) const LINES_MAX: usize = 20;
/// How long the end of the process waits for what is still to be told.
const FAREWELL_MAX: Duration = Duration::from_secs(15);

/// Passes on what is to be told. Dropping it waits a bounded time until all is told.
pub(super) struct Notifier {
    pings: Option<SyncSender<Ping>>,
    done: Receiver<()>,
}

struct Teller {
    runtime: Runtime,
    pinger: Option<Pinger>,
    buffer: Arc<Buffer>,
    command: Vec<String>,
    current: watch::Receiver<Config>,
}

impl Notifier {
    /// `None` if nobody is to be told. Fails if the ping URL cannot be used.
    pub(super) fn start(settings: &Settings, buffer: &Arc<Buffer>) -> Result<Option<Rc<Notifier>>, Failure> {
        let pinger = pinger(settings)?;
        if pinger.is_none() && settings.config.notify.command.is_empty() {
            return Ok(None);
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::starting)?;
        let (command, current) = (settings.config.notify.command.clone(), settings.current.subscribe());
        let teller = Teller { runtime, pinger, buffer: Arc::clone(buffer), command, current };
        let (pings, waiting) = mpsc::sync_channel(PINGS_WAITING_MAX);
        let (is_done, done) = mpsc::sync_channel(1);
        let told = move || {
            teller.tell(&waiting);
            // Whoever waited has gone if this fails.
            is_done.send(()).unwrap_or_default();
        };
        thread::Builder::new().name("notify".to_owned()).spawn(told).map_err(Failure::starting)?;
        Ok(Some(Rc::new(Notifier { pings: Some(pings), done })))
    }

    /// Never waits.
    pub(super) fn send(&self, ping: Ping) {
        if self.pings.as_ref().is_some_and(|pings| pings.try_send(ping).is_err()) {
            tracing::warn!("a ping was left out: earlier ones still wait for notify.ping_url");
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.pings = None;
        if self.done.recv_timeout(FAREWELL_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("not all was told: notify.ping_url or notify.command takes too long");
        }
    }
}

/// The client of the ping URL; `None` if there is none.
pub(super) fn pinger(settings: &Settings) -> Result<Option<Pinger>, Failure> {
    let url = &settings.config.notify.ping_url.0;
    Ok((!url.is_empty()).then(|| Pinger::new(url, &options::proxy())).transpose()?)
}

impl Teller {
    /// Tells until no drain can follow. The limits are compared after each drain, and between drains.
    fn tell(&self, pings: &Receiver<Ping>) {
        loop {
            match pings.recv_timeout(CHECK_EVERY) {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.compare(),
                Ok(ping) => {
                    self.ping(&ping);
                    if ping != Ping::Start {
                        self.compare();
                    }
                }
            }
        }
    }

    fn ping(&self, ping: &Ping) {
        let Some(pinger) = &self.pinger else { return };
        for attempt in 1..=PING_TRIES {
            match self.runtime.block_on(pinger.call(ping)) {
                Ok(()) => return,
                Err(error) if attempt == PING_TRIES => {
                    let why = Failure::from(error).on_one_line();
                    tracing::warn!(
                        why,
                        "nobody was told of the drain: check notify.ping_url and the way to it"
                    );
                }
                Err(_) => thread::sleep(PING_PAUSE),
            }
        }
    }

    fn compare(&self) {
        if self.command.is_empty() {
            return;
        }
        if let Err(failure) = self.tell_changes() {
            tracing::warn!(why = failure.on_one_line(), "nobody was told whether limits are broken");
        }
    }

    /// Runs the command if limits broke or became well again since it ran last.
    fn tell_changes(&self) -> Result<(), Failure> {
        let broken: BTreeMap<String, String> =
            broken_checks(&self.buffer, &self.current.borrow().clone())?.into_iter().collect();
        let (told, now) = (self.buffer.told()?, self.buffer.now());
        let new = broken.iter().filter(|(check, _)| !told.broken.contains(*check));
        let ended = told.broken.iter().filter(|check| !broken.contains_key(*check));
        let lines = new.map(|(check, says)| format!("broken {check}: {says}"));
        let lines: Vec<String> = lines.chain(ended.map(|check| format!("ended {check}"))).collect();
        if lines.is_empty() || told.at.is_some_and(|at| is_too_soon(at, now)) {
            return Ok(());
        }
        let ran = run(&self.command, &few(lines, LINES_MAX));
        // What a command that failed should have told is told by the next one.
        let known = if ran.is_ok() { broken.into_keys().collect() } else { told.broken.clone() };
        self.buffer.set_told(told, Told { at: Some(now), broken: known })?;
        ran.map_err(|error| Failure::of_file("run", &format!("notify.command {:?}", self.command), &error))
    }
}

/// Whether the command ran a short time ago. A clock that was set back does not count.
fn is_too_soon(told_at: Instant, now: Instant) -> bool {
    told_at <= now && !told_at.is_older(now, COMMAND_SPACING)
}

/// Runs a command with these lines as its input. It gets no variable of this program, which may hold secrets.
fn run(words: &[String], lines: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(VARIABLE_PREFIX.as_bytes()) {
            command.env_remove(name);
        }
    }
    let mut child = command.spawn()?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // A command that does not read its input may know enough by being called.
    child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes())).unwrap_or_default();
    let started = Moment::now();
    while started.elapsed() < COMMAND_TIMEOUT {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("it ended with {status}"))),
            None => thread::sleep(LOOK_EVERY),
        }
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long, and was ended"))
}
