//! A real browser, spoken to through two named pipes: messages of JSON, each ended by a NUL.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// Where the browser is missing, a test of pages fails: a page that nobody opened is not known to work.
const PACKAGE: &str = "chromium is missing: install the Debian package chromium (.ci/run does where it may)";
/// What keeps a browser from speaking to anybody, and from asking.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--window-size=1280,900",
    "about:blank",
];

/// A browser with one page open.
pub(crate) struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: Value,
    last_id: u64,
    /// What the page did since it was opened.
    events: Vec<Value>,
    // Dropped last: the browser writes there to its end.
    _folder: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Browser {
        let path = std::env::var_os("PATH").expect("a PATH");
        assert!(std::env::split_paths(&path).any(|folder| folder.join("chromium").is_file()), "{PACKAGE}");
        let folder = TempDir::new().expect("a temporary folder");
        let (inward, outward) = (folder.path().join("in"), folder.path().join("out"));
        for pipe in [&inward, &outward] {
            mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        }
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<in 4>out", "sh"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell");
        // In the order of the shell's redirections: each waits for the other side.
        let commands = OpenOptions::new().write(true).open(inward).expect("the pipe inward");
        let messages = listen(File::open(outward).expect("the pipe outward"));
        let mut browser = Browser {
            child,
            commands,
            messages,
            session: Value::Null,
            last_id: 0,
            events: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Log", "Runtime", "Network", "Page"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path) -> String {
        self.open_url(format!("file://{}", file.display()))
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn open_url(&mut self, url: String) -> String {
        self.events.clear();
        let answer = self.ask("Page.navigate", json!({ "url": url }));
        assert_eq!(answer.get("errorText"), None, "{url}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
        url
    }

    /// Pretends to be a screen of this width and height.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Pretends to be this medium; empty: the screen.
    pub(crate) fn emulate_media(&mut self, media: &str) {
        self.ask("Emulation.setEmulatedMedia", json!({ "media": media }));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert_eq!(answer.get("exceptionDetails"), None, "{expression}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page has this value.
    pub(crate) fn until(&mut self, expression: &str, expected: &Value) {
        let started = Instant::now();
        while self.value(expression) != *expected {
            assert!(started.elapsed() < PATIENCE, "{expression} is not {expected}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The page on paper.
    pub(crate) fn printed(&mut self) -> Vec<u8> {
        use base64::Engine;
        let answer = self.ask("Page.printToPDF", json!({"preferCSSPageSize": true}));
        let data = answer["data"].as_str().expect("a PDF");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }

    /// What the page asked for, by URL.
    pub(crate) fn requests(&self) -> Vec<&str> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().expect("a URL")).collect()
    }

    /// How many of the requests the policy of the page stopped.
    pub(crate) fn stopped_by_policy(&self) -> usize {
        self.events.iter().filter(|event| event["params"]["blockedReason"] == "csp").count()
    }

    /// What the page complained about: exceptions, and every line of the console that is no mere information.
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => {
                matches!(event["params"]["entry"]["level"].as_str(), Some("error" | "warning"))
            }
            Some("Runtime.consoleAPICalled") => {
                matches!(event["params"]["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some(_) | None => false,
        };
        self.events.iter().filter(is_complaint).collect()
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        write!(self.commands, "{message}\0").expect("the browser reads");
        loop {
            let message = self.next();
            if message["id"] == self.last_id {
                assert_eq!(message.get("error"), None, "{method}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn next(&self) -> Value {
        self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
            panic!("chromium does not answer: {error}\n{log}")
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself, which the test then said already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Reads messages until the browser ends.
fn listen(pipe: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let Ok(message) = message else { return };
            let message = serde_json::from_slice(&message).expect("a message of JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
