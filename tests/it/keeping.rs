//! Files, locks and what is under them: nothing half made stays, nobody else's file is written to, nothing runs on in a buffer
//! that is gone, and a copy comes back.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use passbridge::buffer::{BufferError, Claims, JobKey};
use passbridge::sandbox::Handle;
use passbridge::whole_file::{Readers, WholeFile, beside, open_new};
use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::json;

use crate::program::{Program, Running, done, lines, send};
use crate::support::{House, PATIENCE, plays, sandbox};

/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:9";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// The names in the program's folder that contain this.
fn names(program: &Program, part: &str) -> Vec<String> {
    let entries = fs::read_dir(program.path("")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.contains(part)).collect();
    names.sort();
    names
}

/// A drain that waits for answers which never come.
fn hanging() -> (Handle, Program, Running) {
    let sandbox = sandbox("timeout-before");
    let program =
        Program::with("[delivery]\nlanes = 2\nstop_grace_seconds = 600\nrequest_timeout_seconds = 600\n");
    program.suite(&sandbox.url());
    program.ingest(5);
    let drain = Running::start(program.command(&["drain"]));
    let started = Instant::now();
    while sandbox.summary().requests < 2 {
        assert!(started.elapsed() < PATIENCE, "the drain sends nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    (sandbox, program, drain)
}

// ---- what is written

#[test]
fn a_backup_is_its_owners_alone_and_writes_into_nothing_that_is_there() {
    let program = Program::new();
    let (copy, partial) = (program.path("copy.db"), program.path("copy.db.partial"));
    let precious = program.path("precious");
    program.write("precious", "mine");
    symlink(&precious, &partial).expect("a link");
    let refused = program.run(&["backup", text(&copy)]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("in the way") && refused.err.contains("copy.db.partial"), "{refused:?}");
    assert_eq!(fs::read_to_string(&precious).expect("it is there"), "mine");
    fs::remove_file(&partial).expect("the link goes");

    fs::write(&partial, "planted").expect("a file");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 1);
    assert_eq!(fs::read_to_string(&partial).expect("it is there"), "planted");
    fs::remove_file(&partial).expect("the file goes");

    symlink(program.path("elsewhere"), &copy).expect("a link that leads nowhere");
    assert_ne!(program.run(&["backup", text(&copy)]).code, 0);
    assert_eq!(names(&program, "elsewhere"), [""; 0]);
    fs::remove_file(&copy).expect("the link goes");

    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    assert_eq!(mode(&copy), 0o600);
    assert_eq!(names(&program, "copy.db"), ["copy.db"]);
    assert_eq!(program.run(&["backup", text(&copy)]).code, 2, "nothing is overwritten");
}

#[test]
fn a_file_that_appears_while_a_new_one_is_placed_is_not_overwritten() {
    let program = Program::bare();
    for number in 0..300 {
        let path = program.path(&number.to_string());
        let mut file = WholeFile::create(&path, Readers::Owner).expect("a file");
        file.write_all(b"new").expect("it is written");
        let others = path.clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(number));
            open_new(&others, Readers::Owner).and_then(|mut file| file.write_all(b"others")).is_ok()
        });
        let placed = file.place_new();
        let is_others = other.join().expect("it ends");
        assert_ne!(placed.is_ok(), is_others, "{number}: {placed:?}");
        let (kept, held) = (if is_others { "others" } else { "new" }, fs::read_to_string(&path));
        assert_eq!(held.expect("a file"), kept);
    }
}

#[test]
fn what_cannot_be_written_whole_leaves_nothing_behind() {
    let program = Program::new();
    program.suite(NOWHERE);
    program.ingest(50);
    // A backup opens the -shm file beside the buffer, which may be larger than the other two files.
    for (args, blocks) in [
        (&["backup"][..], 100),
        (&["suite", "export"], 2),
        (&["suite", "sheet", "--format", "html", "--out"], 2),
    ] {
        let file = program.path("half");
        let args = [args, &[text(&file)]].concat();
        // So many blocks of 512 bytes are all that a file may have.
        let failed = program.through_shell(&format!("ulimit -f {blocks}"), &args);
        assert_eq!(failed.code, 1, "{args:?} {failed:?}");
        let is_named = failed.err.contains(&format!("cannot write {file:?}"));
        assert!(args[0] != "backup" || is_named && failed.err.contains("free some disk"), "{failed:?}");
        assert_eq!(names(&program, "half"), [""; 0], "{args:?}");
        assert_eq!(program.run(&args).code, 0, "{args:?}");
        fs::remove_file(&file).expect("it was written");
    }
    let fresh = Program::bare();
    fresh.write("c.toml", "");
    assert_eq!(fresh.through_shell("ulimit -f 2", &["init"]).code, 1);
    assert_eq!(names(&fresh, "passbridge.db"), [""; 0]);
    assert_eq!(fresh.run(&["init"]).code, 0);
}

#[test]
fn a_backup_of_a_damaged_buffer_is_none_and_says_so() {
    let program = Program::new();
    program.ingest(2_000);
    let buffer = OpenOptions::new().write(true).open(program.path("passbridge.db")).expect("the buffer");
    let half = buffer.metadata().expect("its size").len() / 2 / 4_096 * 4_096;
    buffer.write_all_at(&[0xa5; 8 * 4_096], half).expect("damage");
    let (exit, failed) = program.json(&["backup", &program.place("copy.db")]);
    assert_eq!((exit, &failed["code"]), (1, &"buffer_damaged".into()), "{failed}");
    assert_eq!(names(&program, "copy.db"), [""; 0]);
}

#[test]
fn a_buffer_or_a_secret_that_everybody_may_read_is_warned_of() {
    let program = Program::new();
    program.ingest(1);
    program.write("secret", &"s".repeat(64));
    for (mode, is_warned) in [(0o604, true), (0o640, false)] {
        for file in ["passbridge.db", "secret"] {
            fs::set_permissions(program.path(file), Permissions::from_mode(mode)).expect("its mode");
        }
        let mut command = program.command(&["ingest", "-"]);
        command.env("PASSBRIDGE_REST_V2__SECRET_FILE", program.path("secret"));
        let warned = done(command);
        for file in ["passbridge.db", "secret"] {
            let words = format!("chmod o= {}", program.path(file).display());
            assert_eq!(warned.err.contains(&words), is_warned, "{mode:o} {warned:?}");
        }
    }
}

#[test]
fn a_folder_of_rejects_that_root_makes_belongs_to_the_owner_of_the_buffer() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let program = Program::new();
    assert_eq!(program.run(&["status"]).code, 0);
    // The folder above is root's, and its group may write there, as on many hosts.
    std::os::unix::fs::chown(program.path("passbridge.db"), Some(54_321), Some(54_321))
        .expect("another owner");
    program.write("bad.ndjson", "bad\n");
    for round in 0..2 {
        program.write("bad.ndjson", &format!("bad {round}\n"));
        assert_eq!(program.run(&["ingest", &program.place("bad.ndjson")]).code, 3);
        let rejects = fs::metadata(program.path("rejects")).expect("a folder");
        assert_eq!((rejects.uid(), rejects.permissions().mode() & 0o777), (54_321, 0o700), "{round}");
    }
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing_behind() {
    let program = Program::new();
    // Enough pages that it is under way for a while.
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    database.execute("INSERT INTO inbox (body) VALUES (zeroblob(300000000))", []).expect("a large row");
    drop(database);
    let copy = program.path("copy.db");
    let backup = Running::start(program.command(&["backup", text(&copy)]));
    let started = Instant::now();
    while names(&program, "copy.db.partial").is_empty() {
        assert!(started.elapsed() < PATIENCE, "no copy begins");
        std::thread::sleep(Duration::from_millis(1));
    }
    send(backup.child(), Signal::TERM);
    let stopped = backup.wait();
    assert_eq!(stopped.code, 1, "{stopped:?}");
    assert_eq!(names(&program, "copy.db"), [""; 0]);
}

#[test]
fn a_small_file_that_is_written_when_a_signal_comes_is_whole_or_not_begun() {
    let program = Program::new();
    for number in 0..40 {
        let (requestor, rsid) = (format!("R{number}"), format!("rsid{number}"));
        program.map(&requestor, &rsid, NOWHERE, &[]);
    }
    for (args, name) in [
        (&["suite", "export"][..], "export"),
        (&["suite", "sheet", "--format", "html", "--out"], "sheet"),
        (&["report", "--period", "2026", "--html"], "page"),
    ] {
        let file = program.path(name);
        let args = [args, &[text(&file)]].concat();
        for round in 0..10 {
            let writing = Running::start(program.command(&args));
            let started = Instant::now();
            // The signal comes when the file has just been begun.
            while names(&program, name).is_empty() {
                assert!(started.elapsed() < PATIENCE, "no file begins");
            }
            send(writing.child(), Signal::TERM);
            let ended = writing.wait();
            assert_eq!((ended.code, names(&program, name)), (0, vec![name.to_owned()]), "{round} {ended:?}");
            fs::remove_file(&file).expect("it is whole");
        }
    }
}

#[test]
fn rejects_are_kept_in_no_folder_that_others_may_write_to() {
    let program = Program::new();
    fs::create_dir(program.path("rejects")).expect("a folder");
    fs::set_permissions(program.path("rejects"), Permissions::from_mode(0o777)).expect("its mode");
    program.write("bad.ndjson", "{\"visitor_id\":\"v1\"}\n");
    let bad = program.path("bad.ndjson");
    for args in [&["ingest", text(&bad)][..], &["forget", "--visitor-id", "v1"]] {
        let refused = program.run(args);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("others may write"), "{refused:?}");
    }
    fs::set_permissions(program.path("rejects"), Permissions::from_mode(0o750)).expect("its mode");
    // Whoever may write to a folder above can put another one in its place.
    fs::set_permissions(program.path(""), Permissions::from_mode(0o777)).expect("its mode");
    let refused = program.run(&["ingest", text(&bad)]);
    assert_eq!((refused.code, refused.err.contains("others may write to")), (1, true), "{refused:?}");
    fs::set_permissions(program.path(""), Permissions::from_mode(0o1777)).expect("its mode");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(program.path("rejects"), Some(54_321), None).expect("another owner");
        for args in [&["ingest", text(&bad)][..], &["forget", "--visitor-id", "v1"]] {
            let refused = program.run(args);
            assert_eq!((refused.code, refused.err.contains("another user")), (1, true), "{refused:?}");
        }
        std::os::unix::fs::chown(program.path("rejects"), Some(0), Some(54_321)).expect("another group");
        assert_eq!(program.run(&["ingest", text(&bad)]).code, 3, "a group that may not write");
        fs::set_permissions(program.path("rejects"), Permissions::from_mode(0o770)).expect("its mode");
        program.write("bad.ndjson", "{\"visitor_id\":\"v2\"}\n");
        let refused = program.run(&["ingest", text(&bad)]);
        assert_eq!((refused.code, refused.err.contains("group 54321 may write")), (1, true), "{refused:?}");
        std::os::unix::fs::chown(program.path("rejects"), Some(0), Some(0)).expect("its owner");
        fs::remove_dir_all(program.path("rejects")).expect("the folder goes");
        fs::create_dir(program.path("rejects")).expect("a folder");
        fs::set_permissions(program.path("rejects"), Permissions::from_mode(0o770)).expect("its mode");
    }
    program.write("bad.ndjson", "{\"visitor_id\":\"v1\"}\n");
    assert_eq!(program.run(&["ingest", text(&bad)]).code, 3);

    let rejects =
        fs::read_dir(program.path("rejects")).expect("a folder").next().expect("one").expect("a file");
    let planted = rejects.path().with_extension("forgetting");
    fs::write(&planted, "planted").expect("a file");
    let refused = program.run(&["forget", "--visitor-id", "v1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("forgetting"), "{refused:?}");
    fs::remove_file(planted).expect("it is as it was");

    // The files of backfills, which it deletes, are in such a folder too; the rejects are erased all the same.
    fs::create_dir(program.path("bulk")).expect("a folder");
    fs::set_permissions(program.path("bulk"), Permissions::from_mode(0o777)).expect("its mode");
    let (code, report) = program.json(&["forget", "--visitor-id", "v1"]);
    assert_eq!((code, &report["rejected_lines"]), (1, &1.into()), "{report}");
    let cause = report["failure"]["cause"].as_str().expect("a cause");
    assert!(cause.contains("others may write to"), "{report}");
}

#[test]
fn what_root_makes_belongs_to_whom_the_buffer_belongs() {
    let program = Program::bare();
    program.write("c.toml", "");
    // A user of no name; who is not root can only be themselves.
    let is_root = rustix::process::geteuid().is_root();
    let owner = if is_root { 54_321 } else { rustix::process::geteuid().as_raw() };
    std::os::unix::fs::chown(program.path(""), Some(owner), None).expect("the folder has an owner");
    assert_eq!(program.run(&["init"]).code, 0);
    program.suite(NOWHERE);
    program.write("mixed.ndjson", &format!("{}nonsense\n", lines(2)));
    let mixed = program.path("mixed.ndjson");
    assert_eq!(program.run(&["ingest", text(&mixed)]).code, 3);
    assert_eq!(program.run(&["retention"]).code, 0);
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    assert_eq!(program.run(&["restore", text(&copy)]).code, 0);
    for name in names(&program, "passbridge.db").iter().map(String::as_str).chain(["rejects", "copy.db"]) {
        assert_eq!(fs::metadata(program.path(name)).expect("a file").uid(), owner, "{name}");
    }
    for entry in fs::read_dir(program.path("rejects")).expect("a folder") {
        assert_eq!(entry.expect("a file").metadata().expect("its owner").uid(), owner);
    }
}

// ---- the lock

#[test]
fn locks_are_their_owners_alone_and_no_link_is_followed() {
    let program = Program::new();
    assert_eq!(program.run(&["retention"]).code, 0);
    let lock = program.path("passbridge.db.lock");
    assert_eq!(mode(&lock), 0o600);
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).expect("as earlier releases made it");
    assert_eq!(program.run(&["retention"]).code, 0);
    assert_eq!(mode(&lock), 0o600);
    fs::remove_file(&lock).expect("nobody holds it");
    symlink(program.path("elsewhere"), &lock).expect("a link");
    let refused = program.run(&["retention"]);
    assert!(refused.code == 1 && refused.err.contains("a symbolic link: remove the link"), "{refused:?}");
    assert_eq!(names(&program, "elsewhere"), [""; 0]);
}

#[test]
fn a_drain_whose_lock_is_removed_or_replaced_ends_with_1() {
    let (_sandbox, program, drain) = hanging();
    fs::rename(program.path("passbridge.db.lock"), program.path("moved")).expect("it moves");
    let ended = drain.wait();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("passbridge.db.lock"), "{ended:?}");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 5);
}

#[test]
fn a_drain_that_meets_the_claims_of_another_one_says_so() {
    let (sandbox, program) = (sandbox("latency=300ms"), Program::with("[delivery]\nlanes = 1\n"));
    program.suite(&sandbox.url());
    program.ingest(60);
    let drain = Running::start(program.command(&["drain"]));
    assert!(sandbox.wait_accepted(1, PATIENCE));
    // As a second drain does whose lock is another file of the same name.
    let claim = "DELETE FROM waves";
    let other = Connection::open(program.path("passbridge.db")).expect("the buffer");
    other.busy_timeout(PATIENCE).expect("a timeout");
    while other.execute(claim, []).expect("a claim") == 0 {}
    let ended = drain.wait();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("where the lock file was removed under a drain"), "{ended:?}");
    sandbox.set_faults("".parse().expect("no faults"));
    assert_eq!(program.run(&["drain"]).code, 0);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn no_drain_begins_beside_one_whose_lock_file_and_log_were_removed() {
    for (removed, code) in [(&["lock", "wal"][..], 1), (&["lock", "wal", "shm"], 75)] {
        let (sandbox, program, drain) = hanging();
        // A stopped process does not notice what it lost.
        send(drain.child(), Signal::STOP);
        let requests = sandbox.summary().requests;
        for name in
            removed.iter().map(|name| if *name == "lock" { ".lock".to_owned() } else { format!("-{name}") })
        {
            fs::remove_file(program.path(&format!("passbridge.db{name}"))).expect("somebody removes it");
        }
        for _ in 0..2 {
            let mut second = program.command(&["drain", "--deadline", "1s"]);
            second.env("PASSBRIDGE_DELIVERY__STOP_GRACE_SECONDS", "0");
            let refused = done(second);
            let named = format!("process {}, whose lock file was removed", drain.child().id());
            let says = if code == 1 { "-wal" } else { &*named };
            assert!(refused.code == code && refused.err.contains(says), "{removed:?} {refused:?}");
        }
        assert_eq!(sandbox.summary().requests, requests, "{removed:?}: nothing was sent by the second");
        send(drain.child(), Signal::CONT);
        let ended = drain.wait();
        assert!(ended.code == 1 && ended.err.contains("was removed or replaced"), "{removed:?} {ended:?}");
        sandbox.set_faults("".parse().expect("no faults"));
        assert_eq!(program.run(&["drain"]).code, 0, "{removed:?}");
        assert_eq!(program.run(&["status", "--verify"]).code, 0, "{removed:?}");
    }
}

#[test]
fn no_drain_takes_over_the_claims_of_one_that_goes_on_without_its_lock_file() {
    let (sandbox, program, drain) = hanging();
    let lock = program.path("passbridge.db.lock");
    let second = || {
        fs::remove_file(&lock).expect("somebody removes it");
        let mut command = program.command(&["drain", "--deadline", "1s"]);
        command.env("PASSBRIDGE_DELIVERY__STOP_GRACE_SECONDS", "0");
        done(command)
    };
    let open = Connection::open(program.path("passbridge.db")).expect("the buffer");
    let claims = || {
        let count = "SELECT count(*) FROM claims";
        open.query_row(count, [], |row| row.get::<_, u64>(0)).expect("a count")
    };
    // A stopped process does not notice that its lock is lost.
    send(drain.child(), Signal::STOP);
    let before = claims();
    let named = format!("process {}, whose lock file was removed", drain.child().id());
    let refused = second();
    assert!(refused.code == 75 && refused.err.contains(&named), "{refused:?}");
    assert!(refused.err.contains("leave lock files"), "{refused:?}");
    let moved = program.path("moved.db");
    for command in [["backup", "--move", text(&moved)].as_slice(), &["forget", "--visitor-id", "x"]] {
        fs::remove_file(&lock).expect("somebody removes it");
        let refused = program.run(command);
        assert!(refused.code == 75 && refused.err.contains(&named), "{refused:?}");
    }
    // The drain of another container has a process ID that means nothing here.
    let mark = "SELECT value FROM facts WHERE name = 'drain_runner'";
    let mark: i64 = open.query_row(mark, [], |row| row.get(0)).expect("its mark");
    let set = |mark| open.execute("UPDATE facts SET value = ?1 WHERE name = 'drain_runner'", [mark]);
    set(1).expect("the mark of nobody");
    let refused = second();
    let foreign = "a process, perhaps of another container, whose lock file was removed";
    assert!(refused.code == 75 && refused.err.contains(foreign), "{refused:?}");
    assert!(program.run(&["status"]).out.contains(&format!("under way: {foreign}, run began")));
    set(mark).expect("its own mark again");
    assert!(before > 0 && claims() == before, "{before} claims became {}", claims());
    let (_, status) = program.json(&["status"]);
    let holder = &status["drain"]["holder"];
    assert_eq!((&status["drain"]["state"], &holder["pid"]), (&"running".into(), &drain.child().id().into()));
    let says = format!("under way: process {}, whose lock file was removed, run began", drain.child().id());
    assert!(program.run(&["status"]).out.contains(&says));
    // A copy belongs to nobody, although that process lives.
    let copy = Program::with("");
    fs::remove_file(copy.path("passbridge.db")).expect("it goes");
    assert_eq!(program.run(&["backup", text(&copy.path("passbridge.db"))]).code, 0);
    sandbox.set_faults("".parse().expect("no faults"));
    let drained = copy.run(&["drain", "--accept-repeat"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    send(drain.child(), Signal::KILL);
    assert_eq!(program.json(&["status"]).1["drain"]["state"], "cut_off");
    // A zombie still has its number, and sends nothing.
    let started = Instant::now();
    while program.run(&["drain"]).code == 75 {
        assert!(started.elapsed() < PATIENCE, "the dead hold it");
    }
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 0);
}

#[test]
fn a_backfill_keeps_its_lock_although_the_file_is_removed() {
    let house = House::new();
    let held = house.buffer.lock_backfill().expect("it is free");
    for _ in 0..2 {
        fs::remove_file(beside(house.buffer.path(), ".backfill.lock")).expect("somebody removes it");
        let again = house.buffer.lock_backfill();
        assert!(matches!(&again, Err(BufferError::Backfilling(holder)) if holder.has_lost_file), "{again:?}");
        assert!(house.buffer.backfill_holder().expect("a look").is_some());
    }
    assert!(matches!(house.buffer.lock_whole(), Err(BufferError::Backfilling(_))));
    drop(house.buffer.lock().expect("a drain may run beside it"));
    drop(held);
    house.buffer.lock_whole().expect("nobody runs");
}

#[test]
fn a_run_that_has_lost_its_lock_is_no_more_under_way_although_its_process_lives() {
    let (sandbox, house) = (sandbox("timeout-before"), House::new());
    house.suite(&sandbox.url());
    house.store(plays(5));
    let lock = beside(house.buffer.path(), ".lock");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let started = Instant::now();
            while sandbox.summary().requests < 1 && started.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            fs::remove_file(&lock).expect("somebody removes it");
            assert_eq!(
                house.buffer.drain_holder().expect("a look").and_then(|of| of.pid),
                Some(std::process::id())
            );
        });
        house.drain_with(|_| {}).expect_err("its lock is gone");
    });
    assert_eq!(house.buffer.drain_holder().expect("a look"), None);
}

#[test]
fn a_lock_is_free_once_it_is_dropped_although_other_threads_start_processes() {
    let house = House::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    Command::new("true").status().expect("it starts");
                }
            });
        }
        for round in 0..400 {
            let held = house.buffer.lock().expect("it is free");
            fs::remove_file(beside(house.buffer.path(), ".lock")).expect("somebody removes it");
            drop(held);
            assert_eq!(house.buffer.drain_holder().expect("a look"), None, "round {round}");
        }
    });
}

#[test]
fn the_id_of_a_process_in_another_container_is_not_taken_for_one_of_this_host() {
    let program = Program::new();
    program.suite(NOWHERE);
    assert_eq!(program.run(&["drain"]).code, 0);
    let lock = program.path("passbridge.db.lock");
    let own = fs::read_link("/proc/self/ns/pid").expect("a namespace");
    let text = |namespace: &str| format!("{} drain\n{namespace}\n", std::process::id());
    let held = fs::OpenOptions::new().write(true).open(&lock).expect("the lock");
    held.lock().expect("it is free");
    for (written, pid, says) in [
        (text("pid:[1]"), json!(null), "a process of another container (drain)".to_owned()),
        (
            text(own.to_str().expect("UTF-8")),
            json!(std::process::id()),
            format!("process {} (drain)", std::process::id()),
        ),
        // As releases before wrote it.
        ("12 drain\n".to_owned(), json!(12), "process 12 (drain)".to_owned()),
    ] {
        fs::write(&lock, written).expect("its text");
        let (_, status) = program.json(&["status"]);
        assert_eq!((&status["drain"]["state"], &status["drain"]["holder"]["pid"]), (&json!("running"), &pid));
        assert!(program.run(&["status"]).out.contains(&format!("under way: {says}")), "{says}");
        let refused = program.run(&["drain"]);
        assert!(refused.code == 75 && refused.err.contains(&format!(": {says}, since")), "{refused:?}");
    }
}

/// Whether this host lets a test mount something where nobody else sees it.
fn may_mount() -> bool {
    Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_buffer_that_is_mounted_as_a_file_is_refused() {
    let program = Program::new();
    let elsewhere = program.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    for name in ["passbridge.db", "c.toml"] {
        fs::write(elsewhere.join(name), "").expect("a file to mount over");
    }
    let script = format!(
        "mount --bind {0}/passbridge.db {0}/elsewhere/passbridge.db && {1} --config {0}/elsewhere/c.toml status",
        program.path("").display(),
        env!("CARGO_BIN_EXE_passbridge")
    );
    if may_mount() {
        let output = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().expect("a shell");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("mounted as a file"), "{err}");
    }
    assert_eq!(program.run(&["status"]).code, 0, "under its own name it is as it was");
}

// ---- the buffer under a process

#[test]
fn a_drain_whose_database_is_replaced_or_overwritten_does_not_end_well() {
    let other = Program::new();
    let older = Program::new();
    for (what, how) in [
        ("replaced", 0),
        ("overwritten", 1),
        ("overwritten", 2),
        ("overwritten", 3),
        ("passbridge.db-shm\" was removed or replaced", 4),
        ("passbridge.db-wal\" was overwritten", 5),
    ] {
        let (sandbox, program, drain) = hanging();
        let database = program.path("passbridge.db");
        match how {
            0 => {
                fs::copy(other.path("passbridge.db"), program.path("new")).expect("a copy");
                fs::rename(program.path("new"), &database).expect("it is in its place");
            }
            1 => overwrite(&database, &fs::read(other.path("passbridge.db")).expect("another buffer")),
            2 => overwrite(&database, &[0; 100_000]),
            4 => fs::remove_file(program.path("passbridge.db-shm")).expect("it is removed"),
            5 => shorten(&program.path("passbridge.db-wal"), &[0]),
            _ => {
                let copy = older.path(&format!("copy{how}"));
                assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
                overwrite(&database, &fs::read(copy).expect("a copy"));
            }
        }
        let ended = drain.wait();
        assert_eq!(ended.code, 1, "{how}: {ended:?}");
        assert!(ended.err.contains(what), "{how}: {ended:?}");
        drop(sandbox);
    }
}

/// Writes over a file, as `cp` does.
fn overwrite(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).truncate(true).open(path).expect("it opens");
    file.write_all_at(bytes, 0).expect("it is written");
}

#[test]
fn run_ends_with_1_when_its_buffer_is_gone_or_overwritten() {
    for (what, overwritten) in [("was removed or replaced", false), ("was overwritten", true)] {
        let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
        let run = Running::start(program.command(&["run"]));
        run.wait_for_log("waiting for the next slot");
        if overwritten {
            overwrite(&program.path("passbridge.db"), &[0; 100_000]);
        } else {
            for name in names(&program, "passbridge.db") {
                fs::remove_file(program.path(&name)).expect("it is removed");
            }
        }
        let ended = run.wait();
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains(what), "{ended:?}");
    }
}

/// What people do to the files of a buffer that is in use.
const CHANGES: [&str; 4] = [
    "rm passbridge.db-wal passbridge.db-shm",
    "rm passbridge.db-wal",
    "rm passbridge.db-shm",
    "mv passbridge.db real.db; ln -s real.db passbridge.db",
];

#[test]
fn run_ends_with_1_when_its_log_is_removed_or_a_link_leads_to_its_buffer_and_nothing_stored_is_lost() {
    for change in CHANGES {
        let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
        let run = Running::start(program.command(&["run"]));
        run.wait_for_log("waiting for the next slot");
        program.ingest(100);
        let script = format!("cd {}; {change}", program.path("").display());
        assert!(Command::new("sh").args(["-c", &script]).status().expect("a shell").success());
        let ended = run.wait();
        assert_eq!(ended.code, 1, "{change}: {ended:?}");
        assert!(ended.err.contains("was removed or replaced"), "{change}: {ended:?}");
        let (code, status) = program.json(&["status", "--verify"]);
        assert_eq!((code, &status["pending"]), (0, &100.into()), "{change}: {status}");
    }
}

#[test]
fn what_is_stored_after_the_files_of_run_were_changed_stays() {
    for change in CHANGES {
        let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
        let run = Running::start(program.command(&["run"]));
        run.wait_for_log("waiting for the next slot");
        let script = format!("cd {}; {change}", program.path("").display());
        assert!(Command::new("sh").args(["-c", &script]).status().expect("a shell").success());
        program.ingest(100);
        let ended = run.wait();
        assert_eq!(ended.code, 1, "{change}: {ended:?}");
        let (code, status) = program.json(&["status", "--verify"]);
        assert_eq!((code, &status["pending"]), (0, &100.into()), "{change}: {status}");
    }
}

/// Gives a file these lengths, one after the other, as `truncate -s` does.
fn shorten(path: &Path, lengths: &[u64]) {
    let file = OpenOptions::new().write(true).open(path).expect("it opens");
    lengths.iter().for_each(|length| file.set_len(*length).expect("its length"));
}

#[test]
fn run_ends_with_1_when_its_log_is_emptied_or_cut_and_the_buffer_stays_sound() {
    // The last one is as long as before, and its head is gone.
    for lengths in [&[0][..], &[4096], &[0, 10_000_000]] {
        let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
        program.ingest(1);
        let run = Running::start(program.command(&["run"]));
        run.wait_for_log("waiting for the next slot");
        program.ingest(100);
        shorten(&program.path("passbridge.db-wal"), lengths);
        let ended = run.wait();
        assert_eq!(ended.code, 1, "{lengths:?}: {ended:?}");
        assert!(ended.err.contains("passbridge.db-wal\" was overwritten"), "{lengths:?}: {ended:?}");
        let verified = program.run(&["status", "--verify"]);
        assert_eq!(verified.code, 0, "{lengths:?}: {verified:?}");
    }
}

#[test]
fn a_log_that_sqlite_itself_empties_is_no_fault() {
    let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("waiting for the next slot");
    let other = Connection::open(program.path("passbridge.db")).expect("the database");
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(6) {
        count += 1;
        program.ingest(count);
        let busy: i64 =
            other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
        assert_eq!((busy, fs::metadata(program.path("passbridge.db-wal")).expect("a log").len()), (0, 0));
    }
    send(run.child(), Signal::TERM);
    let ended = run.wait();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], count);
}

#[test]
fn run_that_is_stopped_just_when_its_log_was_removed_ends_with_1() {
    let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("waiting for the next slot");
    fs::remove_file(program.path("passbridge.db-shm")).expect("it is removed");
    send(run.child(), Signal::TERM);
    let ended = run.wait();
    assert!(ended.code == 1 && ended.err.contains("was removed or replaced"), "{ended:?}");
}

#[test]
fn run_ends_with_1_when_its_buffer_is_overwritten_with_an_older_raw_copy() {
    let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
    program.ingest(1);
    let older = fs::read(program.path("passbridge.db")).expect("a raw copy");
    program.ingest(2);
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("waiting for the next slot");
    overwrite(&program.path("passbridge.db"), &older);
    let ended = run.wait();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("was overwritten"), "{ended:?}");
}

#[test]
fn an_ingest_whose_buffer_is_overwritten_ends_with_1() {
    let program = Program::new();
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    program.write("first.ndjson", &lines(5));
    let first = program.path("first.ndjson");
    let mut ingest =
        program.command(&["ingest", text(&first), "-"]).stdin(Stdio::piped()).spawn().expect("it starts");
    let input = ingest.stdin.take();
    while program.json(&["status"]).1["pending"] != 5 {
        assert!(ingest.try_wait().expect("a child").is_none(), "it ended by itself");
    }
    overwrite(&program.path("passbridge.db"), &fs::read(&copy).expect("a copy"));
    drop(input);
    let output = ingest.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("was overwritten"), "{said}");
}

#[test]
fn a_fifo_in_the_place_of_a_lock_is_refused_and_nobody_waits_for_it() {
    let program = Program::new();
    let made = Command::new("mkfifo").arg(program.path("passbridge.db.lock")).status();
    assert!(made.expect("mkfifo").success());
    for command in ["drain", "retention"] {
        let refused = program.run(&[command]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("no regular file") && refused.err.contains("db.lock"), "{refused:?}");
    }
}

#[test]
fn a_shm_that_is_cut_off_ends_the_program_with_a_message_and_1() {
    let program = Program::with("[schedule]\ncron = \"* * * * * *\"\n");
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("drain ends");
    OpenOptions::new()
        .write(true)
        .open(program.path("passbridge.db-shm"))
        .expect("it is there")
        .set_len(0)
        .expect("cut");
    let ended = run.wait();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("-shm"), "{ended:?}");
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

/// A library that shows another time to the program that it is loaded into, once the folder has a file `turned`.
pub(crate) fn clock_shim(folder: &Path, seconds: i64) -> PathBuf {
    let (code, library) = (folder.join("clock.c"), folder.join(format!("clock{seconds}.so")));
    let source = format!(
        "#include <time.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
         int clock_gettime(clockid_t id, struct timespec *at) {{\n\
         if (id != CLOCK_REALTIME || access(\"{}\", F_OK)) return syscall(SYS_clock_gettime, id, at);\n\
         at->tv_sec = {seconds}; at->tv_nsec = 0; return 0; }}\n",
        text(&folder.join("turned"))
    );
    fs::write(&code, source).expect("code");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", text(&library), text(&code)]).output();
    assert!(built.expect("a C compiler").status.success());
    library
}

#[test]
fn a_clock_that_no_event_can_have_is_said_and_ends_with_1() {
    let program = Program::new();
    program.ingest(1);
    program.write("turned", "");
    let events = program.path("events.ndjson");
    for seconds in [-86_400, -1, 9_300_000_000, 40_000_000_000, i64::MAX] {
        let shim = clock_shim(&program.path(""), seconds);
        for args in [&["status"][..], &["ingest", text(&events)], &["drain"], &["run"], &["retention"]] {
            let mut command = program.command(args);
            command.env("LD_PRELOAD", &shim);
            let refused = done(command);
            assert_eq!(refused.code, 1, "{seconds} {refused:?}");
            assert!(refused.err.contains("the clock of this host"), "{seconds} {refused:?}");
        }
    }
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn a_clock_that_goes_wrong_under_run_is_said() {
    let program = Program::with("[schedule]\ncron = \"* * * * * *\"\n");
    let mut command = program.command(&["run"]);
    command.env("LD_PRELOAD", clock_shim(&program.path(""), -86_400));
    let run = Running::start(command);
    run.wait_for_log("drain ends");
    program.write("turned", "");
    run.wait_for_log("no drain comes due until the clock of this host is set");
    fs::remove_file(program.path("turned")).expect("the clock is right again");
    send(run.child(), Signal::TERM);
    assert_eq!(run.wait().code, 0);
}

// ---- restore

#[test]
fn a_copy_is_restored_in_the_place_of_a_buffer_that_is_kept() {
    let program = Program::new();
    let add = [
        "suite",
        "add",
        "--requestor",
        "REF30",
        "--rsid",
        "examplersid",
        "--collection-url",
        NOWHERE,
        "--event-ids",
        "off",
    ];
    assert_eq!(program.run(&add).code, 0);
    program.ingest(3);
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    program.ingest(8);
    // A process that is killed leaves its log behind, which must not be read into the copy.
    let killed = Running::start(program.command(&["run"]));
    killed.wait_for_log("waiting for the next slot");
    drop(killed);

    let (code, restored) = program.json(&["restore", text(&copy)]);
    assert_eq!(code, 0, "{restored}");
    let kept = PathBuf::from(restored["kept"].as_str().expect("a path"));
    assert_eq!((mode(&kept), mode(&program.path("passbridge.db"))), (0o600, 0o600));
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3);
    let journal: String = Connection::open(program.path("passbridge.db"))
        .and_then(|database| database.query_row("PRAGMA journal_mode", [], |row| row.get(0)))
        .expect("a mode");
    assert_eq!(journal, "wal");
    let asks = program.run(&["drain"]);
    assert_eq!(asks.code, 2, "{asks:?}");
    assert!(asks.err.contains("--accept-repeat"), "{asks:?}");

    assert_eq!(program.run(&["restore", text(&kept)]).code, 0, "and back again");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 8);
    assert_eq!(program.run(&["drain"]).code, 2, "a copy by another name is a copy too");
}

#[test]
fn a_restored_copy_of_an_earlier_release_says_what_goes_back_and_what_upgrades_it() {
    let program = Program::new();
    let copy = program.path("passbridge.db.schema-5.backup");
    fs::copy(crate::fixture::path("buffers/schema-5.sqlite"), &copy).expect("as an upgrade left it");
    let restored = program.run(&["restore", text(&copy)]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let told = restored.out;
    for part in ["(schema 5)", "to go back to the release that wrote it, start that one now", text(&copy)] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(program.json(&["restore", text(&copy)]).1["upgrade_copy"], text(&copy));
    // What an upgrade copies is what the text has named.
    fs::remove_file(&copy).expect("the copy goes");
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
    assert_eq!(mode(&copy), 0o600);
    let now = program.path("now.db");
    assert_eq!(program.run(&["backup", text(&now)]).code, 0);
    let (_, restored) = program.json(&["restore", text(&now)]);
    assert_eq!(restored["upgrade_copy"], serde_json::Value::Null);
}

#[test]
fn a_write_ahead_log_beside_a_copy_is_named_whether_it_is_the_copys_or_not() {
    let program = Program::new();
    program.ingest(3);
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    let other = Connection::open(program.path("other.db")).expect("another database");
    other
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(99999));",
        )
        .expect("a log");
    let log = program.path("copy.db-wal");
    fs::copy(program.path("other.db-wal"), &log).expect("a log of another database");
    let refused = program.run(&["restore", text(&copy)]);
    assert!(refused.code != 0 && refused.err.contains(text(&log)), "{refused:?}");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3, "nothing was changed");

    // The file and the log of a buffer that was killed.
    fs::remove_file(&log).expect("the log");
    let files =
        ["", "-wal"].map(|end| (program.path(&format!("passbridge.db{end}")), format!("crashed.db{end}")));
    let open = Connection::open(&files[0].0).expect("the buffer");
    let read = open.query_row("SELECT count(*) FROM delivered", [], |row| row.get::<_, i64>(0));
    assert_eq!(read.expect("a connection, which keeps the log"), 0);
    program.ingest(5);
    for (from, to) in &files {
        fs::copy(from, program.path(to)).expect("a copy");
    }
    drop(open);
    let crashed = program.path("crashed.db");
    let restored = program.run(&["restore", text(&crashed)]);
    assert!(restored.code == 0 && restored.out.contains("crashed.db-wal"), "{restored:?}");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 5);
}

#[test]
fn a_configuration_with_a_secret_that_everybody_may_read_is_warned_of() {
    for (section, mode, is_warned) in [
        ("[bulk]\nclient_secret = \"s3cret\"\n", 0o644, true),
        ("[analytics]\nclient_secret = \"s3cret\"\n", 0o644, true),
        ("[bulk]\nclient_secret = \"s3cret\"\n", 0o640, false),
        ("[bulk]\nclient_id = \"c\"\n", 0o644, false),
    ] {
        let program = Program::with(section);
        fs::set_permissions(program.path("c.toml"), Permissions::from_mode(mode)).expect("its mode");
        let done = program.run(&["status"]);
        assert_eq!(done.code, 0, "{done:?}");
        let is_told =
            done.err.contains("everybody on this host may use the file") && done.err.contains("c.toml");
        assert_eq!(is_told, is_warned, "{section} {mode:o} {done:?}");
        assert!(!done.err.contains("s3cret"), "{done:?}");
    }
}

#[test]
fn a_clock_that_jumps_during_a_drain_ends_it_with_1() {
    for seconds in [-86_400, 9_300_000_000] {
        let (sandbox, program) = (sandbox("slow-reply=200ms"), Program::with("[delivery]\nlanes = 1\n"));
        program.suite(&sandbox.url());
        program.ingest(40);
        let mut command = program.command(&["drain"]);
        command.env("LD_PRELOAD", clock_shim(&program.path(""), seconds));
        let drain = Running::start(command);
        assert!(sandbox.wait_accepted(1, PATIENCE), "nothing is sent");
        program.write("turned", "");
        let ended = drain.wait();
        assert!(ended.code == 1 && ended.err.contains("the clock of this host"), "{seconds} {ended:?}");
        assert_eq!(program.run(&["status", "--verify"]).code, 0);
        assert!(sandbox.accepted_count() < 40, "it went on");
    }
}

#[test]
fn a_buffer_that_is_damaged_or_gone_comes_back() {
    let program = Program::new();
    program.ingest(3);
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    overwrite(&program.path("passbridge.db"), &[7; 5000]);
    assert_ne!(program.run(&["status"]).code, 0);
    assert_eq!(program.run(&["restore", text(&copy)]).code, 0);
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3);
    fs::remove_file(program.path("passbridge.db")).expect("it is gone");
    let (code, restored) = program.json(&["restore", text(&copy)]);
    assert_eq!((code, &restored["kept"]), (0, &serde_json::Value::Null), "{restored}");
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3);
}

#[test]
fn what_is_no_good_copy_changes_nothing() {
    let program = Program::new();
    program.ingest(3);
    let before = names(&program, "");
    let good = program.path("good.db");
    assert_eq!(program.run(&["backup", text(&good)]).code, 0);
    let bytes = fs::read(&good).expect("a copy");
    let copy = program.path("copy.db");
    let mut damaged = bytes.clone();
    for byte in &mut damaged[8192..20_480] {
        *byte ^= 0x55;
    }
    for (content, code, word) in [
        (&damaged[..], 1, "damaged"),
        (&bytes[..bytes.len() / 2], 1, "damaged"),
        (b"hello", 2, "no buffer"),
        (b"", 2, "no buffer"),
    ] {
        fs::write(&copy, content).expect("a copy");
        let refused = program.run(&["restore", text(&copy)]);
        assert_eq!(refused.code, code, "{word}: {refused:?}");
        assert!(refused.err.contains(word), "{refused:?}");
    }
    // Whoever named the wrong file is told of that file, not of the buffer.
    for (file, code, why) in [
        (program.path("nofile"), 2, "No such file or directory"),
        (PathBuf::from("/etc/passwd"), 2, "it is no buffer of passbridge"),
    ] {
        let refused = program.run(&["restore", text(&file)]);
        let names_copy =
            refused.err.contains("is no copy to restore: ") && refused.err.contains("try: name a copy");
        assert!(refused.code == code && refused.err.contains(why) && names_copy, "{refused:?}");
    }
    fs::write(&copy, &bytes).expect("a copy");
    Connection::open(&copy)
        .and_then(|database| database.pragma_update(None, "user_version", 99))
        .expect("a copy of a later release");
    assert_eq!(program.run(&["restore", text(&copy)]).code, 2);
    assert_eq!(program.run(&["restore", &program.place("passbridge.db")]).code, 2, "the buffer itself");
    fs::remove_file(&copy).expect("it was made here");
    fs::remove_file(&good).expect("it was made here");
    assert_eq!(
        names(&program, "").len(),
        before.len() + 2,
        "the locks, and nothing else: {:?}",
        names(&program, "")
    );
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3);
}

#[test]
fn a_copy_or_a_buffer_with_other_tables_than_passbridge_made_is_refused_by_their_name() {
    let program = Program::new();
    program.ingest(3);
    let (good, copy, buffer) =
        (program.path("good.db"), program.path("copy.db"), program.path("passbridge.db"));
    assert_eq!(program.run(&["backup", text(&good)]).code, 0);
    for (spoil, why) in [
        ("DROP TABLE held", "its table held is missing or was changed"),
        ("DROP INDEX tombstones", "its index tombstones is missing or was changed"),
        ("ALTER TABLE runs ADD COLUMN more TEXT", "its table runs is missing or was changed"),
        ("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM queue; END", "its trigger t was made by"),
        ("CREATE VIEW v AS SELECT 1", "its view v was made by"),
        ("CREATE UNIQUE INDEX i ON events (seq, occurred_at)", "its index i was made by"),
        ("PRAGMA user_version = -1", "its schema version is -1"),
        ("PRAGMA user_version = 0", "its schema version is 0"),
        ("PRAGMA user_version = 5", "its "),
    ] {
        fs::copy(&good, &copy).expect("a copy");
        Connection::open(&copy).and_then(|database| database.execute_batch(spoil)).expect(spoil);
        let before = fs::read(&buffer).expect("the buffer");
        let refused = program.run(&["restore", text(&copy)]);
        assert!(refused.code == 1 && refused.err.contains(why), "{spoil}: {refused:?}");
        assert!(refused.err.contains("copy.db\" is not as passbridge made it"), "{refused:?}");
        assert!(fs::read(&buffer).expect("the buffer") == before && names(&program, "copy").len() == 1);
        // The same file as the buffer itself.
        let other = Program::bare();
        other.write("c.toml", "");
        fs::copy(&copy, other.path("passbridge.db")).expect("a buffer");
        for args in [&["status", "--verify"][..], &["drain"], &["run"]] {
            let refused = other.run(args);
            assert!(refused.code == 1 && refused.err.contains(why), "{spoil} {args:?}: {refused:?}");
        }
    }
    let spoil = "ANALYZE; CREATE TABLE of_another_program (id); INSERT INTO of_another_program VALUES (1)";
    fs::copy(&good, &copy).expect("a copy");
    Connection::open(&copy).and_then(|database| database.execute_batch(spoil)).expect(spoil);
    assert_eq!(program.run(&["restore", text(&copy)]).code, 0);
    assert_eq!(program.json(&["status", "--verify"]).1["pending"], 3);
}

#[test]
fn who_may_not_use_the_buffer_is_told_of_rights_and_not_of_the_disk() {
    let program = Program::with("");
    let buffer = program.path("passbridge.db");
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    // Root may do everything, so another user tries: the folder is open to him, and the buffer is not.
    allow(&program.path(""), 0o755);
    let run = |words: &[&str]| {
        let mut command = program.command(words);
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        done(command)
    };
    let told = |words: &[&str], what: &Path| {
        let refused = run(words);
        let name = format!("cannot use {:?}", text(what));
        let says =
            refused.err.contains("Permission denied") && refused.err.contains("try: run it as the user");
        assert!(refused.code == 1 && refused.err.contains(&name) && says, "{words:?}: {refused:?}");
    };
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    allow(&copy, 0o000);
    let refused = run(&["restore", text(&copy)]);
    let says =
        refused.err.contains("Permission denied") && refused.err.contains("a copy that this user may read");
    assert!(refused.code == 2 && says, "{refused:?}");
    allow(&buffer, 0o000);
    for words in [&["status"][..], &["drain"], &["report"], &["ingest", "-"]] {
        told(words, &buffer);
    }
    allow(&buffer, 0o666);
    allow(&program.path(""), 0o555);
    told(&["status"], &fs::canonicalize(program.path("")).expect("a folder"));
    allow(&program.path(""), 0o755);
}

#[test]
fn a_pipe_is_no_copy_to_restore() {
    let program = Program::with("");
    let pipe = program.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    // Nobody writes into it: whoever opened it would wait for ever.
    let refused = program.run(&["restore", text(&pipe)]);
    assert!(refused.code != 0 && refused.err.contains("it is no regular file"), "{refused:?}");
}

#[test]
fn nothing_is_restored_under_a_process_that_has_the_buffer_open() {
    let program = Program::with("[schedule]\ncron = \"0 0 1 1 *\"\n");
    let copy = program.path("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("waiting for the next slot");
    let refused = program.run(&["restore", text(&copy)]);
    assert_eq!(refused.code, 75, "{refused:?}");
    assert!(refused.err.contains("another process has"), "{refused:?}");
    drop(run);
    assert_eq!(program.run(&["restore", text(&copy)]).code, 0);
}

#[test]
fn what_is_in_the_way_of_a_file_is_said_with_what_to_do() {
    let program = Program::new();
    let copy = program.path("copy.db");
    symlink(program.path("elsewhere"), &copy).expect("a link that leads nowhere");
    let refused = program.run(&["backup", text(&copy)]);
    assert!(refused.code == 2 && refused.err.contains("name another file"), "{refused:?}");
    fs::remove_file(&copy).expect("the link goes");
    program.write("copy.db.partial", "left");
    let refused = program.run(&["backup", text(&copy)]);
    assert!(
        refused.code == 1 && refused.err.contains("try: look at the file in the way, remove it"),
        "{refused:?}"
    );
    let itself = program.run(&["restore", &program.place("passbridge.db")]);
    assert!(itself.code == 2 && itself.err.contains("try: name a copy"), "{itself:?}");
}

#[test]
fn a_backup_is_not_written_beside_what_sqlite_would_read_into_it() {
    let program = Program::new();
    program.ingest(3);
    let copy = program.path("copy.db");
    for ending in ["-wal", "-shm", "-journal", ".partial-journal"] {
        let stale = program.path(&format!("copy.db{ending}"));
        symlink(program.path("elsewhere"), &stale).expect("what another program left");
        let refused = program.run(&["backup", text(&copy)]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(text(&stale)) && refused.err.contains("remove it first"), "{refused:?}");
        assert!(!copy.exists() && stale.is_symlink(), "{ending}");
        fs::remove_file(stale).expect("it goes");
    }
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
}

#[test]
fn a_file_that_is_there_is_refused_alike_by_all_that_write_a_new_one() {
    let program = Program::new();
    program.suite(NOWHERE);
    program.write("there.md", "mine");
    let there = program.path("there.md");
    for args in [&["backup"][..], &["suite", "export"], &["suite", "sheet", "--out"]] {
        let refused = program.run(&[args, &[text(&there)]].concat());
        assert_eq!(refused.code, 2, "{args:?} {refused:?}");
        assert!(
            refused.err.contains("exists") && refused.err.contains("try: name another file"),
            "{args:?} {refused:?}"
        );
    }
    assert_eq!(fs::read_to_string(&there).expect("it is there"), "mine");
}

#[test]
fn what_is_no_buffer_is_said_to_be_none_and_a_second_name_says_what_to_do() {
    let program = Program::new();
    let buffer = program.path("passbridge.db");
    let second = program.path("second.db");
    fs::hard_link(&buffer, &second).expect("a second name");
    let refused = program.run(&["status"]);
    assert!(refused.err.contains("a second name (a hard link)"), "{refused:?}");
    assert!(refused.code == 1 && refused.err.contains("try: do what the cause says"), "{refused:?}");
    fs::remove_file(&second).expect("the name goes");
    for other in ["a folder", "a pipe", "a foreign file"] {
        fs::remove_file(&buffer).expect("what was there goes");
        match other {
            "a folder" => fs::create_dir(&buffer).expect("a folder"),
            "a pipe" => {
                let made = Command::new("mkfifo").arg(&buffer).status().expect("mkfifo runs");
                assert!(made.success());
            }
            _ => fs::write(&buffer, "somebody's notes, which are long enough to be no header of SQLite")
                .expect("a file"),
        }
        for args in [&["status"][..], &["init"]] {
            let refused = program.run(args);
            assert!(
                refused.code == 2 && refused.err.contains("is no buffer of passbridge"),
                "{other} {args:?} {refused:?}"
            );
        }
        if other == "a folder" {
            fs::remove_dir(&buffer).expect("the folder goes");
            program.write("passbridge.db", "");
        }
    }
}

#[test]
fn a_full_disk_of_rejects_is_advised_to_be_freed() {
    let program = Program::new();
    program.write("bad.ndjson", &format!("{}\n", "nonsense ".repeat(25)).repeat(20_000));
    let bad = program.path("bad.ndjson");
    let failed = program.through_shell("trap '' XFSZ; ulimit -f 4000", &["ingest", text(&bad)]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("cannot keep rejected lines") && failed.err.contains("try: free some disk"),
        "{failed:?}"
    );
}

#[test]
fn a_dash_is_standard_output_or_refused_and_never_a_file_of_that_name() {
    let program = Program::new();
    program.suite(NOWHERE);
    let exported = |args: &[&str]| {
        let mut command = program.command(args);
        command.current_dir(program.path(""));
        done(command)
    };
    assert!(exported(&["suite", "export", "-"]).out.contains("\"suites\""));
    assert!(
        exported(&["suite", "sheet", "--out", "-"]).out.contains("examplersid")
            || exported(&["suite", "sheet", "--out", "-"]).out.contains("event1")
    );
    for args in [&["backup", "-"][..], &["report", "--html", "-"], &["backfill", "export", "x", "-"]] {
        let refused = exported(args);
        assert_eq!(refused.code, 2, "{args:?} {refused:?}");
    }
    assert!(!program.path("-").exists());
}

#[test]
fn a_drain_that_records_keeps_its_thread_however_many_changes_wait() {
    let house = House::new();
    let run = house.buffer.begin_run(JobKey::LIVE).expect("a run").run;
    let other = Connection::open(house.buffer.path()).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock of writers");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (sender, answers) = std::sync::mpsc::channel();
    for number in 0..100 {
        let (buffer, sender) = (house.buffer.clone(), sender.clone());
        std::thread::spawn(move || sender.send(buffer.open_input(&number.to_string()).is_ok()));
    }
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        other.execute_batch("COMMIT").expect("the end of the lock");
    });
    runtime.block_on(async {
        let recorded = house.buffer.record(run, Claims::default(), Vec::new());
        tokio::pin!(recorded);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut recorded).await;
        assert!(early.is_err() && began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
        recorded.await.expect("it is recorded");
    });
    assert!(answers.iter().take(100).all(|is_open| is_open));
}

#[test]
fn no_output_is_written_among_rejects_or_bulk_files() {
    let program = Program::with("");
    program.ingest(3);
    for folder in ["rejects", "bulk", "bulk/h"] {
        fs::create_dir(program.path(folder)).expect("a folder");
    }
    for name in
        ["rejects/rejected-x.ndjson", "bulk/h/../../rejects/new", "bulk/part.csv.gz", "bulk/h/part.csv.gz"]
    {
        let path = program.path(name);
        if !name.ends_with("new") {
            fs::write(&path, "a line to mend").expect("a file");
        }
        let before = fs::read(&path).ok();
        for args in [
            &["export", "events", "--output"][..],
            &["export", "outcomes", "--output"],
            &["export", "person", "--visitor-id", "v", "--output"],
            &["report", "--period=this-month", "--html"],
            &["backup"],
            &["suite", "export"],
            &["suite", "sheet", "--format=md", "--out"],
        ] {
            let refused = program.run(&[args, &[text(&path)]].concat());
            let says = refused.err.contains("a folder of the program's own");
            assert!(
                refused.code == 2 && says && fs::read(&path).ok() == before,
                "{args:?} {name} {refused:?}"
            );
        }
    }
    for folder in ["rejects", "bulk"] {
        let refused = program.run(&["backup", "--into", text(&program.path(folder))]);
        assert!(refused.code == 2 && refused.err.contains("a folder of the program's own"), "{refused:?}");
    }
}

#[test]
fn no_backfill_is_exported_among_what_the_program_needs() {
    let program = Program::with("[serve]\ntokens_file = \"tokens\"\n");
    let file = program.file("h.ndjson", &lines(3));
    let run = program.run(&["backfill", "run", "h", &file]);
    program.suite("http://127.0.0.1:1");
    assert!(program.json(&["backfill", "status", "h"]).1["backfills"][0]["pending"] == 3, "{run:?}");
    // Folders that are not there yet, and those that are.
    for _ in 0..2 {
        for folder in ["rejects", "bulk", "bulk/h", "none/../bulk", "tokens", "passbridge.db-wal"] {
            let refused = program.run(&["backfill", "export", "h", text(&program.path(folder))]);
            assert!(refused.code == 2 && refused.err.contains("cannot write"), "{folder} {refused:?}");
            assert!(!program.path("none").exists() && !program.path("tokens").exists(), "{folder}");
        }
        ["rejects", "bulk"]
            .iter()
            .for_each(|folder| fs::create_dir_all(program.path(folder)).expect("a folder"));
    }
    let exported = program.run(&["backfill", "export", "h", text(&program.path("new/folder"))]);
    assert_eq!(
        (exported.code, fs::read_dir(program.path("new/folder")).expect("a folder").count()),
        (0, 1),
        "{exported:?}"
    );
}

#[test]
fn no_output_takes_the_place_of_what_the_program_needs_or_of_what_is_no_file() {
    let program = Program::with("[serve]\ntokens_file = \"tokens\"\n");
    program.ingest(3);
    assert_eq!(program.run(&["drain"]).code, 0);
    program.write("tokens", "0123456789abcdef\n");
    program.write("real.toml", &fs::read_to_string(program.path("c.toml")).expect("a configuration"));
    fs::remove_file(program.path("c.toml")).expect("it goes");
    symlink("real.toml", program.path("c.toml")).expect("a link");
    fs::create_dir(program.path("other")).expect("a folder");
    mknodat(CWD, program.path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let open = Connection::open(program.path("passbridge.db")).expect("the buffer");
    open.execute("INSERT INTO inbox (body) VALUES ('{}')", []).expect("a row in the log");
    for (name, why) in [
        ("passbridge.db", "a database stands there, and stays"),
        ("c.toml", "it is the configuration"),
        ("real.toml", "it is the configuration"),
        ("other/../tokens", "a file that this names"),
        ("passbridge.db-wal", "one of the buffer's"),
        ("passbridge.db.lock", "one of the buffer's"),
        ("other", "no file"),
        ("pipe", "no file"),
    ] {
        let path = program.path(name);
        // Who reads a pipe waits for its writer.
        let content = || (name != "pipe").then(|| fs::read(&path).ok());
        let before = content();
        for args in [
            &["export", "events", "--output"][..],
            &["export", "outcomes", "--output"],
            &["report", "--period=this-month", "--html"],
            &["backup"],
            &["suite", "export"],
            &["suite", "sheet", "--format=md", "--out"],
        ] {
            let args = [args, &[text(&path)]].concat();
            let refused = Running::start(program.command(&args)).wait();
            let why = if args[0] == "report" {
                // A page goes into a pipe whose other end is open.
                why.replace("no file", if name == "pipe" { "nobody reads it" } else { "Is a directory" })
            } else {
                why.to_owned()
            };
            assert!(refused.code == 2 || why == "Is a directory", "{args:?} {refused:?}");
            assert!(refused.err.contains(text(&path)) && refused.err.contains(&why), "{args:?} {refused:?}");
        }
        assert_eq!(content(), before, "{name}");
    }
    drop(open);
    assert_eq!(program.json(&["status"]).1["pending"], 3);
    // Nor does it take a name under which the program would look for one of its own files.
    for name in ["passbridge.db-journal", "passbridge.db.backfill.lock", "rejects", "esm-client.json"] {
        let path = program.path(name);
        fs::remove_file(&path).unwrap_or_default();
        for args in [&["backup"][..], &["suite", "export"], &["suite", "sheet", "--format=md", "--out"]] {
            let refused = program.run(&[args, &[text(&path)]].concat());
            assert!(
                refused.code == 2 && refused.err.contains("it is the configuration, a file that"),
                "{refused:?}"
            );
            assert!(!path.exists(), "{args:?} {name}");
        }
    }
    let pipe = program.path("pipe");
    assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
    let reader = std::thread::spawn(move || fs::read_to_string(pipe).expect("a page"));
    let page = program.place("pipe");
    let page = ["report", "--period=this-month", "--html", &page];
    let started = Instant::now();
    while program.run(&page).code != 0 {
        assert!(started.elapsed() < PATIENCE, "the pipe has no reader");
    }
    assert!(reader.join().expect("it reads").contains("</html>"));
}

#[test]
fn no_output_takes_a_name_that_a_killed_command_leaves_behind_or_under_which_copies_are_deleted() {
    let program = Program::with("");
    program.ingest(3);
    for name in
        ["passbridge.db.partial", "a.forgetting", "passbridge.db.schema-9.backup", "passbridge.db.replaced-x"]
    {
        let path = program.path(name);
        for args in
            [&["backup"][..], &["export", "events", "--output"], &["suite", "sheet", "--format=md", "--out"]]
        {
            let refused = program.run(&[args, &[text(&path)]].concat());
            assert!(refused.code == 2 && refused.err.contains("have such names"), "{refused:?}");
            assert!(!path.exists(), "{args:?} {name}");
        }
    }
}
