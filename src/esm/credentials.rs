//! The secrets of Dynamic Client Registration on disk: Adobe's software statement, and the credentials that we keep.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::web::{ApiError, Cause, Endpoint, read_secret_text};
use crate::whole_file::{self, Readers, WholeFile};

/// The name, for messages, of the credentials that a registration returns.
pub const REGISTRATION: &str = "client credentials";

/// The room for credentials on the disk, in bytes. Adobe's have a few hundred.
const ROOM_BYTES: usize = 4096;

/// The ID and the secret of a registered client. The type has no `Debug`, so that no log shows them.
#[derive(Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: String,
}

impl Credentials {
    /// The credentials that an earlier registration kept; `None` if there are none.
    pub(super) fn read(path: &Path) -> Result<Option<Credentials>, ApiError> {
        whole_file::warn_if_open(path);
        let text = match read_secret_text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse("esm.credentials_file", path, &error)),
        };
        // The message leaves out serde's own text, because it may quote a value.
        let credentials = serde_json::from_str(&text).map_err(|_| {
            let why = "it is no JSON object with client_id and client_secret; remove it to register anew";
            refuse("esm.credentials_file", path, &io::Error::new(ErrorKind::InvalidData, why))
        })?;
        Ok(Some(credentials))
    }
}

/// The new file in which credentials will be kept. It exists before Adobe returns them, and only its owner
/// can read it. If the registration fails, the file is removed.
pub(super) struct Place {
    path: PathBuf,
    file: WholeFile,
}

impl Place {
    /// Makes the file. If root makes it, it gets the owner of the file `of`.
    pub(super) fn prepare(path: &Path, of: &Path) -> Result<Place, ApiError> {
        let create = || {
            let file = WholeFile::create(path, Readers::Owner)?;
            whole_file::share_owner(file.file(), of)?;
            // A full disk must be noticed before a client is registered, so the room is taken now.
            file.file().write_all_at(&[b' '; ROOM_BYTES], 0)?;
            file.file().sync_all()?;
            Ok(file)
        };
        let file = create().map_err(|error: io::Error| refuse("esm.credentials_file", path, &error))?;
        Ok(Place { path: path.to_owned(), file })
    }

    /// Writes the credentials whole or not at all, even if the program is killed meanwhile.
    pub(super) fn keep(self, credentials: &Credentials) -> Result<(), ApiError> {
        let Place { path, mut file } = self;
        let text = serde_json::to_vec(credentials).expect("texts always serialise");
        let written = file.write_all(&text).and_then(|()| file.file().set_len(text.len() as u64));
        let written = written.and_then(|()| file.replace());
        written.map_err(|error| refuse("esm.credentials_file", &path, &error))
    }
}

/// Reads the software statement, in the form in which the TVE Dashboard gives it.
pub(super) fn software_statement(path: &Path) -> Result<String, ApiError> {
    let refuse = |error: io::Error| refuse("esm.software_statement_file", path, &error);
    let unfit = |why: &str| refuse(io::Error::new(ErrorKind::InvalidData, why));
    if path.as_os_str().is_empty() {
        return Err(unfit("no file is named; the TVE Dashboard gives the statement of a registered program"));
    }
    whole_file::warn_if_open(path);
    let text = read_secret_text(path).map_err(refuse)?;
    let statement = text.trim();
    if statement.is_empty() || statement.contains(char::is_whitespace) {
        return Err(unfit("it must hold one word only; a statement is one long word with dots"));
    }
    Ok(statement.to_owned())
}

fn refuse(key: &'static str, path: &Path, error: &io::Error) -> ApiError {
    let place = path.display().to_string();
    let endpoint = Endpoint { what: REGISTRATION, key, gives_credentials: true, place };
    endpoint.error(Cause::File { path: path.to_owned(), kind: error.kind(), why: error.to_string() })
}
