//! Erases a person from the rejects: the lines that were no event may name them all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::IngestError;
use crate::buffer::Forget;
use crate::readers::RejectedLine;

/// Removes every rejected line that is about them from the NDJSON files of the folder, and says how many there were. A
/// line that cannot be read is about them when it holds every value. Waits for an ingest that is writing such a file; a
/// file that is left with no line is deleted.
pub fn forget_rejects(rejects_dir: &Path, forget: &Forget) -> Result<u64, IngestError> {
    let refuse = |source| IngestError::Rejects { path: rejects_dir.to_owned(), source };
    let entries = match std::fs::read_dir(rejects_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(refuse(error)),
    };
    let mut forgotten = 0;
    for entry in entries {
        let path = entry.map_err(refuse)?.path();
        if path.extension().is_some_and(|extension| extension == "ndjson") && path.is_file() {
            forgotten += forget_in(&path, forget)
                .map_err(|source| IngestError::Rejects { path: path.clone(), source })?;
        }
    }
    if forgotten > 0 {
        File::open(rejects_dir).and_then(|dir| dir.sync_all()).map_err(refuse)?;
    }
    Ok(forgotten)
}

fn forget_in(path: &Path, forget: &Forget) -> io::Result<u64> {
    let source = File::open(path)?;
    // An ingest holds this lock while it writes: its lines would go into a file that has no name any more.
    source.lock()?;
    let new_path = path.with_extension("forgetting");
    let mut kept = BufWriter::new(
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new_path)?,
    );
    let mut source = BufReader::new(source);
    let (mut line, mut forgotten, mut lines) = (Vec::new(), 0, 0_u64);
    while source.read_until(b'\n', &mut line)? > 0 {
        if concerns(&line, forget) {
            forgotten += 1;
        } else {
            kept.write_all(&line)?;
            lines += 1;
        }
        line.clear();
    }
    kept.flush()?;
    match (forgotten, lines) {
        (0, _) => std::fs::remove_file(&new_path)?,
        (_, 0) => std::fs::remove_file(&new_path).and_then(|()| std::fs::remove_file(path))?,
        _ => kept.get_ref().sync_all().and_then(|()| std::fs::rename(&new_path, path))?,
    }
    Ok(forgotten)
}

fn concerns(line: &[u8], forget: &Forget) -> bool {
    let line = String::from_utf8_lossy(line);
    match serde_json::from_str::<RejectedLine<'_>>(&line) {
        Ok(rejected) => forget.concerns(&rejected.text),
        Err(_) => forget.concerns(&line),
    }
}
