//! The built program, for the tests in which death, signals and exit codes matter.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a configuration and a buffer, and the program that works on them.
pub(crate) struct Program {
    pub(crate) dir: TempDir,
}

impl Program {
    /// An initialised folder with the default configuration.
    pub(crate) fn new() -> Program {
        let program = Program { dir: TempDir::new().expect("a temporary folder") };
        program.succeeds(&["init"]);
        program
    }

    /// An initialised folder whose configuration is this text.
    pub(crate) fn with_config(config: &str) -> Program {
        let program = Program::new();
        std::fs::write(program.config(), config).expect("the configuration is written");
        program
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("c.toml")
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file is written");
        path
    }

    /// The program with this configuration and these arguments, its environment free of ours.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_passbridge"));
        command.env_clear().arg("--config").arg(self.config()).args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// Runs it to its end, which must be a success, and returns what it printed.
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?} ended with {}:\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs it with `--json` and returns the status and the document.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.run(&[args, &["--json"]].concat());
        let document = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {:?}\n{}", text(&output.stdout), text(&output.stderr)));
        (output.status.code().unwrap_or(-1), document)
    }

    /// Starts it and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    }

    /// Maps a requestor to a suite at this collection URL.
    pub(crate) fn add_suite(&self, requestor: &str, rsid: &str, url: &str, more: &[&str]) {
        let args = ["suite", "add", "--requestor", requestor, "--rsid", rsid, "--collection-url", url];
        self.succeeds(&[&args, more].concat());
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `count` play requests as NDJSON, of `visitors` visitors in turn, a second apart, numbered in eVar6 and `event_id`.
pub(crate) fn plays_ndjson(count: usize, visitors: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let event = serde_json::json!({
            "occurred_at": crate::support::FIRST_SECOND - 100_000 + (number / visitors) as i64,
            "event": "play_requested",
            "requestor_id": crate::support::REQUESTOR,
            "event_id": number.to_string(),
            "mvpd_user_id": format!("user{}", number % visitors),
            "resource_id": number.to_string(),
        });
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    lines
}

/// Whether a path exists below the folder.
pub(crate) fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}
