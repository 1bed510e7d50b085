//! `doctor` on PostgreSQL, and what `deploy/` has for two hosts with one buffer.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::server::{Database, wait_until};
use super::{assert_balanced, collector, ingest, map};
use crate::program::{Program, send};
use crate::support::PATIENCE;

/// The levels, names and words of the findings of one kind.
fn found(program: &Program, check: &str) -> Vec<[String; 3]> {
    let report = program.json(&["doctor"]).1;
    let all = report["findings"].as_array().expect("findings").iter().filter(|one| one["check"] == check);
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    all.map(|one| ["level", "of", "says"].map(|key| text(one, key))).collect()
}

fn names(program: &Program) -> Vec<String> {
    found(program, "database").into_iter().map(|[_, of, _]| of).collect()
}

#[test]
fn doctor_tells_the_schema_the_rights_and_the_settings_and_changes_nothing() {
    let Some(database) = Database::new("doctor") else { return };
    let (program, other) = (database.program(), Program::bare());
    let sandbox = collector("");
    map(&program, &sandbox, &[]);
    let (code, report) = program.json(&["doctor"]);
    assert_eq!(code, 0, "{report}");
    let [[level, of, says]] = &found(&program, "schema")[..] else { panic!("{report}") };
    assert!(level == "ok" && of.starts_with("postgres://") && says.contains("takes writes"), "{report}");
    assert_eq!(names(&program), [""; 0], "a server has jit on by default, and no connection here has");
    assert!(
        found(&program, "host").iter().any(|[level, of, _]| level == "ok" && *of == sandbox.url()),
        "{report}"
    );
    assert!(found(&program, "clock").iter().all(|[level, ..]| level == "ok"));
    let done = program.run(&["doctor", "--full"]);
    assert!(done.code == 2 && done.err.contains("status --verify"), "{done:?}");

    // A user who has rights alone.
    let role = format!("doctor_{}", std::process::id());
    database.on_server(&format!("CREATE ROLE {role} LOGIN"));
    database.ask(&format!("GRANT USAGE ON SCHEMA passbridge TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA passbridge TO {role}"));
    let url = database.url().replacen("postgres@", &format!("{role}@"), 1);
    other.write("c.toml", &format!("[buffer]\nurl = \"{url}\"\n"));
    assert_eq!(names(&other), ["rights", "pg_read_all_stats"]);
    database.ask(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));

    // An earlier schema stays, a later one is refused.
    for (version, check, level, code) in [(2, "schema", "warning", 0), (9, "database", "failed", 2)] {
        database.ask(&format!("UPDATE passbridge.version SET schema = {version}"));
        assert_eq!(found(&program, check)[0][0], level, "{:?}", found(&program, check));
        assert_eq!(program.run(&["doctor", "--before-start"]).code, code);
        assert_eq!(database.ask("SELECT schema FROM passbridge.version"), version.to_string());
    }
    database.ask("DROP SCHEMA passbridge CASCADE");
    assert_eq!([program.run(&["doctor", "--before-start"]).code, program.run(&["run"]).code], [2, 2]);
    // A server that is away may come back, so `run` may begin.
    let nowhere = "[buffer]\nurl = \"postgres://u@/d?host=/nowhere\"\n";
    other.write("c.toml", nowhere);
    let done = other.run(&["doctor", "--before-start"]);
    assert!(done.code == 0 && done.out.contains("cannot use the database"), "{done:?}");
    other.write("c.toml", &format!("{nowhere}password_file = \"none\"\n"));
    assert_eq!(other.run(&["doctor", "--before-start"]).code, 2);
}

/// A variable of the file that is dropped into the units, as it stands there.
fn dropped_in(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/passbridge-postgres.conf");
    let text = fs::read_to_string(path).expect("the file");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("Environment={name}=")));
    line.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

#[test]
fn two_hosts_run_the_shipped_service_with_what_is_dropped_into_their_units() {
    let Some(database) = Database::new("hosts") else { return };
    let first = database.program();
    let sandbox = collector("");
    map(&first, &sandbox, &[]);
    ingest(&first, "events.ndjson", 0..40);
    let names = ["PASSBRIDGE_BUFFER__URL", "PASSBRIDGE_BUFFER__PASSWORD_FILE"];
    let [url, password] = names.map(dropped_in);
    assert!(url.ends_with("?sslmode=verify-full") && password == "%d/postgres", "{url} {password}");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/passbridge.toml");
    let shipped = fs::read_to_string(shipped).expect("the shipped configuration");
    let of_host = |program: &Program, args: &[&str]| -> Command {
        let mut command = program.command(args);
        command.env(names[0], database.url()).env(names[1], program.path("postgres"));
        command
    };
    let hosts = [(); 2].map(|()| {
        let host = Program::bare();
        let config = shipped.replace("/var/lib/passbridge", host.path("").to_str().expect("UTF-8"));
        let config = format!("{config}\n[schedule]\ncron = \"* * * * * *\"\n");
        host.write("c.toml", &config);
        host.write("postgres", "a password that this server does not ask for\n");
        let refused = of_host(&host, &["status"]).output().expect("it starts");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains("leave one out"), "{said}");
        // As the file says: sed -i '/^path = /d'
        let kept: Vec<&str> = config.lines().filter(|line| !line.starts_with("path = ")).collect();
        host.write("c.toml", &kept.join("\n"));
        let before = of_host(&host, &["doctor", "--before-start"]).status().expect("it starts");
        assert_eq!(before.code(), Some(0));
        let mut run = of_host(&host, &["run"]);
        (host, run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    });
    assert!(sandbox.wait_accepted(40, PATIENCE));
    wait_until("both have drained", || {
        database.ask("SELECT count(DISTINCT pid) FROM passbridge.worker") == "2"
    });
    for (_host, mut run) in hosts {
        send(&run, Signal::TERM);
        assert!(run.wait().expect("it ends").success());
    }
    assert_balanced(&first, 40);
}
