//! `serve`: the listeners of `run` without its schedule.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::signals::{self, Hangup};
use super::{
    Context, Exit, Failure, Settings, blocking, notify, on_file, options, refused, runtime, shared, status,
};
use crate::buffer::{Buffer, BufferError, Watch};
use crate::clock::Clock;
use crate::config::{Listen, ServeConfig};
use crate::drain::Stop;
use crate::ingest::{Door, FormatChoice, IngestOptions};
use crate::serve::{Pulse, ServeOptions, Server, Show};

/// The interval of checks that the buffer still exists; a check costs microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The shortest time between two log lines about a wrong clock.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Listens for HTTP as `run` does (events, the status page, metrics), for hosts where a timer or cron starts the drains.
///
/// [serve] in the configuration says at which addresses, and who may post or look. At SIGTERM or SIGINT it waits for the requests in
/// flight, and exits 0. At SIGHUP it reads the tokens again. If the buffer is removed or replaced meanwhile, it exits 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: passbridge --config /etc/passbridge/passbridge.toml serve")]
pub(super) struct Args {}

#[derive(Debug, Serialize)]
struct ServeReport {
    stopped: &'static str,
}

pub(super) fn run(_args: &Args, context: &Context) -> Result<Exit, Failure> {
    notify::tell(notify::OPENING);
    let settings = context.settings()?;
    let file = match on_file::is_on_postgres(&settings) {
        true => None,
        false => Some(Arc::new(Buffer::open(&context.buffer_options(&settings)?)?)),
    };
    let (runtime, stop, reload) = (runtime()?, Stop::default(), Arc::new(Notify::new()));
    runtime.block_on(async { signals::listen(stop.clone(), Hangup::Reloads(Arc::clone(&reload))) })?;
    let servers = listen(&settings, file.as_ref(), context)?;
    if servers.is_empty() {
        return Err(refused(
            "serve.listen and serve.pages_listen are off",
            "set one to a port, such as \"8090\"",
        ));
    }
    let watched = file.as_ref().map(|buffer| Ok::<_, Failure>((buffer, buffer.watch()?))).transpose()?;
    notify::tell(&format!("{}\nSTATUS=listening", notify::READY));
    runtime.block_on(async {
        let rereading = async {
            loop {
                reload.notified().await;
                servers.iter().for_each(Server::reread_tokens);
            }
        };
        tokio::select! {
            _ = stop.wait() => Ok(()),
            lost = buffer_lost(watched.clone(), &context.clock) => Err(Failure::from(lost)),
            () = rereading => Ok(()),
            never = notify::keep_watchdog() => match never {},
        }
    })?;
    servers.iter().for_each(Server::close);
    drop(servers);
    if let Some((buffer, mut place)) = watched {
        buffer.look(&mut place)?;
    }
    context.answer(&ServeReport { stopped: "signal" }, "stopped")
}

/// Starts the listeners that the configuration asks for: one that takes events and one for pages, or one for both.
pub(super) fn listen(
    settings: &Settings,
    file: Option<&Arc<Buffer>>,
    context: &Context,
) -> Result<Vec<Server>, Failure> {
    check(settings)?;
    let config = &settings.config.serve;
    let ServeConfig { ingest, ref pages_tokens_file, .. } = *config;
    let start = |listen, ingest: bool, has_pages: bool| {
        let keyed = || -> Result<_, Failure> {
            let maps = options::maps(settings, "serve.map", &config.map)?;
            Ok(IngestOptions { maps, ..options::keyed_ingest(settings, FormatChoice::Auto, &context.clock)? })
        };
        let (pulse, show) = behind(file, settings, &context.clock)?;
        let storing = || -> Result<Arc<dyn Door + Send + Sync>, Failure> {
            Ok(match file {
                Some(buffer) => Arc::clone(buffer) as Arc<dyn Door + Send + Sync>,
                None => Arc::new(shared::door(settings)?),
            })
        };
        let options = ServeOptions {
            listen,
            ingest: if ingest { Some((keyed()?, storing()?)) } else { None },
            pulse,
            show: Some(show),
            has_pages,
            config: config.clone(),
            stop_grace: Duration::from_secs(settings.config.delivery.stop_grace_seconds),
            clock: context.clock.clone(),
        };
        let server = Server::start(options)?;
        tracing::info!(address = %server.address(), ingest, pages = has_pages, "listening");
        Ok::<_, Failure>(server)
    };
    let mut servers = Vec::new();
    if let Listen::At(address) = config.listen {
        // Other hosts that may post must not see all figures without a token for pages.
        let is_private = address.ip().is_loopback() || !pages_tokens_file.as_os_str().is_empty();
        servers.push(start(address, ingest, is_private && config.pages_listen == Listen::Off)?);
    }
    if let Listen::At(address) = config.pages_listen {
        servers.push(start(address, false, true)?);
    }
    Ok(servers)
}

/// What a listener needs to look at the buffer: the health check, and the function that makes the views.
fn behind(file: Option<&Arc<Buffer>>, settings: &Settings, clock: &Clock) -> Result<(Pulse, Show), Failure> {
    match file {
        Some(buffer) => {
            let pulse = buffer.pulse()?;
            let pulse = move || pulse.look().map_err(|error| Failure::from(error).on_one_line());
            Ok((Box::new(pulse), status::show(buffer, settings)))
        }
        None => {
            let address = shared::address(settings)?;
            let pulse = move || shared::look(&address).map_err(|failure| failure.on_one_line());
            Ok((Box::new(pulse), status::show_shared(settings, clock.clone())?))
        }
    }
}

/// Fails if events could be posted nowhere, or by anybody.
pub(super) fn check(settings: &Settings) -> Result<(), Failure> {
    let ServeConfig { listen, ingest, ref tokens_file, .. } = settings.config.serve;
    if ingest && listen == Listen::Off {
        return Err(refused(
            "serve.ingest is true, and serve.listen is off",
            "set serve.listen to a port, such as \"8090\"",
        ));
    }
    if ingest && tokens_file.as_os_str().is_empty() {
        return Err(refused(
            "serve.ingest is true without serve.tokens_file: anybody could post",
            "name a file of tokens there, one a line, such as: head -c 32 /dev/urandom | base64",
        ));
    }
    Ok(())
}

/// Waits until a buffer in a file is no longer at its path or was overwritten: records in a deleted file are lost.
/// Meanwhile, logs if the clock is so wrong that no drain comes due.
pub(super) async fn buffer_lost(mut watched: Option<(&Arc<Buffer>, Watch)>, clock: &Clock) -> BufferError {
    let mut told_at: Option<tokio::time::Instant> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some((buffer, place)) = &mut watched {
            let (looking, mut looked) = (Arc::clone(buffer), place.clone());
            let found = blocking(move || looking.look(&mut looked).map(|()| looked)).await;
            match found {
                Ok(looked) => *place = looked,
                Err(lost) => return lost,
            }
        }
        match clock.check() {
            Ok(()) => told_at = None,
            Err(error) if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) => {
                tracing::error!(%error, "no drain comes due until the clock of this host is set");
                told_at = Some(tokio::time::Instant::now());
            }
            Err(_) => {}
        }
    }
}
