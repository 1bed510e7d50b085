//! Erases a person from the rejects, because rejected lines may also name the person.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::IngestError;
use crate::buffer::Forget;
use crate::readers::RejectedLine;
use crate::whole_file::{self, Readers, WholeFile};

/// Removes every rejected line about the person from the NDJSON files of the folder, and returns the number of
/// lines. A line that cannot be parsed is removed if it contains the person's ID and does not name another MVPD.
/// Waits while an ingest writes to one of the files. Deletes a file if no line is left in it. Refuses a link and
/// a file with a second name, because the lines would stay there. `buffer` is the buffer's file.
pub fn forget_rejects(rejects_dir: &Path, forget: &Forget, buffer: &Path) -> Result<u64, IngestError> {
    in_rejects(rejects_dir, buffer, &mut |path| forget_in(path, forget))
}

/// The lines that [`forget_rejects`] would remove.
pub fn rejects_of(rejects_dir: &Path, whom: &Forget, buffer: &Path) -> Result<Vec<String>, IngestError> {
    let mut found = Vec::new();
    in_rejects(rejects_dir, buffer, &mut |path| {
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            let line = line?;
            found.extend(concerns(&line, whom).then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        Ok(0)
    })?;
    Ok(found)
}

fn in_rejects(
    rejects_dir: &Path,
    buffer: &Path,
    look: &mut dyn FnMut(&Path) -> io::Result<u64>,
) -> Result<u64, IngestError> {
    let refuse = |source| IngestError::Rejects { path: rejects_dir.to_owned(), source };
    if !rejects_dir.try_exists().map_err(refuse)? {
        return Ok(0);
    }
    whole_file::refuse_open_folder(rejects_dir, buffer).map_err(refuse)?;
    let entries = whole_file::entries(rejects_dir).map_err(refuse)?;
    let ends_with = |path: &Path, ends: &[&str]| {
        path.extension().and_then(|extension| extension.to_str()).is_some_and(|it| ends.contains(&it))
    };
    if let Some(path) = entries.iter().find(|path| ends_with(path, &["forgetting", "partial"])) {
        let why = "lines of rejects may be in it: a `forget` that was killed left it, or somebody put it there; look at it, and remove it";
        return Err(IngestError::Rejects { path: path.clone(), source: io::Error::other(why) });
    }
    let (rejects, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|path| ends_with(path, &["ndjson"]));
    for path in &rejects {
        let found = fs::symlink_metadata(path).map_err(refuse)?;
        if !found.is_file() || found.nlink() > 1 {
            let why = "it is a link, or has a second name: the lines would stay there; erase them by hand, and remove it";
            return Err(IngestError::Rejects { path: path.clone(), source: io::Error::other(why) });
        }
    }
    if let Some(path) = others.first() {
        tracing::warn!(path = %path.display(), files = others.len(), "files beside the rejects were not looked into: they may name the person");
    }
    let mut forgotten = 0;
    for path in rejects {
        forgotten += look(&path).map_err(|source| IngestError::Rejects { path: path.clone(), source })?;
    }
    if forgotten > 0 {
        File::open(rejects_dir).and_then(|dir| dir.sync_all()).map_err(refuse)?;
    }
    Ok(forgotten)
}

fn forget_in(path: &Path, forget: &Forget) -> io::Result<u64> {
    let source = File::open(path)?;
    // An ingest holds this lock while it writes. Without the lock, it would write into the deleted file.
    source.lock()?;
    let kept = WholeFile::create(path, Readers::Owner)?;
    whole_file::share_owner(kept.file(), path)?;
    let mut kept = BufWriter::new(kept);
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
    let kept = kept.into_inner().map_err(|error| error.into_error())?;
    match (forgotten, lines) {
        (0, _) => {}
        (_, 0) => fs::remove_file(path)?,
        _ => kept.replace()?,
    }
    Ok(forgotten)
}

fn concerns(line: &[u8], forget: &Forget) -> bool {
    let line = String::from_utf8_lossy(line);
    match serde_json::from_str::<RejectedLine<'_>>(&line) {
        Ok(RejectedLine { map: Some(map), text, .. }) => forget.concerns_by(&map, &text),
        // If a line was not kept, earlier builds quoted values of it in the reason.
        Ok(RejectedLine { text, reason, .. }) if text.is_empty() => forget.concerns(&reason),
        Ok(rejected) => forget.concerns(&rejected.text),
        Err(_) => forget.concerns(&line),
    }
}
