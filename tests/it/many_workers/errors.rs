//! What a database says no to, and what a person is told then.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::server::{Cluster, Database, folder, give};
use crate::program::{Done, Program, done};

/// Runs a command with another URL, password file or environment.
fn asked(program: &Program, url: &str, more: &str, env: &[(&str, &str)], args: &[&str]) -> Done {
    program.write("c.toml", &format!("[buffer]\nurl = \"{url}\"\n{more}"));
    let mut command = program.command(args);
    command.envs(env.iter().copied());
    done(command)
}

#[track_caller]
fn assert_said(done: &Done, code: i32, says: &str) {
    assert!(done.code == code && done.err.contains(says), "{says}: {done:?}");
}

/// The URL of a database for another user.
fn as_user(url: &str, user: &str) -> String {
    url.replacen("postgres://postgres@", &format!("postgres://{user}@"), 1)
}

#[test]
fn a_server_that_takes_only_reads_is_too_old_unsafe_or_full_is_refused_by_name() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = Database::on(&cluster.url(), "refused");
    let (program, name) = (database.program(), "current_database()");
    let alter = |what: &str| {
        database.ask(&format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {what}', {name}); END $$"));
    };
    let status = |url: &str| asked(&program, url, "", &[], &["status"]);
    let url = database.url();
    alter("SET default_transaction_read_only = on");
    assert_said(&status(&url), 1, "is a standby, or takes only reads");
    let done = database.on_server("SELECT current_setting('server_version_num')::int >= 150000");
    assert_eq!(done, "t");
    let name = database.on_server("SELECT datname FROM pg_database WHERE datname LIKE 'refused%'");
    database.on_server(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    database.ask(
        "CREATE SCHEMA old; CREATE FUNCTION old.current_setting(text) RETURNS text LANGUAGE sql
         AS 'SELECT CASE WHEN $1 LIKE ''server_version%'' THEN ''140000'' ELSE pg_catalog.current_setting($1) END'",
    );
    alter("SET search_path = old, pg_catalog");
    assert_said(&status(&url), 2, "use PostgreSQL 15 or later");
    alter("RESET search_path");
    assert_eq!(status(&url).code, 0);

    database.on_server("CREATE ROLE app LOGIN CONNECTION LIMIT 0");
    assert_said(&status(&as_user(&url, "app")), 1, "connections free");
    database.on_server("ALTER ROLE app CONNECTION LIMIT 10");
    assert_said(&status(&as_user(&url, "app")), 1, "lacks a right");
    let bare = Database::on(&cluster.url(), "bare");
    let init = asked(&program, &as_user(&bare.url(), "app"), "", &[], &["init"]);
    assert_said(&init, 1, "grant the user CREATE");
    assert_eq!(bare.ask("SELECT to_regnamespace('passbridge') IS NULL"), "t", "nothing is half done");
    let none = url.replacen(&format!("/{name}?"), "/nowhere?", 1);
    assert_said(&status(&none), 2, "correct the user and the database");

    cluster.pg_ctl(&["-w", "-m", "fast", "stop"]);
    assert_said(&status(&url), 1, "see that the server runs");
    fs::write(cluster.data().join("standby.signal"), "").expect("a standby");
    cluster.pg_ctl(&["-w", "start"]);
    assert_said(&status(&url), 1, "is a standby, or takes only reads");
    assert_said(&asked(&program, &url, "", &[], &["drain"]), 1, "name the primary");
    fs::remove_file(cluster.data().join("standby.signal")).expect("no standby");
    let conf = cluster.data().join("postgresql.auto.conf");
    fs::write(&conf, "fsync = off\n").expect("a setting");
    cluster.pg_ctl(&["-w", "-m", "fast", "restart"]);
    assert_said(&status(&url), 2, "runs with fsync = off");
    fs::write(&conf, "full_page_writes = off\n").expect("a setting");
    cluster.pg_ctl(&["-w", "-m", "fast", "restart"]);
    assert_said(&status(&url), 2, "runs with full_page_writes = off");
    fs::write(&conf, "").expect("a setting");
    cluster.pg_ctl(&["-w", "-m", "fast", "restart"]);
    assert_eq!(status(&url).code, 0);
}

#[test]
fn a_password_comes_from_a_file_and_a_wrong_one_is_said_without_it() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = Database::on(&cluster.url(), "passwords");
    let program = database.program();
    database.ask("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'right:word'");
    let hba = cluster.data().join("pg_hba.conf");
    fs::write(&hba, "local all app scram-sha-256\nlocal all all trust\n").expect("rules");
    cluster.pg_ctl(&["reload"]);
    let url = as_user(&database.url(), "app");
    let status = |more: &str, env: &[(&str, &str)]| asked(&program, &url, more, env, &["status"]);
    assert_said(&status("", &[]), 2, "the password in buffer.password_file");
    program.write("wrong", "wrong-word\n");
    let done = status("password_file = \"wrong\"\n", &[]);
    assert_said(&done, 2, "cannot log in");
    assert!(!done.err.contains("wrong-word"), "{done:?}");
    program.write("right", "right:word\n");
    assert_eq!(status("password_file = \"right\"\n", &[]).code, 0);
    let pass = program.file("pass", "other:*:*:*:no\n*:*:*:app:right\\:word\n");
    assert_said(&status("", &[("PGPASSFILE", &pass)]), 2, "others may read it");
    fs::set_permissions(&pass, Permissions::from_mode(0o600)).expect("a mode");
    assert_eq!(status("", &[("PGPASSFILE", &pass)]).code, 0);
    assert_said(&status("password_file = \"none\"\n", &[]), 2, "cannot read the password");
}

#[test]
fn a_server_proves_its_name_by_a_certificate_of_a_known_authority() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let dir = folder();
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, authority).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = certificate.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in [("cert", certificate.pem()), ("key", key.serialize_pem()), ("ca", authority.pem())] {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        give(&path);
    }
    let place = dir.path().display();
    let settings = [
        "ssl = on".to_owned(),
        format!("ssl_cert_file = '{place}/cert'"),
        format!("ssl_key_file = '{place}/key'"),
        "listen_addresses = '127.0.0.1'".to_owned(),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let Some(cluster) = Cluster::start_at(port, &settings) else { return };
    let database = Database::on(&cluster.url(), "certified");
    let program = database.program();
    let name = database.ask("SELECT current_database()");
    let url = |host: &str| format!("postgres://postgres@{host}:{port}/{name}?sslmode=verify-full");
    let ca = dir.path().join("ca");
    let known = [("SSL_CERT_FILE", ca.to_str().expect("UTF-8"))];
    assert_eq!(asked(&program, &url("localhost"), "", &known, &["status"]).code, 0);
    assert_said(&asked(&program, &url("localhost"), "", &[], &["status"]), 1, "certificate");
    assert_said(&asked(&program, &url("127.0.0.1"), "", &known, &["status"]), 1, "certificate");
    let used = "SELECT count(*) FROM pg_stat_ssl WHERE ssl";
    assert_eq!(database.ask(used), "0", "nothing is left of them");
}

/// Commands that do not work there yet, with what they need.
const REFUSED: [&str; 17] = [
    "backfill cancel x",
    "backfill export x x",
    "backfill pause x",
    "backfill plan x",
    "backfill resume x",
    "backfill run x",
    "backfill status",
    "backup x",
    "pull esm --from 2026-11-01",
    "reconcile --suite x --from 2026-11-01 --to 2026-11-02",
    "restore x",
    "suite check x",
    "suite confirm x suite --by x",
    "suite export",
    "suite import x",
    "suite probe x",
    "suite sheet x",
];
/// Commands that work there, at least in part, or need no buffer.
const WORKING: &str = "config check, config show, dead-letter discard, dead-letter list, dead-letter requeue, dead-letter show, demo, doctor, \
    drain, explain, export events, export outcomes, export person, forget, held list, held requeue, held settle, held show, ingest, init, inputs list, inputs show, pending list, \
    pending take-back, rejects list, rejects show, report, retention, run, sandbox, schema, serve, status, suite add, suite list, suite pause, suite remove, suite resume, suite set, suite show, trace";

/// The commands that have no commands below them.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let below: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if below.is_empty() {
        found.push(path.trim().to_owned());
    }
    below.iter().for_each(|one| leaves(one, &format!("{path} {}", one.get_name()), found));
}

#[test]
fn every_command_works_on_postgresql_or_says_in_one_sentence_what_does_it_there() {
    let mut all = Vec::new();
    leaves(&passbridge::cli::command(), "", &mut all);
    for path in &all {
        let is_refused = REFUSED.iter().any(|command| command.starts_with(path.as_str()));
        assert!(is_refused || WORKING.split(", ").any(|working| working == path), "{path} is in no list");
    }
    let Some(database) = Database::new("commands") else { return };
    let program = database.program();
    for command in REFUSED {
        let done = program.run(&command.split(' ').collect::<Vec<_>>());
        let advice = done.err.split("try: ").nth(1).unwrap_or_default();
        assert!(done.code == 2 && done.err.contains("the buffer is on PostgreSQL"), "{command}: {done:?}");
        assert!(!done.err.contains("this command") && advice.len() > 20, "{command}: {done:?}");
    }
}
