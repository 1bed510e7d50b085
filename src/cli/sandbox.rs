//! `sandbox`: a local replacement for Adobe's endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, Exit, Failure, runtime};
use crate::config::LogConfig;
use crate::sandbox::{
    FAULT_SYNTAX, FaultPlan, Sandbox, SandboxOptions, SuiteSettings, SyntaxError, WRONG_SYNTAX, WrongSetting,
};
use crate::suite::Rsid;

const SUITES: &str = include_str!("help/sandbox.txt").trim_ascii_end();

/// Runs a local stand-in for Adobe's endpoints, for rehearsal and tests, until it is stopped.
///
/// It speaks the Data Insertion API and the Bulk Data Insertion API as Adobe documents them, enforces the documented rules, counts what Analytics would count,
/// and shows the counts through the Analytics 2.0 API. It listens on this host only, keeps everything in memory, and forgets it when it ends.
#[derive(Debug, clap::Args)]
// The table of faults has lines of up to 126 characters, which must not wrap.
#[command(term_width = 126, after_help = SUITES, after_long_help = format!("{SUITES}\n\n{WRONG_SYNTAX}\n\n{FAULT_SYNTAX}"))]
pub(super) struct Args {
    /// The loopback address to listen at; port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A suite that exists, with its settings.
    #[arg(long = "suite", value_name = "SUITE", value_parser = suite)]
    suites: Vec<(Rsid, SuiteSettings)>,
    /// A setting of a suite that is wrong: see --help.
    #[arg(long, value_name = "RSID:SETTING", value_parser = wrong)]
    wrong: Vec<(Rsid, WrongSetting)>,
    /// Forget the hits of every other suite, as Adobe does, instead of counting them.
    #[arg(long)]
    only_these: bool,
    /// Answer a request that breaks a rule with FAILURE and the rule, instead of accepting what Adobe accepts.
    #[arg(long)]
    strict: bool,
    /// The faults: see --help.
    #[arg(long, value_name = "FAULTS")]
    faults: Option<FaultPlan>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    super::log::start(&LogConfig::default());
    let mut wrong: BTreeMap<Rsid, Vec<WrongSetting>> = BTreeMap::new();
    for (rsid, setting) in &args.wrong {
        wrong.entry(rsid.clone()).or_default().push(setting.clone());
    }
    let options = SandboxOptions {
        address: args.listen,
        wrong,
        is_strict: args.strict,
        suites: args.suites.iter().cloned().collect(),
        forgets_unknown_suites: args.only_these,
        faults: args.faults.clone().unwrap_or_default(),
        clock: context.clock.clone(),
        ..SandboxOptions::default()
    };
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::starting)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::starting)?;
        let sandbox = Sandbox::start(options)?;
        let url = sandbox.url();
        let text = format!(
            "\
listening at {url}
  passbridge suite add --requestor ID --rsid RSID --collection-url {url}
  curl {url}/sandbox/summary"
        );
        context.answer(&json!({ "url": url }), text)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(sandbox);
        Ok(Exit::Done)
    })
}

fn suite(text: &str) -> Result<(Rsid, SuiteSettings), String> {
    let (rsid, settings) = text.split_once(':').unwrap_or((text, ""));
    let rsid: Rsid = rsid.parse().map_err(|error: crate::suite::SuiteError| error.to_string())?;
    let mut object = serde_json::Map::new();
    for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting:?} is no KEY=VALUE"))?;
        object.insert(key.to_owned(), value.into());
    }
    let settings = serde_json::from_value(object.into()).map_err(|error| error.to_string())?;
    Ok((rsid, settings))
}

fn wrong(text: &str) -> Result<(Rsid, WrongSetting), String> {
    let (rsid, setting) = text.split_once(':').ok_or_else(|| format!("{text:?} is no RSID:SETTING"))?;
    let rsid: Rsid = rsid.parse().map_err(|error: crate::suite::SuiteError| error.to_string())?;
    let setting: WrongSetting = setting.parse().map_err(|error: SyntaxError| error.to_string())?;
    Ok((rsid, setting))
}
