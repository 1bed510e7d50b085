//! Writes bulk files: a header and rows, as gzip. A file is durable before it is recorded.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::way::BulkWay;
use crate::backfill::error::BackfillError;
use crate::buffer::{Buffer, BufferError, FiledEvent};
use crate::config::BulkConfig;
use crate::encode;
use crate::suite::Rsid;
use crate::whole_file::{self, PARTIAL, Readers, WholeFile};

/// The gzip level of files. It is faster than the default, and the files are hardly larger.
pub(in crate::backfill) const LEVEL: u32 = 3;
/// How many bytes stay free below the size limit, because the last flush and the end of gzip can still grow a file.
const MARGIN: u64 = 16 << 10;
/// How the names of unfinished files ended in earlier builds.
const PART: &str = "part";

/// Makes the folder if it is missing. Only its owner can read the files, because MVPD User IDs are personal data.
pub(super) fn make_folder(path: &Path, buffer: &Buffer) -> Result<PathBuf, BackfillError> {
    let path = std::path::absolute(path).map_err(|source| failed(path, source))?;
    whole_file::make_folder(&path, buffer.path()).map_err(|source| failed(&path, source))?;
    Ok(path)
}

pub(super) fn failed(path: &Path, source: io::Error) -> BackfillError {
    BackfillError::File { path: path.to_owned(), source }
}

/// Deletes the bulk files of all jobs, which have a folder each in `dir`. Returns how many.
pub fn forget_files(dir: &Path, buffer: &Buffer) -> Result<u64, BufferError> {
    if dir.is_dir() {
        // If others can write to the folder, `sweep` might follow another user's link and delete the files behind it.
        whole_file::refuse_open_folder(dir, buffer.path()).map_err(|source| unusable(dir, source))?;
    }
    let folders = whole_file::entries(dir).map_err(|source| unusable(dir, source))?;
    folders.iter().map(|folder| sweep(folder, &HashSet::new())).sum()
}

/// Deletes the files that killed processes left in a job's folder: unfinished files, and files that were never
/// recorded. Nothing would read them any more, and they contain IDs of viewers.
pub(super) fn sweep(folder: &Path, on_record: &HashSet<PathBuf>) -> Result<u64, BufferError> {
    let folder = std::path::absolute(folder).map_err(|source| unusable(folder, source))?;
    let mut deleted = 0;
    for file in whole_file::entries(&folder).map_err(|source| unusable(&folder, source))? {
        let is_ours =
            file.extension().is_some_and(|end| ["gz", PART, &PARTIAL[1..]].iter().any(|ours| end == *ours));
        if is_ours && !on_record.contains(&file) {
            fs::remove_file(&file).map_err(|source| unusable(&file, source))?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

fn unusable(path: &Path, source: io::Error) -> BufferError {
    BufferError::File { path: path.to_owned(), source }
}

/// A finished file on disk.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) group: String,
    pub(super) path: PathBuf,
    pub(super) key: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) events: Vec<FiledEvent>,
}

/// The open file of each visitor group.
pub(super) struct Files<'a> {
    way: &'a BulkWay,
    groups: u32,
    folder: &'a Path,
    open: BTreeMap<(Rsid, u32), OpenFile>,
}

impl<'a> Files<'a> {
    pub(super) fn new(way: &'a BulkWay, groups: u32, folder: &'a Path) -> Files<'a> {
        Files { way, groups, folder, open: BTreeMap::new() }
    }

    /// Adds the rows of an event to the open file of its group. If they do not fit, closes and returns that file first.
    pub(super) fn add(
        &mut self,
        rsid: &Rsid,
        event: FiledEvent,
        rows: &[u8],
        file_rows: u64,
    ) -> Result<Option<Written>, BackfillError> {
        let index = (event.visitor.0 % u64::from(self.groups)) as u32;
        let key = (rsid.clone(), index);
        let is_full = match self.open.get_mut(&key) {
            Some(open) => open.is_full(event.rows, rows.len() as u64, file_rows, &self.way.config)?,
            None => false,
        };
        let full = if is_full { self.open.remove(&key) } else { None };
        let written = full.map(|open| open.close(self.folder)).transpose()?;
        let open = match self.open.entry(key) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                // Jobs with the same number of groups use the same names, so a visitor stays in its group.
                let group = format!("{}_{rsid}_{}of{}", self.way.config.company, index + 1, self.groups);
                place.insert(OpenFile::create(self.folder, group)?)
            }
        };
        open.add(rows, event)?;
        Ok(written)
    }

    pub(super) fn finish(self) -> Result<Vec<Written>, BackfillError> {
        self.open.into_values().map(|open| open.close(self.folder)).collect()
    }
}

/// A file that is still being written.
struct OpenFile {
    group: String,
    path: PathBuf,
    encoder: GzEncoder<Counting>,
    digest: Sha256,
    rows: u64,
    unpacked: u64,
    /// Bytes since the encoder was last flushed. They may still be in the encoder.
    unflushed: u64,
    events: Vec<FiledEvent>,
}

impl OpenFile {
    fn create(folder: &Path, group: String) -> Result<OpenFile, BackfillError> {
        let name = folder.join(&group);
        let path = whole_file::beside(&name, PARTIAL);
        // A crash may have left a file of this name.
        let file = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => WholeFile::create(&name, Readers::Owner),
        };
        let file = file.map_err(|source| failed(&path, source))?;
        let sink = Counting { file: BufWriter::new(file), bytes: 0 };
        let mut open = OpenFile {
            group,
            path,
            encoder: GzEncoder::new(sink, Compression::new(LEVEL)),
            digest: Sha256::new(),
            rows: 0,
            unpacked: 0,
            unflushed: 0,
            events: Vec::new(),
        };
        let mut header = Vec::new();
        encode::bulk_header(&mut header);
        open.write(&header)?;
        Ok(open)
    }

    /// Whether this many rows, with this many bytes, must go into the next file.
    fn is_full(
        &mut self,
        rows: u32,
        bytes: u64,
        file_rows: u64,
        limits: &BulkConfig,
    ) -> Result<bool, BackfillError> {
        if self.rows + u64::from(rows) > file_rows.max(u64::from(rows))
            || self.unpacked + bytes > limits.file_bytes_unpacked
        {
            return Ok(true);
        }
        if self.packed_at_most() + bytes + MARGIN <= limits.file_bytes {
            return Ok(false);
        }
        // The encoder holds compressed bytes of unknown size. Only a flush tells the size.
        self.encoder.flush().map_err(|source| failed(&self.path, source))?;
        self.unflushed = 0;
        Ok(self.packed_at_most() + bytes + MARGIN > limits.file_bytes)
    }

    fn packed_at_most(&self) -> u64 {
        self.encoder.get_ref().bytes + self.unflushed
    }

    fn add(&mut self, rows: &[u8], event: FiledEvent) -> Result<(), BackfillError> {
        self.write(rows)?;
        // Two events may give equal rows; their sequence numbers keep the digests apart.
        self.digest.update(event.sequence.0.to_be_bytes());
        self.rows += u64::from(event.rows);
        self.events.push(event);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackfillError> {
        self.digest.update(bytes);
        self.unpacked += bytes.len() as u64;
        self.unflushed += bytes.len() as u64;
        self.encoder.write_all(bytes).map_err(|source| failed(&self.path, source))
    }

    /// Makes the file whole and durable. Its name has the group and the key.
    fn close(self, folder: &Path) -> Result<Written, BackfillError> {
        let OpenFile { group, encoder, mut digest, rows, events, .. } = self;
        // Equal rows of two groups must give two keys.
        digest.update(group.as_bytes());
        let key: String = digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let to = folder.join(format!("{group}-{key}.csv.gz"));
        let finish = || -> io::Result<u64> {
            let sink = encoder.finish()?;
            sink.file.into_inner()?.replace_as(to.clone())?;
            Ok(sink.bytes)
        };
        let bytes = finish().map_err(|source| failed(&to, source))?;
        Ok(Written { group, path: to, key, rows, bytes, events })
    }
}

struct Counting {
    file: BufWriter<WholeFile>,
    bytes: u64,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
