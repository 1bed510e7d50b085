//! Reads files that contain a secret: only regular files, whole, up to a limit of bytes.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::readers::wide_encoding;

/// The longest file of a secret, in bytes. It has room for thousands of tokens; a longer file must be the wrong file.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Reads a file of a secret. A pipe or a device is refused, because it may block for ever, never end, or give its
/// secret to only one reader.
pub fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    // Without NONBLOCK, opening a pipe that has no writer would wait for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        let why = format!("it has more than {SECRET_BYTES_MAX} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// Reads a file of a secret as text, without the byte order mark that Windows editors put first. An error says what is
/// wrong with the text, and quotes nothing of it.
pub fn read_secret_text(path: &Path) -> io::Result<String> {
    let bytes = read_secret(path)?;
    let line = |end: usize| bytes[..end].iter().filter(|byte| **byte == b'\n').count() + 1;
    let why = match (wide_encoding(&bytes), str::from_utf8(&bytes)) {
        (Some(wide), _) => format!("it is {wide}: save it as UTF-8"),
        (None, Err(error)) => {
            let line = line(error.valid_up_to());
            format!("line {line} is not UTF-8, but perhaps Latin-1: save it as UTF-8")
        }
        (None, Ok(text)) => match text.find('\0') {
            Some(at) => format!("line {} has a NUL byte: write it again, as plain text", line(at)),
            None => return Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        },
    };
    Err(io::Error::new(ErrorKind::InvalidData, why))
}
