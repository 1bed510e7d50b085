//! The built program, as a shell or a timer would run it: an empty environment, and a folder of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;

/// A configuration file and the buffer that it names, in a temporary folder.
pub(crate) struct Program {
    dir: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    /// A folder without anything in it.
    pub(crate) fn bare() -> Program {
        Program { dir: TempDir::new().expect("a temporary folder") }
    }

    /// An initialised one with this configuration.
    pub(crate) fn with(config: &str) -> Program {
        let program = Program::bare();
        program.write("c.toml", config);
        assert_eq!(program.run(&["init"]).code, 0);
        program
    }

    /// An initialised one that gives up on a dead host after a second.
    pub(crate) fn new() -> Program {
        Program::with(
            "[delivery]\nlanes = 4\ngive_up_seconds = 1\nbackoff_base_ms = 5\nbackoff_max_seconds = 1\n",
        )
    }

    /// Maps REF30 to examplersid at this collection URL.
    pub(crate) fn suite(&self, url: &str) {
        self.map("REF30", "examplersid", url, &[]);
    }

    /// Maps a requestor to a suite with these options.
    pub(crate) fn map(&self, requestor: &str, rsid: &str, url: &str, options: &[&str]) {
        let add = ["suite", "add", "--requestor", requestor, "--rsid", rsid, "--collection-url", url];
        let added = self.run(&[&add, options].concat());
        assert_eq!(added.code, 0, "{added:?}");
    }

    /// Stores so many events of REF30.
    pub(crate) fn ingest(&self, count: usize) {
        let file = self.file("events.ndjson", &lines(count));
        assert_eq!(self.run(&["ingest", &file]).code, 0);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    /// The path of a file as an argument.
    pub(crate) fn place(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("UTF-8")
    }

    /// Writes a file; its path as an argument.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.place(name)
    }

    /// A command with `--config`, ready to start; its working directory is `/`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare_command(Path::new("/"));
        command.arg("--config").arg(self.path("c.toml")).args(args);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(self.command(args))
    }

    /// Runs a command through a shell that does this first.
    pub(crate) fn through_shell(&self, first: &str, args: &[&str]) -> Done {
        let inner = self.command(args);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{first}; exec \"$0\" \"$@\""))
            .arg(inner.get_program())
            .args(inner.get_args());
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        done(command)
    }

    /// Runs a command without `--config`, for what needs no buffer.
    pub(crate) fn run_bare(&self, args: &[&str]) -> Done {
        let mut command = bare_command(self.dir.path());
        command.args(args);
        done(command)
    }

    /// Runs a command with `--json`; gives its status and its document.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, Value) {
        let done = done({
            let mut command = self.command(args);
            command.arg("--json");
            command
        });
        let document = serde_json::from_str(&done.out);
        (done.code, document.unwrap_or_else(|error| panic!("{args:?}: {error}\n{}\n{}", done.out, done.err)))
    }
}

/// A command that goes on beside the test. A test that fails, or drops it, leaves no process behind.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Its log, as far as it has come.
    log: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.stdin(Stdio::null()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("a log"));
        let (sender, lines) = mpsc::channel();
        let log = thread::spawn(move || {
            let mut text = String::new();
            for line in log.lines() {
                let line = line.expect("a line of the log");
                text.push_str(&line);
                text.push('\n');
                // Most tests wait for no line.
                drop(sender.send(line));
            }
            text
        });
        Running { child, lines, log: Some(log) }
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// Waits until it logs a line with this.
    pub(crate) fn wait_for_log(&self, part: &str) {
        while !self.lines.recv_timeout(PATIENCE).expect("a line of the log").contains(part) {}
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Done {
        let started = std::time::Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status.code().unwrap_or_else(|| panic!("ended by {status}"));
            }
            assert!(started.elapsed() < PATIENCE, "it goes on");
            thread::sleep(std::time::Duration::from_millis(5));
        };
        let mut out = String::new();
        self.child.stdout.take().expect("output").read_to_string(&mut out).expect("UTF-8");
        let err = self.log.take().expect("it is read once").join().expect("a log");
        Done { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// The program with an empty environment, in this folder.
pub(crate) fn bare_command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passbridge"));
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn done(mut command: Command) -> Done {
    let output = command.output().expect("the program starts");
    Done {
        code: output.status.code().expect("it exits by itself"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the signal is sent");
}

/// So many events of REF30, each of a viewer of its own.
pub(crate) fn lines(count: usize) -> String {
    let line = |number| {
        format!(
            "{{\"occurred_at\":\"2026-11-01T00:00:00Z\",\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\
             \"event_id\":\"e{number}\",\"mvpd\":\"M\",\"mvpd_user_id\":\"u{number}\"}}\n"
        )
    };
    (0..count).map(line).collect()
}
