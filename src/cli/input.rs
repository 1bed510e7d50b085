//! Reads whole files for commands.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{Failure, refused};

pub(super) fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { format!("{path:?}") }
}

/// Reads a whole file, or standard input for `-`; refuses more than `bytes_max` bytes.
pub(super) fn read(path: &Path, bytes_max: u64, advice: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(bytes_max + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
    };
    read.map_err(|source| Failure::of_file("read", &name_of(path), &source))?;
    if bytes.len() as u64 > bytes_max {
        return Err(refused(format!("{} is longer than {bytes_max} bytes", name_of(path)), advice));
    }
    Ok(bytes)
}
