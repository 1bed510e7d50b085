//! The secrets of Dynamic Client Registration, on disk: the statement that is given, and the credentials that are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EsmError;
use crate::web::read_secret_text;

/// What a registered client is known by. Has no `Debug`: it must reach no message.
#[derive(Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: String,
}

impl Credentials {
    /// What was kept; `None` where nothing was.
    pub(super) fn read(path: &Path) -> Result<Option<Credentials>, EsmError> {
        let text = match read_secret_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse("esm.credentials_file", path, error.to_string())),
        };
        // serde's own texts may quote a value.
        let credentials = serde_json::from_str(&text).map_err(|_| {
            let why = "it is no JSON object with client_id and client_secret; remove it to register anew";
            refuse("esm.credentials_file", path, why.to_owned())
        })?;
        Ok(Some(credentials))
    }
}

/// Where credentials will be kept: its folder can be written, and the new file lies there already, for its owner's eyes only.
pub(super) struct Place {
    path: PathBuf,
    name: PathBuf,
    file: File,
}

impl Place {
    pub(super) fn prepare(path: &Path) -> Result<Place, EsmError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let name = PathBuf::from(name);
        let create = || {
            // One that was left by a crash, or put there by somebody else, may have another mode or owner.
            match fs::remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name)
        };
        let file = create().map_err(|error| refuse("esm.credentials_file", path, error.to_string()))?;
        Ok(Place { path: path.to_owned(), name, file })
    }

    /// Keeps them: whole or not at all, whatever happens meanwhile.
    pub(super) fn keep(mut self, credentials: &Credentials) -> Result<(), EsmError> {
        let text = serde_json::to_vec(credentials).expect("texts always serialise");
        let mut write = || -> io::Result<()> {
            self.file.write_all(&text)?;
            self.file.sync_all()?;
            fs::rename(&self.name, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| refuse("esm.credentials_file", &self.path, error.to_string()))
    }
}

/// A registration that fails leaves nothing behind; after one that was kept there is nothing.
impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.name)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(%error, "the file of new credentials cannot be removed");
        }
    }
}

/// The software statement, as the TVE Dashboard gives it.
pub(super) fn software_statement(path: &Path) -> Result<String, EsmError> {
    let refuse = |why: String| refuse("esm.software_statement_file", path, why);
    if path.as_os_str().is_empty() {
        return Err(refuse(
            "no file is named; the TVE Dashboard gives the statement of a registered application".to_owned(),
        ));
    }
    let text = read_secret_text(path).map_err(|error| refuse(error.to_string()))?;
    let statement = text.trim();
    if statement.is_empty() || statement.contains(char::is_whitespace) {
        return Err(refuse("it holds no single word; a statement is one long word with dots".to_owned()));
    }
    Ok(statement.to_owned())
}

fn refuse(key: &'static str, path: &Path, why: String) -> EsmError {
    EsmError::File { key, path: path.to_owned(), why }
}
