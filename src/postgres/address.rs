//! The address of the database, and its password, which no URL may have.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::error::PostgresError;
use crate::web::read_secret_text;
use crate::whole_file::warn_if_open;

/// How long connecting may take: long enough for a failover to another server, shorter than the default lease.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
const PORT: u16 = 5432;

/// Where the database is, and which user logs in.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    /// Whether the server must prove by a certificate that it has the host name of the URL.
    pub(super) is_verified: bool,
}

impl Address {
    /// Reads `postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full`. The error says what is wrong with the URL.
    pub fn parse(url: &str) -> Result<Address, String> {
        let refuse = |why: &str| Err(why.to_owned());
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return refuse("it must begin with postgres://");
        }
        let (bare, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut others) = (None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                _ => others.push(pair),
            }
        }
        let mut config: Config = format!("{bare}?{}", others.join("&"))
            .parse()
            .map_err(|error| format!("it cannot be read: {}", in_words(&error)))?;
        if config.get_password().is_some() {
            return refuse(
                "it has a password, which a listing of processes or a log may show: put it into buffer.password_file, or into \
                 the file that PGPASSFILE names",
            );
        }
        if config.get_user().is_none() || config.get_dbname().is_none() || config.get_hosts().is_empty() {
            return refuse("it must name a user, a host and a database: postgres://USER@HOST/DATABASE");
        }
        let is_near = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        };
        // With `hostaddr`, the connection goes to that address, whatever the name of the host is.
        let is_near = config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_near);
        let is_verified = match mode {
            Some("verify-full") => true,
            Some("disable") if is_near => false,
            None => !is_near,
            Some("disable") => {
                return refuse("sslmode=disable is for a server on this host: events hold personal data");
            }
            Some(other) => {
                return Err(format!(
                    "sslmode={other} does not prove which server answers: say sslmode=verify-full"
                ));
            }
        };
        config
            .ssl_mode(if is_verified { SslMode::Require } else { SslMode::Disable })
            .application_name("passbridge")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX);
        Ok(Address { config, is_verified })
    }

    /// Adds the password in a file. If the path is empty, takes it from PGPASSFILE or `~/.pgpass`, if an entry fits.
    pub fn with_password(mut self, file: &Path) -> Result<Address, PostgresError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| PostgresError::Password { path, source }
        };
        if !file.as_os_str().is_empty() {
            warn_if_open(file);
            let text = read_secret_text(file).map_err(failed(file))?;
            self.config.password(text.trim_end_matches(['\n', '\r']));
            return Ok(self);
        }
        let named = env::var_os("PGPASSFILE").map(PathBuf::from);
        let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass"));
        let is_named = named.is_some();
        let Some(path) = named.or_else(home) else { return Ok(self) };
        let text = match read_secret_text(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(self),
            text => text.map_err(failed(&path))?,
        };
        // libpq ignores a file that others may read; here it is an error.
        if fs::metadata(&path).map_err(failed(&path))?.mode() & 0o077 != 0 {
            return Err(failed(&path)(io::Error::other("others may read it: chmod 600")));
        }
        if let Some(password) = self.password_in(&text) {
            self.config.password(password);
        }
        Ok(self)
    }

    /// The password of the first line that fits: `host:port:database:user:password`, where `*` fits all.
    fn password_in(&self, text: &str) -> Option<String> {
        let host = match self.config.get_hosts().first()? {
            Host::Tcp(name) => name.clone(),
            Host::Unix(_) => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().unwrap_or(&PORT).to_string();
        let own = [&host, &port, self.config.get_dbname()?, self.config.get_user()?];
        text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = fields(line);
            let fits =
                fields.len() == 5 && fields.iter().zip(own).all(|(field, own)| field == "*" || field == own);
            fits.then(|| fields[4].clone())
        })
    }
}

/// The fields of a line, in which `\:` means a colon and `\\` a backslash.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut letters) = (vec![String::new()], line.chars());
    while let Some(letter) = letters.next() {
        match letter {
            ':' if fields.len() < 5 => fields.push(String::new()),
            letter => {
                let letter = if letter == '\\' { letters.next().unwrap_or('\\') } else { letter };
                fields.last_mut().expect("there is always one").push(letter);
            }
        }
    }
    fields
}

fn in_words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The address for messages, without user and password.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let port = self.config.get_ports().first().unwrap_or(&PORT);
        write!(out, "postgres://{host}:{port}/{}", self.config.get_dbname().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_would_leak_a_password_or_trust_any_server_is_refused() {
        let said = |url: &str| Address::parse(url).err().unwrap_or_default();
        for (url, why) in [
            ("mysql://u@h/d", "postgres://"),
            ("postgres://u:secret@h/d", "buffer.password_file"),
            ("postgres://u@h", "a database"),
            ("postgres://h/d", "a user"),
            ("postgres://u@h/d?sslmode=require", "verify-full"),
            ("postgres://u@h/d?sslmode=disable", "personal data"),
            ("postgres://u@localhost/d?hostaddr=192.0.2.1&sslmode=disable", "personal data"),
            ("postgres://u@h/d?colour=red", "cannot be read"),
        ] {
            assert!(said(url).contains(why), "{url}: {}", said(url));
            assert!(!said(url).contains("secret"));
        }
        for (url, is_verified) in [
            ("postgres://u@db.example/d", true),
            ("postgres://u@db.example/d?sslmode=verify-full", true),
            ("postgres://u@localhost/d", false),
            ("postgres://u@localhost/d?hostaddr=192.0.2.1", true),
            ("postgres://u@localhost/d?sslmode=verify-full", true),
            ("postgres://u@%2Frun%2Fpg:5433/d", false),
            ("postgres://u@/d?host=/run/pg", false),
        ] {
            assert_eq!(
                Address::parse(url).map(|address| address.is_verified).ok(),
                Some(is_verified),
                "{url}"
            );
        }
    }

    #[test]
    fn a_password_comes_from_the_first_line_that_fits() {
        let address = Address::parse("postgres://u@db.example/d").expect("an address");
        let text =
            "# a comment\nother:5432:d:u:no\n*:*:*:v:no\ndb.example:*:d:u:a\\:b\\\\c:d\n*:*:*:*:late\n";
        assert_eq!(address.password_in(text).as_deref(), Some("a:b\\c:d"));
        assert_eq!(address.password_in("db.example:5433:d:u:x"), None);
    }
}
