//! The context of a command: global options, the clock, and ways to print and to open the buffer.

use std::fmt::Display;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{fs, io};

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use super::exit::Exit;
use super::failure::{Ended, Failure, refused};
use super::log;
use super::on_file;
use super::output::{self, Form};
use super::settings::{self, Settings};
use super::signals::{self, Hangup};
use crate::buffer::{Buffer, BufferOptions};
use crate::clock::Clock;
use crate::drain::Stop;
use crate::mapping;
use crate::whole_file::{folder, may_be_replaced, warn_if_open};

/// Whether the warnings about the configuration were logged.
static WARNED: Once = Once::new();

pub(super) struct Context {
    pub(super) config: Option<PathBuf>,
    pub(super) form: Form,
    pub(super) clock: Clock,
}

impl Context {
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let path = settings::find(self.config.as_deref())?;
        let settings = settings::read(&path)?;
        log::start(&settings.config.log);
        // A command may read its settings more than once.
        WARNED.call_once(|| {
            settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            if settings.has_secret {
                warn_if_open(&path);
            }
        });
        Ok(settings)
    }

    /// Fails if the buffer is on PostgreSQL: commands that open a file do not work there yet.
    pub(super) fn buffer_options(&self, settings: &Settings) -> Result<BufferOptions, Failure> {
        on_file::refuse(settings)?;
        Ok(BufferOptions {
            path: settings.config.buffer.path.clone(),
            allow_network_filesystem: settings.config.buffer.allow_network_filesystem,
            clock: self.clock.clone(),
            measure: mapping::measure,
        })
    }

    pub(super) fn open(&self) -> Result<(Settings, Buffer), Failure> {
        let settings = self.settings()?;
        let buffer = Buffer::open(&self.buffer_options(&settings)?)?;
        Ok((settings, buffer))
    }

    pub(super) fn done(&self, report: &(impl Display + Serialize)) -> Result<Exit, Failure> {
        self.ended(report, None, Exit::Done)
    }

    /// Prints a report, and ends with the failure if there is one.
    pub(super) fn ended(
        &self,
        report: &(impl Display + Serialize),
        failure: Option<Failure>,
        exit: Exit,
    ) -> Ended {
        match self.form {
            Form::Text => self.form.report(report)?,
            Form::Json => output::document(&Partial { report, failure: failure.as_ref() })?,
        }
        failure.map_or(Ok(exit), Err)
    }

    /// Prints a short result: the text for people, or the document for programs.
    pub(super) fn answer(&self, document: &impl Serialize, text: impl Display) -> Result<Exit, Failure> {
        self.form.answer(document, text)?;
        Ok(Exit::Done)
    }
}

/// Fails if an output must not have this path. It must not replace a database, a needed file (such as the
/// configuration) or something that is no file. It must not be in a folder of the program's own, or in a folder that
/// would stand where a needed file belongs. Nor may its name be one of those that the program deletes.
pub(super) fn may_replace(settings: &Settings, path: &Path) -> Result<(), Failure> {
    let refuse = |why: &str| refused(format!("cannot write {path:?}: {why}"), "name another file");
    may_be_replaced(path).map_err(|error| refuse(&error.to_string()))?;
    let named = |path: &Path| Some(resolved(folder(path))?.join(path.file_name()?));
    let output = named(path);
    let inside = output.as_deref().and_then(Path::parent);
    let is_own = |own: &Path, folder: Option<&Path>| folder.is_some() && resolved(own).as_deref() == folder;
    let (rejects, bulk) = (&settings.config.ingest.rejects_dir, &settings.config.bulk.dir);
    // Each backfill has a folder of its own in the folder of bulk files.
    if is_own(rejects, inside) || is_own(bulk, inside) || is_own(bulk, inside.and_then(Path::parent)) {
        return Err(refuse("it is in a folder of the program's own, of rejects or of bulk files"));
    }
    let buffer = fs::canonicalize(&settings.config.buffer.path).unwrap_or_default();
    let mut needed = settings.files.iter().cloned().chain(Buffer::side_files(&buffer));
    let is_at =
        |file: Option<PathBuf>| file.is_some() && [output.as_deref(), inside].contains(&file.as_deref());
    if needed.any(|file| is_at(named(&file)) || is_at(fs::canonicalize(&file).ok())) {
        return Err(refuse("it is the configuration, a file that this names, or one of the buffer's"));
    }
    let is_unfinished = path.extension().is_some_and(|end| end == "partial" || end == "forgetting");
    if is_unfinished || output.is_some_and(|output| Buffer::is_copy_name(&buffer, &output)) {
        return Err(refuse("unfinished files and copies of the buffer have such names, and are deleted"));
    }
    Ok(())
}

/// A path without links, although its last parts may not exist.
fn resolved(path: &Path) -> Option<PathBuf> {
    let below = |above: PathBuf| match path.file_name() {
        Some(name) => Some(above.join(name)),
        // A path that ends with `..` has no last name.
        None => above.parent().map(Path::to_owned),
    };
    fs::canonicalize(path).ok().or_else(|| below(resolved(folder(path))?))
}

/// The report of a command as JSON. If a part of its work failed, the report has the reason.
#[derive(Serialize)]
struct Partial<'a, R> {
    #[serde(flatten)]
    report: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
}

/// The runtime of a command. It has one thread: sending a hit takes microseconds and the buffer has its own thread,
/// so passing work to a second thread would cost more time than it saves.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    spare_files().map_err(Failure::starting)?;
    Builder::new_current_thread().enable_all().build().map_err(Failure::starting)
}

/// Fails if this process may not open the files of a runtime: tokio panics without the sockets for its signals.
pub(super) fn spare_files() -> io::Result<()> {
    [(); 3].map(|()| UnixStream::pair()).into_iter().collect::<io::Result<Vec<_>>>().map(drop)
}

/// Runs work, and asks it for a stop at the first signal.
pub(super) fn until_stopped<T>(work: impl AsyncFnOnce(Stop) -> Result<T, Failure>) -> Result<T, Failure> {
    runtime()?.block_on(async {
        let stop = Stop::default();
        signals::listen(stop.clone(), Hangup::Stops)?;
        work(stop).await
    })
}

/// Does work until it is done or a signal comes. A file that was being written is removed after a signal.
pub(super) fn unless_stopped<T, E: Into<Failure>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    until_stopped(async |stop| {
        tokio::select! {
            done = work => done.map_err(E::into),
            _ = stop.wait() => Err(Failure::stopped()),
        }
    })
}

/// Does short work to its end, even if a signal comes: an incomplete file would disturb the next run.
pub(super) fn undisturbed<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    until_stopped(async |_| Ok(work()))
}

/// Does blocking work on another thread, so that signals are handled meanwhile.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
