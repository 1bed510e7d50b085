//! Tells people of drains and of broken limits, by a ping URL and a command, in a thread of its own: no drain waits.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant as Moment};
use std::{env, io};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::layers::VARIABLE_PREFIX;
use super::status::broken_checks;
use super::{Failure, Settings, options};
use crate::buffer::{Buffer, Told};
use crate::config::Config;
use crate::harmless::few;
use crate::web::{Ping, Pinger};

/// How often the limits are checked between drains, so that people are told of a breach within a minute.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// The shortest time between two runs of the command. Changes in between are told together.
const COMMAND_SPACING: Duration = Duration::from_secs(5 * 60);
/// How long the command may run. Mail and chat take seconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to check whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many times a ping is tried, and the pause between two tries: one lost packet must not raise an alarm.
const PING_TRIES: u32 = 3;
const PING_PAUSE: Duration = Duration::from_secs(1);
/// The most pings that wait for a service that does not answer. The others are left out.
const PINGS_WAITING_MAX: usize = 8;
/// The most lines of a message: each has to be read by a person, and all must fit into the buffer of a pipe.
pub(super) const LINES_MAX: usize = 20;
/// How long the process waits at its end for notices that are still to be sent.
const FAREWELL_MAX: Duration = Duration::from_secs(15);
/// The process group of the running command; 0 while no command runs.
static COMMAND: AtomicI32 = AtomicI32::new(0);

/// Passes pings to the thread that sends them. A drop waits, for a bounded time, until all notices are sent.
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
            // If this fails, nobody waits any more.
            is_done.send(()).unwrap_or_default();
        };
        thread::Builder::new().name("notify".to_owned()).spawn(told).map_err(Failure::starting)?;
        Ok(Some(Rc::new(Notifier { pings: Some(pings), done })))
    }

    /// Does not wait: if too many pings are waiting, this one is left out.
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
            end_command();
        }
    }
}

/// The client of the ping URL; `None` if there is none.
pub(super) fn pinger(settings: &Settings) -> Result<Option<Pinger>, Failure> {
    let url = &settings.config.notify.ping_url.0;
    Ok((!url.is_empty()).then(|| Pinger::new(url, &options::proxy())).transpose()?)
}

impl Teller {
    /// Works until the `Notifier` is dropped. The limits are checked after each drain, and between drains.
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
                    tracing::warn!(why, "nobody was told of the drain: check notify.ping_url and its host");
                }
                Err(_) => thread::sleep(PING_PAUSE),
            }
        }
    }

    fn compare(&self) {
        if !self.command.is_empty()
            && let Err(failure) = self.tell_changes()
        {
            tracing::warn!(why = failure.on_one_line(), "nobody was told whether limits are broken");
        }
    }

    /// Runs the command if the limits that are broken now are not those that its last run told.
    fn tell_changes(&self) -> Result<(), Failure> {
        let broken: BTreeMap<String, String> =
            broken_checks(&self.buffer, &self.current.borrow().clone())?.into_iter().collect();
        let (told, now) = (self.buffer.told()?, self.buffer.now());
        let new = broken.iter().filter(|(check, _)| !told.broken.contains(*check));
        let ended = told.broken.iter().filter(|check| !broken.contains_key(*check));
        let lines = new.map(|(check, says)| format!("broken {check}: {says}"));
        let lines: Vec<String> = lines.chain(ended.map(|check| format!("ended {check}"))).collect();
        // If the clock was set back, `told.at` may lie in the future. It does not count then.
        if lines.is_empty() || told.at.is_some_and(|at| at <= now && !at.is_older(now, COMMAND_SPACING)) {
            return Ok(());
        }
        // The run is recorded before it starts, so that a command that hangs is not started again at once. If the
        // command fails, its next run tells the same changes.
        let begun = Told { at: Some(now), ..told.clone() };
        self.buffer.set_told(told, begun.clone())?;
        let named = format!("notify.command {:?}", self.command);
        run(&self.command, &few(lines, LINES_MAX))
            .map_err(|error| Failure::of_file("run", &named, &error))?;
        Ok(self.buffer.set_told(begun, Told { at: Some(now), broken: broken.into_keys().collect() })?)
    }
}

/// Ends the command that was started last, and all processes of its group.
fn end_command() {
    if let Some(group) = Pid::from_raw(COMMAND.swap(0, Relaxed)) {
        // If there is no such group, the command has ended by itself.
        kill_process_group(group, Signal::KILL).unwrap_or_default();
    }
}

/// Runs a command with these lines as its input, but without the variables of this program, which may hold secrets.
fn run(words: &[String], lines: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(VARIABLE_PREFIX.as_bytes()) {
            command.env_remove(name);
        }
    }
    let mut child = command.process_group(0).spawn()?;
    COMMAND.store(child.id().cast_signed(), Relaxed);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // A command need not read its input: for some, the call alone says enough.
    child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes())).unwrap_or_default();
    let started = Moment::now();
    while started.elapsed() < COMMAND_TIMEOUT {
        if let Some(status) = child.try_wait()? {
            COMMAND.store(0, Relaxed);
            let failed = || Err(io::Error::other(format!("it ended with {status}")));
            return if status.success() { Ok(()) } else { failed() };
        }
        thread::sleep(LOOK_EVERY);
    }
    end_command();
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long, and was ended"))
}
