//! Databases, servers, and what stands before them: as a person would start them.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::PATIENCE;

/// A database of its own, which goes with the test.
pub(super) struct Database {
    pub(super) server: String,
    name: String,
}

impl Database {
    /// On the server of all tests; `None` without one.
    pub(super) fn new(name: &str) -> Option<Database> {
        Some(Database::on(&env::var("PASSBRIDGE_TEST_POSTGRES").ok()?, name))
    }

    pub(super) fn on(server: &str, name: &str) -> Database {
        let name = format!("{name}_{}", std::process::id());
        let database = Database { server: server.to_owned(), name };
        database.on_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name));
        database.on_server(&format!("CREATE DATABASE {}", database.name));
        database
    }

    pub(super) fn url(&self) -> String {
        self.url_at(&self.server)
    }

    /// The same database by way of another server.
    pub(super) fn url_at(&self, server: &str) -> String {
        let (bare, query) = server.split_once('?').unwrap_or((server, ""));
        let (bare, _) = bare.rsplit_once('/').expect("a URL with a database");
        format!("{bare}/{}?{query}", self.name)
    }

    pub(super) fn on_server(&self, sql: &str) -> String {
        psql(&self.server, sql)
    }

    pub(super) fn ask(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// A session in which statements are open until [`Session::end`].
    pub(super) fn session(&self, url: &str, sql: &str) -> Session {
        let mut psql = Command::new("psql");
        psql.args([url, "-q", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn().expect("psql starts");
        let mut input = child.stdin.take().expect("its input");
        writeln!(input, "{sql}").expect("a statement");
        let session = Session { input: Some(input), child };
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '{}%'",
            sql.trim_end_matches(';').rsplit(';').next().unwrap_or_default().trim().replace('\'', "''")
        );
        wait_until("the session is idle in its transaction", || self.on_server(&waits) != "0");
        session
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.on_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

pub(super) struct Session {
    input: Option<ChildStdin>,
    child: Child,
}

impl Session {
    pub(super) fn end(mut self, sql: &str) {
        writeln!(self.input.take().expect("it is open"), "{sql}").expect("a statement");
        assert!(self.child.wait().expect("psql ends").success());
    }
}

/// Tries again while the server starts.
pub(super) fn psql(url: &str, sql: &str) -> String {
    let started = Instant::now();
    loop {
        let asked = Command::new("psql").args([url, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql]).output();
        let asked = asked.expect("psql starts");
        if asked.status.success() {
            return String::from_utf8(asked.stdout).expect("UTF-8").trim().to_owned();
        }
        assert!(started.elapsed() < PATIENCE, "{sql}: {}", String::from_utf8_lossy(&asked.stderr));
        sleep(Duration::from_millis(100));
    }
}

/// Runs the statements of a file.
pub(super) fn psql_file(url: &str, file: &Path) {
    let done = Command::new("psql").args([url, "-qAt", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file).output();
    let done = done.expect("psql starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// A command as the user `postgres`, where the tests run as root, whom PostgreSQL does not serve.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

fn postgres_user() -> Option<(u32, u32)> {
    let id = |option: &str, name: &[&str]| {
        let asked = Command::new("id").arg(option).args(name).output().expect("id starts");
        String::from_utf8(asked.stdout).expect("UTF-8").trim().parse::<u32>().ok()
    };
    (id("-u", &[]) == Some(0)).then(|| {
        let [user, group] = ["-u", "-g"].map(|option| id(option, &["postgres"]).expect("a user postgres"));
        (user, group)
    })
}

/// A folder that belongs to whoever runs PostgreSQL.
pub(super) fn folder() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    give(dir.path());
    dir
}

/// Makes a file or folder belong to whoever runs PostgreSQL.
pub(super) fn give(path: &Path) {
    if let Some((user, group)) = postgres_user() {
        chown(path, Some(user), Some(group)).expect("a new owner");
    }
}

/// A server of its own, for crashes and settings that would disturb other tests.
pub(super) struct Cluster {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Cluster {
    /// `None` where the tests have no PostgreSQL. `settings` are lines of `postgresql.conf`.
    pub(super) fn start(settings: &[&str]) -> Option<Cluster> {
        Cluster::start_at(5432, settings)
    }

    pub(super) fn start_at(port: u16, settings: &[&str]) -> Option<Cluster> {
        env::var("PASSBRIDGE_TEST_POSTGRES").ok()?;
        let cluster = Cluster { dir: folder(), bin: programs(), port };
        let data = cluster.data();
        let mut initdb = as_postgres(&cluster.bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-N"]);
        let made = initdb.output().expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let dir = cluster.dir.path().display();
        let own = format!(
            "\nport = {port}\nlisten_addresses = ''\nunix_socket_directories = '{dir}'\n{}\n",
            settings.join("\n")
        );
        let conf = data.join("postgresql.conf");
        let text = fs::read_to_string(&conf).expect("a configuration") + &own;
        fs::write(&conf, text).expect("a configuration");
        cluster.pg_ctl(&["-w", "start"]);
        Some(cluster)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}&port={}", self.dir.path().display(), self.port)
    }

    pub(super) fn pg_ctl(&self, args: &[&str]) {
        let mut pg_ctl = as_postgres(&self.bin.join("pg_ctl"));
        pg_ctl.arg("-D").arg(self.data()).arg("-l").arg(self.dir.path().join("log")).args(args);
        let done = pg_ctl.stdout(Stdio::null()).status().expect("pg_ctl starts");
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(done.success() || thread::panicking(), "{args:?}: {}", log());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.pg_ctl(&["-m", "immediate", "stop"]);
    }
}

/// The folder of the newest PostgreSQL.
pub(super) fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.expect("a folder").path()).collect();
    versions.sort();
    versions.pop().expect("a version").join("bin")
}

/// A pgbouncer in transaction mode before a cluster.
pub(super) struct Pooler {
    dir: TempDir,
    child: Child,
}

impl Pooler {
    /// `None` if it is not installed.
    pub(super) fn start(cluster: &Cluster) -> Option<Pooler> {
        let dir = folder();
        let (own, behind) = (dir.path().display(), cluster.dir.path().display());
        let config = format!(
            "[databases]\n* = host={behind} port=5432\n[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = {own}\nauth_type = trust\n\
             auth_file = {own}/users\npool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 30\nserver_login_retry = 1\nlogfile = {own}/log\n"
        );
        fs::write(dir.path().join("ini"), config).expect("a configuration");
        fs::write(dir.path().join("users"), "\"postgres\" \"\"\n").expect("users");
        let child = Pooler::run(dir.path())?;
        Some(Pooler { dir, child })
    }

    fn run(dir: &Path) -> Option<Child> {
        let mut pgbouncer = as_postgres(Path::new("pgbouncer"));
        pgbouncer.arg("-q").arg(dir.join("ini")).stderr(Stdio::null()).stdout(Stdio::null());
        pgbouncer.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        pgbouncer.spawn().ok()
    }

    /// A URL of the server by way of it.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}&port=6432", self.dir.path().display())
    }

    pub(super) fn kill_and_start(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
        self.child = Pooler::run(self.dir.path()).expect("it starts again");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Stands before a cluster, and swallows the commit of the first transaction that stores events once it is armed.
pub(super) struct Swallower {
    dir: TempDir,
    is_armed: Arc<AtomicBool>,
    pub(super) swallowed: Receiver<()>,
    /// Lets it cut the connection.
    pub(super) cut: Sender<()>,
}

impl Swallower {
    pub(super) fn before(cluster: &Cluster) -> Swallower {
        let dir = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).expect("a socket");
        let behind = cluster.dir.path().join(".s.PGSQL.5432");
        let is_armed = Arc::new(AtomicBool::new(false));
        let (tell, swallowed) = channel();
        let (cut, is_cut) = channel();
        let armed = Arc::clone(&is_armed);
        let mut is_cut = Some((tell, is_cut));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = UnixStream::connect(&behind) else { continue };
                let (mut back, mut to) =
                    (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
                thread::spawn(move || {
                    drop(std::io::copy(&mut back, &mut to));
                    drop(to.shutdown(Shutdown::Both));
                });
                let swallow = if armed.load(Ordering::SeqCst) { is_cut.take() } else { None };
                thread::spawn(move || forward(client, server, swallow));
            }
        });
        Swallower { dir, is_armed, swallowed, cut }
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}&port=5432", self.dir.path().display())
    }

    pub(super) fn arm(&self) {
        self.is_armed.store(true, Ordering::SeqCst);
    }
}

fn forward(mut client: UnixStream, mut server: UnixStream, mut swallow: Option<(Sender<()>, Receiver<()>)>) {
    let (mut seen, mut bytes) = (Vec::new(), [0; 8192]);
    let has = |seen: &[u8], what: &[u8]| seen.windows(what.len()).position(|window| window == what);
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
        let stores = has(&seen, b"passbridge.event_seq");
        if stores.is_some_and(|at| has(&seen[at..], b"COMMIT\0").is_some())
            && let Some((tell, is_cut)) = swallow.take()
        {
            tell.send(()).unwrap_or_default();
            is_cut.recv().unwrap_or_default();
            break;
        }
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}
