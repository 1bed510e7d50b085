//! What `deploy/` ships runs as its host runs it: exactly these commands, an empty environment, the working directory `/`.
//!
//! Five paths of a host are put into a temporary folder, and nothing else is changed:
//!
//! ```text
//! /usr/local/bin/passbridge      the program that was built
//! /etc/passbridge/               <folder>/etc/
//! /var/lib/passbridge/           <folder>/var/
//! /var/backups/passbridge        <folder>/backups
//! /var/spool/passbridge          <folder>/spool
//! ```

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use passbridge::config::Config;
use passbridge::sandbox::Handle;
use rusqlite::Connection;
use rustix::process::Signal;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::program::{Done, done, lines, send};
use crate::support::{PATIENCE, sandbox};

const CONFIG: &str = "/etc/passbridge/passbridge.toml";

/// A host on which passbridge is set up as the comment of `passbridge.service` says.
struct Host {
    dir: TempDir,
}

impl Host {
    /// Sets it up; `more` is appended to the shipped configuration.
    fn new(more: &str) -> Host {
        let host = Host { dir: TempDir::new().expect("a temporary folder") };
        for folder in ["etc", "var", "backups", "spool"] {
            fs::create_dir(host.dir.path().join(folder)).expect("a folder");
        }
        let config = host.place(&format!("{}\n{more}", shipped("passbridge.toml")));
        fs::write(host.place(CONFIG), config).expect("the configuration is written");
        assert_eq!(host.run(&format!("/usr/local/bin/passbridge --config {CONFIG} init")).code, 0);
        host
    }

    /// Puts the paths of a host into the folder.
    fn place(&self, text: &str) -> String {
        let folder = self.dir.path().to_str().expect("UTF-8");
        text.replace("/usr/local/bin/passbridge", env!("CARGO_BIN_EXE_passbridge"))
            .replace("/etc/passbridge/", &format!("{folder}/etc/"))
            .replace("/var/lib/passbridge/", &format!("{folder}/var/"))
            .replace("/var/backups/passbridge", &format!("{folder}/backups"))
            .replace("/var/spool/passbridge", &format!("{folder}/spool"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().current_dir("/").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// As systemd does: words, no shell.
    fn run(&self, line: &str) -> Done {
        let line = self.place(line);
        done(self.command(&line.split(' ').collect::<Vec<_>>()))
    }

    /// As cron does: a shell.
    fn shell(&self, line: &str) -> Done {
        done(self.command(&["/bin/sh", "-c", &self.place(line)]))
    }

    /// Three events that wait, and a suite for them.
    fn with_events(self, sandbox: &Handle) -> Host {
        let file = self.dir.path().join("events.ndjson");
        fs::write(&file, lines(3)).expect("a file is written");
        let passbridge = format!("/usr/local/bin/passbridge --config {CONFIG}");
        let add = "suite add --requestor REF30 --rsid examplersid --collection-url";
        assert_eq!(self.run(&format!("{passbridge} {add} {}", sandbox.url())).code, 0);
        assert_eq!(self.run(&format!("{passbridge} ingest {}", file.display())).code, 0);
        self
    }

    /// Has the events come in so many hours earlier.
    fn hours_ago(self, hours: i64) -> Host {
        let buffer = Connection::open(self.place("/var/lib/passbridge/passbridge.db")).expect("SQLite");
        buffer.execute("UPDATE arrivals SET at = at - ?1 * 3600000000000", [hours]).expect("an update");
        self
    }
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name))
        .expect("a shipped file")
}

/// The values of a key in a unit.
fn unit(name: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}=");
    let text = shipped(name);
    let values = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    // systemd looks for a program without a folder in those of the host.
    let placed = |value: &str| value.replacen("passbridge --config", "/usr/local/bin/passbridge --config", 1);
    values.map(placed).collect()
}

/// The lines of the cron file: five fields of time, the user, the command.
fn cron_lines() -> Vec<(String, String, String)> {
    let text = shipped("passbridge.cron");
    let jobs = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    jobs.map(|line| {
        let mut fields = line.split("  ").map(str::to_owned);
        let mut next = || fields.next().expect("time, user and command, two spaces between them");
        (next(), next(), next())
    })
    .collect()
}

#[test]
fn the_service_of_run_drains_and_stops_cleanly() {
    let sandbox = sandbox("");
    let host = Host::new("[schedule]\ncron = \"* * * * * *\"\n").with_events(&sandbox);
    let [line] = &unit("passbridge.service", "ExecStart")[..] else { panic!("one ExecStart") };
    let line = host.place(line);
    let mut command = host.command(&line.split(' ').collect::<Vec<_>>());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    assert!(sandbox.wait_accepted(3, PATIENCE), "nothing was sent");
    send(&child, Signal::TERM);
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(0));
}

#[test]
fn the_service_of_the_timer_drains_once() {
    let sandbox = sandbox("");
    let host = Host::new("").with_events(&sandbox);
    let [line] = &unit("passbridge-drain.service", "ExecStart")[..] else { panic!("one ExecStart") };
    assert_eq!(host.run(line).code, 0);
    assert_eq!(sandbox.counted("examplersid")[6], 3);
}

#[test]
fn the_units_of_the_spool_and_of_backups_run_as_installed() {
    let host = Host::new("");
    fs::write(host.place("/var/spool/passbridge/events.ndjson"), lines(3)).expect("a file is written");
    let [line] = &unit("passbridge-spool.service", "ExecStart")[..] else { panic!("one ExecStart") };
    assert_eq!(host.run(line).code, 0);
    assert!(Path::new(&host.place("/var/spool/passbridge/done/events.ndjson")).exists());
    let [line] = &unit("passbridge-backup.service", "ExecStart")[..] else { panic!("one ExecStart") };
    let done = host.run(line);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::read_dir(host.place("/var/backups/passbridge")).expect("a folder").count(), 1);
}

#[test]
fn the_unit_of_a_backfill_runs_what_was_planned() {
    let sandbox = sandbox("");
    let host = Host::new("").with_events(&sandbox);
    let text = shipped("passbridge-backfill@.service");
    let file = host.dir.path().join("history.ndjson");
    fs::write(&file, lines(8)).expect("a file is written");
    let plan = text.lines().find_map(|line| line.strip_prefix("#   runuser -u passbridge -- passbridge"));
    let plan = format!("/usr/local/bin/passbridge{}", plan.expect("a plan"));
    assert_eq!(host.run(&plan.replace("/srv/archive/*.gz", file.to_str().expect("UTF-8"))).code, 0);
    let [line] = &unit("passbridge-backfill@.service", "ExecStart")[..] else { panic!("one ExecStart") };
    let done = host.run(&line.replace("%i", "y2025"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(sandbox.accepted_count(), 5, "three of the eight wait for a live drain");
    assert_eq!(unit("passbridge-backfill@.service", "SuccessExitStatus"), ["3 4"]);
}

#[test]
fn the_cron_file_drains_and_its_monitor_speaks_only_when_events_wait() {
    let sandbox = sandbox("");
    let host = Host::new("").with_events(&sandbox);
    let lines = cron_lines();
    let [(drain_time, drain_user, drain), (monitor_time, monitor_user, monitor)] = &lines[..] else {
        panic!("a drain and a monitor: {lines:?}")
    };
    assert_eq!((drain_time.split(' ').count(), monitor_time.split(' ').count()), (5, 5));
    assert_eq!((drain_user.as_str(), monitor_user.as_str()), ("passbridge", "passbridge"));
    assert!(!drain.contains('%') && !monitor.contains('%'), "cron reads % as the end of the line");
    assert_eq!(host.shell(monitor).err, "", "the first drain has two hours");
    let host = host.hours_ago(3);
    assert!(host.shell(monitor).err.contains("no drain was ever completed"));
    host.shell(drain);
    assert_eq!(sandbox.counted("examplersid")[6], 3);
    let quiet = host.shell(monitor);
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
}

#[test]
fn the_unit_of_the_monitor_fails_where_a_limit_is_broken() {
    let sandbox = sandbox("");
    let host = Host::new("").with_events(&sandbox).hours_ago(3);
    let [line] = &unit("passbridge-monitor.service", "ExecStart")[..] else { panic!("one ExecStart") };
    assert_eq!(host.run(line).code, 4, "nothing was ever drained");
    let [drain] = &unit("passbridge-drain.service", "ExecStart")[..] else { panic!("one ExecStart") };
    assert_eq!(host.run(drain).code, 0);
    assert_eq!(host.run(line).code, 0);
    assert!(unit("passbridge-monitor.service", "SuccessExitStatus").is_empty());
    assert_eq!(unit("passbridge-monitor.service", "OnFailure"), ["passbridge-alarm@%n.service"]);
    assert_eq!(unit("passbridge-monitor.timer", "OnCalendar"), ["*:10/30"]);
}

#[test]
fn the_units_fit_the_exit_statuses_and_the_grace_period() {
    assert_eq!(unit("passbridge-drain.service", "SuccessExitStatus"), ["3 75"]);
    assert_eq!(unit("passbridge.service", "RestartPreventExitStatus"), ["2"]);
    for name in ["passbridge.service", "passbridge-drain.service", "passbridge-serve.service"] {
        let [stop] = &unit(name, "TimeoutStopSec")[..] else { panic!("{name} has one TimeoutStopSec") };
        let seconds: u64 = stop.parse().expect("seconds");
        assert!(seconds > Config::default().delivery.stop_grace_seconds, "{name}");
    }
    assert_eq!(unit("passbridge-drain.timer", "OnCalendar"), ["*:0/30"]);
}

#[test]
fn the_full_configuration_has_every_key_at_its_default() {
    let text = shipped("passbridge.full.toml");
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncommented = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) => rest,
        _ => line,
    });
    let uncommented: Table = uncommented.collect::<Vec<_>>().join("\n").parse().expect("TOML");
    assert_eq!(uncommented, Table::try_from(Config::default()).expect("the defaults are a table"));
    let as_shipped: Table = text.parse().expect("TOML");
    assert!(
        as_shipped.values().all(|section| section.as_table().is_some_and(Table::is_empty)),
        "{as_shipped:?}"
    );
}

#[test]
fn the_configuration_of_many_workers_names_the_database_and_who_may_post() {
    let text = shipped("kubernetes-postgres.yaml");
    let (_, block) = text.split_once("passbridge.toml: |\n").expect("a configuration");
    let (block, _) = block.split_once("---").expect("its end");
    let block: String =
        block.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let config: Config = toml::from_str(&block).expect("keys of the configuration");
    assert!(config.buffer.url.ends_with("sslmode=verify-full") && config.serve.ingest);
    for file in [&config.buffer.password_file, &config.serve.tokens_file, &config.serve.pages_tokens_file] {
        assert!(file.starts_with("/etc/passbridge-secrets"), "{file:?}");
    }
}

#[test]
fn the_short_configuration_only_says_where_things_lie() {
    let short: Table = shipped("passbridge.toml").parse().expect("TOML");
    let keys: Vec<String> = short
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_table().into_iter().flatten().map(move |(key, _)| format!("{section}.{key}"))
        })
        .collect();
    assert_eq!(keys, ["buffer.path", "bulk.dir", "esm.credentials_file", "ingest.rejects_dir"]);
    for (section, key) in keys.iter().filter_map(|key| key.split_once('.')) {
        let place = &short[section][key];
        assert!(matches!(place, Value::String(path) if path.starts_with("/var/lib/passbridge/")), "{place}");
    }
}
