//! Erasure in the rejected lines: those that are about a person go, the rest of each file stays as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::IngestError;
use crate::buffer::Forget;
use crate::readers::RejectedLine;

/// What the name of a file being written anew ends with. One that a crash left behind is no rejects file to anybody.
const UNFINISHED: &str = "forgetting";

/// Erases every line about a person from the rejects files in a folder; says how many. A file with no other line is removed.
/// No ingest may write there meanwhile: what it adds to a file that is written anew would be lost.
pub fn forget_rejects(dir: &Path, forget: &Forget) -> Result<u64, IngestError> {
    let refuse = |path: &Path, source| IngestError::Rejects { path: path.to_owned(), source };
    let mut erased = 0;
    for path in rejects_in(dir).map_err(|source| refuse(dir, source))? {
        erased += forget_in(&path, forget).map_err(|source| refuse(&path, source))?;
    }
    Ok(erased)
}

fn rejects_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "ndjson")).collect())
}

fn forget_in(path: &Path, forget: &Forget) -> io::Result<u64> {
    if count_about(path, forget)? == 0 {
        return Ok(0);
    }
    let unfinished = path.with_extension(UNFINISHED);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut writer = BufWriter::new(file);
    let (mut erased, mut kept) = (0, 0_u64);
    each_line(path, |line| {
        if is_about(line, forget) {
            erased += 1;
            return Ok(());
        }
        kept += 1;
        writer.write_all(line)
    })?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    if kept > 0 {
        fs::rename(&unfinished, path)?;
    } else {
        fs::remove_file(path)?;
        fs::remove_file(&unfinished)?;
    }
    Ok(erased)
}

fn count_about(path: &Path, forget: &Forget) -> io::Result<u64> {
    let mut count = 0;
    each_line(path, |line| {
        count += u64::from(is_about(line, forget));
        Ok(())
    })?;
    Ok(count)
}

/// Hands over each line with its line ending.
fn each_line(path: &Path, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        take(&line)?;
        line.clear();
    }
    Ok(())
}

/// Whether a line is about them: a rejected line by what it keeps, a mended one by what it says.
fn is_about(line: &[u8], forget: &Forget) -> bool {
    let line = String::from_utf8_lossy(line);
    match serde_json::from_str::<RejectedLine<'_>>(&line) {
        Ok(rejected) => forget.concerns(&rejected.text),
        Err(_) => forget.concerns(line.trim_end()),
    }
}
