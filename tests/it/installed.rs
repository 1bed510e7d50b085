//! What a package installs beside the program is what the program is: pages of the manual, completions, units, scripts.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it installed` writes the pages and completions anew.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap_complete::{Shell, generate_to};
use passbridge::cli;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{Program, Running, lines, send};
use crate::support::PATIENCE;

/// The highest exposure that `systemd-analyze security` may find.
const EXPOSURE_MAX: f64 = 1.1;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The files of a folder by name.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a file"));
    let text = |path: &Path| fs::read_to_string(path).expect("UTF-8");
    let files = files.filter(|file| file.path().is_file());
    files.map(|file| (file.file_name().into_string().expect("UTF-8"), text(&file.path()))).collect()
}

/// Compares a folder of `deploy/` with what was generated; with `UPDATE_GOLDEN`, writes it first.
fn assert_current(folder: &str, generated: &BTreeMap<String, String>) {
    let folder = deploy(folder);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in generated {
            fs::write(folder.join(name), text).expect("a file is written");
        }
    }
    let found = texts(&folder);
    let old: Vec<_> = generated.keys().chain(found.keys()).collect();
    let old: Vec<_> = old.into_iter().filter(|name| found.get(*name) != generated.get(*name)).collect();
    assert!(old.is_empty(), "not current, see the first comment of this file: {old:?}");
}

/// A page without the commit and the schema of one build; lines of examples and tables stay lines.
fn page(text: &str) -> String {
    let mut page = String::new();
    let mut is_extra = false;
    for line in text.lines() {
        if line.starts_with(".SH") {
            if is_extra {
                page.push_str(".fi\n");
            }
            is_extra = line == ".SH EXTRA";
            page.push_str(if is_extra { ".SH NOTES" } else { line });
            page.push_str(if is_extra { "\n.nf\n" } else { "\n" });
        } else {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

#[test]
fn the_pages_of_the_manual_are_current() {
    let folder = TempDir::new().expect("a temporary folder");
    let command = cli::command().version(env!("CARGO_PKG_VERSION"));
    clap_mangen::generate_to(command, folder.path()).expect("pages");
    let pages = texts(folder.path()).into_iter().map(|(name, text)| (name, page(&text))).collect();
    assert_current("man", &pages);
}

#[test]
fn the_completions_are_current() {
    let folder = TempDir::new().expect("a temporary folder");
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut command = cli::command().version(env!("CARGO_PKG_VERSION"));
        generate_to(shell, &mut command, "passbridge", folder.path()).expect("completions");
    }
    assert_current("completions", &texts(folder.path()));
}

fn analyze(folder: &Path, args: &[&str]) -> (bool, String) {
    let run = Command::new("systemd-analyze").args(args).current_dir(folder).output();
    let run = run
        .expect("systemd-analyze is missing: install the Debian package systemd (.ci/run does where it may)");
    let text = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn the_units_are_clean_and_give_little_away() {
    let folder = TempDir::new().expect("a temporary folder");
    let is_unit = |name: &str| [".service", ".timer", ".path"].iter().any(|ending| name.ends_with(ending));
    let mut units = Vec::new();
    for (name, text) in texts(&deploy("")).into_iter().filter(|(name, _)| is_unit(name)) {
        // The program is not installed here, and a template is nothing without its instance.
        let text =
            text.replace("ExecStart=passbridge", concat!("ExecStart=", env!("CARGO_BIN_EXE_passbridge")));
        let name = name.replace("@.", "@one.");
        fs::write(folder.path().join(&name), text).expect("a unit is written");
        units.push(format!("./{name}"));
    }
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    let assert_clean = || {
        let (is_clean, said) = analyze(folder.path(), &[&["verify"], &names[..]].concat());
        assert!(is_clean && said.is_empty(), "{said}");
    };
    assert_clean();
    // With the buffer in PostgreSQL they are the same units, and a mistake in what is dropped in would be told.
    for units in ["passbridge.service.d", "passbridge-.service.d"] {
        fs::create_dir(folder.path().join(units)).expect("a folder");
        fs::copy(deploy("passbridge-postgres.conf"), folder.path().join(units).join("postgres.conf"))
            .expect("a copy");
    }
    assert_clean();
    for name in names.iter().filter(|name| name.ends_with(".service")) {
        let (_, said) = analyze(folder.path(), &["security", "--offline=true", name]);
        let level = said.split("exposure level for").nth(1).and_then(|line| line.split_whitespace().nth(1));
        let level: f64 = level.and_then(|level| level.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        assert!(level <= EXPOSURE_MAX, "{name}: {said}");
    }
}

/// Runs a command as systemd does with `Type=notify`; gives what it tells until it is told to stop and ends.
fn told(program: &Program, command: &str) -> Vec<String> {
    let path = program.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let mut running = program.command(&[command]);
    running.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let running = Running::start(running);
    let mut said: Vec<String> = Vec::new();
    let mut is_stopped = false;
    while !said.last().is_some_and(|state| state.starts_with("STOPPING=1")) {
        let mut state = [0; 1024];
        let bytes = socket.recv(&mut state).expect("a state");
        said.push(String::from_utf8_lossy(&state[..bytes]).into_owned());
        let kept_up = said.iter().filter(|state| *state == "WATCHDOG=1").count();
        if kept_up == 3 && !is_stopped {
            is_stopped = true;
            send(running.child(), Signal::TERM);
        }
    }
    assert_eq!(running.wait().code, 0);
    said
}

#[test]
fn the_service_manager_hears_that_run_and_serve_are_ready_and_still_turn() {
    let program = Program::with("[serve]\nlisten = \"127.0.0.1:0\"\n");
    for (command, status) in [("run", "STATUS=next drain 20"), ("serve", "READY=1\nSTATUS=listening")] {
        let said = told(&program, command);
        assert!(said[0].starts_with("EXTEND_TIMEOUT_USEC=3600000000\n"), "{command}: {said:?}");
        assert!(said[1].starts_with("READY=1"), "{command}: {said:?}");
        assert!(said.iter().any(|state| state.starts_with(status)), "{command}: {said:?}");
        fs::remove_file(program.path("notify")).expect("the socket goes");
    }
}

#[test]
fn a_spool_keeps_apart_what_was_used_what_was_not_and_what_is_not_whole() {
    let program = Program::new();
    fs::create_dir(program.path("spool")).expect("a folder");
    let all = lines(6);
    let mut parts = all.split_inclusive('\n');
    let mut line = || parts.next().expect("a line").to_owned();
    program.write("spool/good.ndjson", &line());
    program.write("spool/bad.ndjson", &format!("{}{{}}\n", line()));
    program.write("spool/cut.ndjson.gz", "\u{1f}no gzip");
    program.write("spool/.hidden.ndjson", &line());
    program.write("spool/later.ndjson.part", &line());
    let spool = program.path("spool");
    let spool = spool.to_str().expect("UTF-8");
    let (_, report) = program.json(&["ingest", "--spool", spool]);
    assert_eq!(report["total"]["stored"], 2, "{report}");
    let names = |place: &str| texts_of(&program.path(place));
    assert_eq!(names("spool/done"), ["good.ndjson"]);
    assert_eq!(names("spool/rejected"), ["bad.ndjson", "cut.ndjson.gz"]);
    assert_eq!(names("spool"), [".hidden.ndjson", "done", "later.ndjson.part", "rejected"]);
    assert_eq!(report["spool"]["done"].as_array().map(Vec::len), Some(1), "{report}");

    // The same name comes again, and neither file is lost.
    program.write("spool/good.ndjson", &line());
    // A link could lead to what is not the supplier's, and a pipe may block: neither is read, and both are named.
    std::os::unix::fs::symlink(program.path("c.toml"), program.path("spool/link.ndjson")).expect("a link");
    mknodat(CWD, program.path("spool/pipe.ndjson"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
    let told = program.run(&["ingest", "--spool", spool]);
    assert_eq!(told.code, 0);
    assert!(
        ["link.ndjson", "pipe.ndjson"].iter().all(|name| told.err.contains(&format!("{name}\n"))),
        "{told:?}"
    );
    assert!(told.err.contains("is no file: it is not read, and stays"), "{told:?}");
    assert_eq!(names("spool/done"), ["good.ndjson", "good.ndjson.2"]);
    let nowhere = program.run(&["ingest", "--spool", "/no/such/spool"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("/no/such/spool"), "{}", nowhere.err);
}

fn texts_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_is_written_to_while_it_is_read_stays_in_the_spool() {
    let program = Program::new();
    fs::create_dir(program.path("spool")).expect("a folder");
    let path = program.path("spool/growing.ndjson");
    fs::write(&path, lines(2000)).expect("a file");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the file");
            while !is_over.load(Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"\n").expect("a byte is written");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let done = program.run(&["ingest", "--spool", program.path("spool").to_str().expect("UTF-8")]);
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(done.code, 0, "{done:?}");
    });
    assert_eq!(texts_of(&program.path("spool")), ["done", "growing.ndjson", "rejected"]);
    assert_eq!(program.run(&["ingest", "--spool", program.path("spool").to_str().expect("UTF-8")]).code, 0);
    assert_eq!(texts_of(&program.path("spool/done")), ["growing.ndjson"]);
}

#[test]
fn a_folder_of_backups_keeps_the_newest() {
    let program = Program::new();
    fs::create_dir(program.path("copies")).expect("a folder");
    for name in
        ["passbridge-20200101T000000Z.db", "passbridge-20210101T000000Z.db", "passbridge-mine.db", "notes"]
    {
        program.write(&format!("copies/{name}"), "");
    }
    let folder = program.path("copies");
    let (code, report) = program.json(&["backup", "--into", folder.to_str().expect("UTF-8"), "--keep", "2"]);
    assert_eq!(code, 0, "{report}");
    let new = PathBuf::from(report["path"].as_str().expect("a path"));
    let new = new.file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(texts_of(&folder), ["notes", "passbridge-20210101T000000Z.db", new, "passbridge-mine.db"]);
    assert_eq!(program.run(&["backup", "--keep", "2"]).code, 2, "neither a file nor a folder");
}

#[test]
fn the_package_names_what_there_is_and_leaves_no_unit_out() {
    let manifest = fs::read_to_string(deploy("../Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().expect("a list").iter();
    let sources = assets.map(|asset| asset[0].as_str().expect("a path"));
    let mut units = Vec::new();
    for source in sources.filter(|source| !source.starts_with("target/")) {
        let (folder, name) = source.rsplit_once('/').unwrap_or((".", source));
        let found = texts(&deploy("..").join(folder)).into_keys();
        let found: Vec<_> = match name.strip_prefix('*') {
            Some(ending) => found.filter(|found| found.ends_with(ending)).collect(),
            None => found.filter(|found| found == name).collect(),
        };
        assert!(!found.is_empty(), "{source}: there is none");
        units.extend(found.into_iter().filter(|_| folder == "deploy"));
    }
    let others = texts(&deploy("")).into_keys().filter(|name| !units.contains(name));
    let containers = ["Dockerfile", "Dockerfile.dockerignore", "kubernetes-postgres.yaml", "kubernetes.yaml"];
    assert_eq!(others.collect::<Vec<_>>(), containers, "installed by no package");
    let scripts: Vec<_> = texts(&deploy("debian")).into_keys().collect();
    assert_eq!(scripts, ["postinst", "postrm", "prerm"]);
}

/// Runs a maintainer script as dpkg does, on a host whose folders are in a temporary one and whose `runuser` changes nobody.
fn maintain(host: &Path, script: &str, args: &[&str]) -> String {
    let mut text = fs::read_to_string(deploy("debian").join(script)).expect("a script");
    for folder in ["/var/", "/etc/", "/run/"] {
        text = text.replace(folder, &format!("{}{folder}", host.display()));
    }
    let shims = format!(
        "runuser() {{ shift 3; \"$@\"; }}\nuseradd() {{ :; }}\npassbridge() {{ {:?} \"$@\"; }}\n\
         install() {{ command install -d -m 0750 \"$8\"; }}\n",
        env!("CARGO_BIN_EXE_passbridge")
    );
    let path = host.join(script);
    fs::write(&path, format!("{shims}{text}")).expect("a script is written");
    let run = Command::new("/bin/sh").arg(&path).args(args).output().expect("a shell");
    let said = String::from_utf8([run.stdout, run.stderr].concat()).expect("UTF-8");
    assert!(run.status.success(), "{script} {args:?}: {said}");
    said
}

#[test]
fn a_purge_removes_the_buffer_only_where_nothing_in_it_waits() {
    for waits in [false, true] {
        let host = TempDir::new().expect("a temporary folder");
        let place = |name: &str| host.path().join(name);
        for folder in ["etc/passbridge", "var/lib", "var/spool", "var/backups"] {
            fs::create_dir_all(place(folder)).expect("a folder");
        }
        let config = fs::read_to_string(deploy("passbridge.toml")).expect("the shipped configuration");
        let config = config.replace("/var/", &format!("{}/var/", host.path().display()));
        fs::write(place("etc/passbridge/passbridge.toml"), config).expect("the configuration");
        maintain(host.path(), "postinst", &["configure", ""]);
        let buffer = place("var/lib/passbridge/passbridge.db");
        assert!(buffer.exists(), "the first installation makes a buffer");
        if waits {
            fs::write(place("events.ndjson"), lines(1)).expect("a file");
            let config = place("etc/passbridge/passbridge.toml");
            let words = [Path::new("--config"), &config, Path::new("ingest"), &place("events.ndjson")];
            let run = Command::new(env!("CARGO_BIN_EXE_passbridge")).args(words).output().expect("an ingest");
            assert!(run.status.success(), "{run:?}");
        }
        // An upgrade keeps it.
        maintain(host.path(), "prerm", &["upgrade", "0.2.0"]);
        maintain(host.path(), "postinst", &["configure", "0.1.0"]);
        assert!(buffer.exists());
        maintain(host.path(), "prerm", &["remove"]);
        maintain(host.path(), "postrm", &["remove"]);
        assert!(buffer.exists(), "what is removed can be installed again");
        let said = maintain(host.path(), "postrm", &["purge"]);
        assert_eq!(buffer.exists(), waits, "{said}");
        assert_eq!(said.contains("is kept: its buffer has events"), waits, "{said}");
    }
}
