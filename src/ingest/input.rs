//! Opens an input, a file or standard input, and detects its compression and its format.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};

use super::error::InputError;
use super::misplaced::first_letter;
use super::options::{FormatChoice, IngestOptions};
use super::summary::InputEnd;
use super::unpack::{FoundZeros, Packing, Unpacked, skip_zeros, with};
use crate::event::Slice;
use crate::harmless::on_one_line;
use crate::readers::{
    Format, Guess, ListElements, ReadError, Reader, ReaderOptions, guess, starts_as_list, stranger,
    wide_encoding,
};

/// The size of the buffers for reading and for unpacking, in bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// The most bytes of an input that are examined to guess its format. The lines of other programs at the start
/// of a log, or the links at the start of a report, are usually shorter.
const PEEK_BYTES_MAX: usize = 64 << 10;

/// How long a read waits for an idle pipe before it checks again whether it must stop.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// The kind of error that `Stoppable` returns after a stop. Files and pipes never fail with this kind themselves.
const STOPPED: ErrorKind = ErrorKind::ConnectionAborted;

/// A file or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputPath {
    /// Standard input, with the name of its source; `-` if it has none.
    StandardInput(String),
    File(PathBuf),
}

impl InputPath {
    pub fn new(argument: impl AsRef<OsStr>) -> InputPath {
        let argument = argument.as_ref();
        if argument == "-" {
            InputPath::StandardInput("-".to_owned())
        } else {
            InputPath::File(PathBuf::from(argument))
        }
    }

    /// The name in messages, in rejects and in the buffer: the argument as it was given, on one line.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            InputPath::StandardInput(name) => on_one_line(name),
            InputPath::File(path) => on_one_line(&path.to_string_lossy()).into_owned().into(),
        }
    }
}

/// An input that has at least one line.
pub(super) struct OpenInput {
    pub(super) reader: Box<dyn Reader>,
    /// The guessed format and the reason for the guess; `None` if the caller or the file name gave the format.
    pub(super) guess: Option<Guess>,
    /// The bytes read so far, counted before unpacking.
    pub(super) position: Arc<AtomicU64>,
    zeros: FoundZeros,
    /// The size on disk in bytes, if it is known.
    pub(super) bytes: Option<u64>,
    digest: Arc<Mutex<Sha256>>,
}

impl OpenInput {
    /// How the input ended, with the remarks of its reader.
    pub(super) fn end(&self, result: Result<(), InputError>) -> InputEnd {
        let zeros = with(&self.zeros, |zeros| *zeros);
        let summary = Box::new(self.reader.summary());
        let digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize();
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let content = Some((self.position.load(Ordering::Relaxed), digest));
        InputEnd::Read { result, guess: self.guess.clone(), zeros, summary, content }
    }
}

/// Opens an input; returns `None` if it is empty.
pub(super) fn open(
    path: &InputPath,
    IngestOptions { format, slice, .. }: &IngestOptions,
    options: &ReaderOptions,
    stop: &Arc<AtomicBool>,
) -> Result<Option<OpenInput>, InputError> {
    let Source { content, is_empty, position, zeros, bytes, digest, may_pause } = source(path, stop)?;
    if is_empty {
        return extensions(path).1.map_or(Ok(None), |packing| Err(InputError::NoFrame(packing)));
    }
    let mut source = content;
    // A log that was truncated while its writer had it open starts with zero bytes.
    let has_zeros = skip_zeros(&mut source).map_err(broken)? > 0;
    // A live stream must not wait for bytes that are not needed to tell its format.
    let is_told = options.map.is_some() || *format != FormatChoice::Auto;
    let is_enough = |start: &[u8]| {
        let whole = memchr::memrchr(b'\n', start).map_or(&[][..], |end| &start[..=end]);
        is_told && first_letter(whole).is_some() || guess(whole, false).is_some()
    };
    let mut start = peek(&mut source, PEEK_BYTES_MAX, is_enough).map_err(broken)?;
    if has_lone_returns(&start) {
        feed_lines(&mut start);
        source = Box::new(BufReader::with_capacity(CHUNK_BYTES, LineFeeds(source)));
    }
    match Packing::of(&start) {
        Some(Packing::Other(name)) => return Err(InputError::Compression(name)),
        Some(inner) => return Err(InputError::PackedTwice(inner.name())),
        None => {}
    }
    let Some((format, guess)) = format_of(path, *format, &start)? else {
        return if has_zeros || start.contains(&0) { Err(InputError::OnlyZeros) } else { Ok(None) };
    };
    if options.takes_events_only && !matches!(format, Format::Ndjson | Format::Csv) {
        return Err(InputError::NotOnPostgres(format.as_str()));
    }
    let is_plain = options.map.is_none() && *slice == Slice::default();
    if !is_plain && !matches!(format, Format::Ndjson | Format::Csv) {
        return Err(InputError::Unfit(format.as_str()));
    }
    let is_list = matches!(format, Format::Ndjson | Format::RestV2) && starts_as_list(&start);
    let content = Cursor::new(start).chain(source);
    let opened = match is_list {
        true => format.open(ListElements::new(content), options),
        false => format.open(content, options),
    };
    let reader = match (opened, &guess) {
        (Ok(reader), _) => reader,
        (Err(error), Some(guess)) => return Err(InputError::Guessed { guess: guess.clone(), source: error }),
        (Err(error), None) => return Err(error.into()),
    };
    may_pause.store(matches!(format, Format::Ndjson | Format::Csv), Ordering::Relaxed);
    Ok(Some(OpenInput { reader, guess, position, zeros, bytes, digest }))
}

/// Reads a whole input of any format and unpacks it, for a document that is compared, not stored. Fails if it has more
/// than `bytes_max` bytes once unpacked, or zero bytes.
pub fn read_whole(path: &InputPath, bytes_max: u64) -> Result<Vec<u8>, InputError> {
    let mut document = Vec::new();
    let Source { content, zeros, .. } = source(path, &Arc::default())?;
    content.take(bytes_max + 1).read_to_end(&mut document).map_err(broken)?;
    if let Some((_, note)) = with(&zeros, |zeros| zeros.notes().next()) {
        return Err(broken(io::Error::other(note)));
    }
    if document.len() as u64 > bytes_max {
        let why = format!("it is longer than {bytes_max} bytes: fetch it in parts");
        return Err(broken(io::Error::other(why)));
    }
    Ok(document)
}

/// The unpacked content of an input. Only the content decides how to unpack, not the name.
struct Source {
    content: Box<dyn BufRead + Send>,
    is_empty: bool,
    position: Arc<AtomicU64>,
    zeros: FoundZeros,
    bytes: Option<u64>,
    digest: Arc<Mutex<Sha256>>,
    may_pause: Arc<AtomicBool>,
}

fn source(path: &InputPath, stop: &Arc<AtomicBool>) -> Result<Source, InputError> {
    let file = match path {
        InputPath::StandardInput(_) => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        InputPath::File(path) => File::open(path),
    };
    let file = file.map_err(InputError::Open)?;
    let metadata = file.metadata().map_err(InputError::Open)?;
    if metadata.is_dir() {
        return Err(InputError::Directory);
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    let digest = Arc::<Mutex<Sha256>>::default();
    let mut may_pause = Arc::<AtomicBool>::default();
    let (stop, is_over) = (Arc::clone(stop), false);
    let source = Stoppable { file, stop, is_over, digest: digest.clone(), may_pause: may_pause.clone() };
    let (position, mut zeros) = <(Arc<AtomicU64>, FoundZeros)>::default();
    let counted = Counted { source, position: position.clone(), zeros: zeros.clone() };
    let mut source = BufReader::with_capacity(CHUNK_BYTES, counted);
    let magic = peek(&mut source, Packing::MAGIC_BYTES, |_| false).map_err(broken)?;
    let (is_empty, packing) = (magic.is_empty(), Packing::of(&magic));
    let source = Cursor::new(magic).chain(source);
    let content: Box<dyn BufRead + Send> = match packing {
        None => Box::new(source),
        Some(Packing::Other(name)) => return Err(InputError::Compression(name)),
        Some(Packing::Gzip | Packing::Zstandard) => {
            // Packed bytes may be zero. Only zero bytes of the content, and those around its members, count.
            zeros = Arc::default();
            // A pause is the error `WouldBlock`, and an unpacker cannot go on after an error.
            may_pause = Arc::default();
            let source = Unpacked::new(source, &zeros);
            let counted = Counted { source, position: Arc::default(), zeros: zeros.clone() };
            Box::new(BufReader::with_capacity(CHUNK_BYTES, counted))
        }
    };
    Ok(Source { content, is_empty, position, zeros, bytes, digest, may_pause })
}

/// The format of an input with this start, and the guess if the format was guessed; `None` if the input is empty. The
/// option `--format` has priority, then the file name, then the content.
fn format_of(
    path: &InputPath,
    choice: FormatChoice,
    start: &[u8],
) -> Result<Option<(Format, Option<Guess>)>, InputError> {
    if let Some(name) = wide_encoding(start) {
        return Err(InputError::Encoding(name));
    }
    if let Some(what) = stranger(start) {
        return Err(InputError::Stranger(what));
    }
    let letter = first_letter(start);
    if letter.is_none() && start.len() < PEEK_BYTES_MAX {
        return Ok(None);
    }
    if let FormatChoice::Is(format) = choice {
        return Ok(Some((format, None)));
    }
    let guess = guess(start, start.len() < PEEK_BYTES_MAX);
    let Some(named) = extensions(path).0 else {
        // If the content shows no format either, the first line decides.
        let first_line = start.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
        let (format, because) = match letter {
            Some(b'{') | None => (Format::Ndjson, "it begins as JSON does"),
            Some(b'[') if starts_as_list(start) => (Format::Ndjson, "it begins as a JSON list does"),
            Some(_) if memchr::memmem::find(first_line, b"{\"").is_some() => {
                (Format::Ndjson, "its first line has a JSON object")
            }
            Some(_) => (Format::Csv, "it does not begin as JSON does"),
        };
        let guess = guess.unwrap_or_else(|| Guess { format, because: because.to_owned() });
        return Ok(Some((guess.format, Some(guess))));
    };
    let has_log = memchr::memmem::find(start, b"\"log\"").is_some();
    Ok(Some(match guess {
        // Both formats are lines of JSON, or both are rows under a header, so the content decides.
        Some(guess)
            if (named, guess.format) == (Format::Ndjson, Format::RestV2)
                || (named, guess.format) == (Format::Csv, Format::Esm) && letter != Some(b'{') =>
        {
            (guess.format, Some(guess))
        }
        // The start of an archive may be too short to recognise it, and a body in it may look like another format.
        Some(guess) if named != guess.format && !(named == Format::Har && has_log) => {
            return Err(InputError::Misnamed { named: named.as_str(), guess });
        }
        _ => (named, None),
    }))
}

/// The format and the compression according to the extensions of the file name.
fn extensions(path: &InputPath) -> (Option<Format>, Option<&'static str>) {
    let name = path.name().to_ascii_lowercase();
    let (stem, compression) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(stem), _) => (stem, Some("gzip")),
        (None, Some(stem)) => (stem, Some("Zstandard")),
        (None, None) => (name.as_str(), None),
    };
    let format = match Path::new(stem).extension().and_then(OsStr::to_str) {
        Some("ndjson" | "jsonl") => Some(Format::Ndjson),
        Some("csv" | "tsv") => Some(Format::Csv),
        Some("har") => Some(Format::Har),
        _ => None,
    };
    (format, compression)
}

/// Reads bytes from the start of a source until there are enough, the limit is reached, or the source ends.
fn peek(
    source: &mut impl BufRead,
    bytes_max: usize,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < bytes_max && !is_enough(&start) {
        let chunk = match source.fill_buf() {
            Ok([]) => break,
            Ok(chunk) => &chunk[..chunk.len().min(bytes_max - start.len())],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == STOPPED => break,
            Err(error) => return Err(error),
        };
        start.extend_from_slice(chunk);
        let taken = chunk.len();
        source.consume(taken);
    }
    Ok(start)
}

fn broken(source: io::Error) -> InputError {
    InputError::Read(ReadError::Broken { line: 1, source })
}

/// A file or a pipe. With `may_pause`, a pipe without data fails with `WouldBlock` every `LOOK_EVERY`. After a stop,
/// one more read returns what is ready. The next read fails, and does not show the end of the input: the readers would
/// then take half a line for a whole one.
struct Stoppable {
    file: File,
    stop: Arc<AtomicBool>,
    is_over: bool,
    /// The digest of all that was read.
    digest: Arc<Mutex<Sha256>>,
    may_pause: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over {
            self.is_over = self.stop.load(Ordering::SeqCst);
            let may_pause = self.may_pause.load(Ordering::Relaxed);
            let wait = if self.is_over { Timespec { tv_sec: 0, tv_nsec: 0 } } else { LOOK_EVERY };
            if poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&wait))? > 0 {
                let bytes = self.file.read(buffer)?;
                self.digest.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..bytes]);
                return if bytes == 0 && self.is_over { Err(STOPPED.into()) } else { Ok(bytes) };
            }
            if may_pause && !self.is_over {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
        Err(STOPPED.into())
    }
}

/// Whether lines end with a carriage return alone in a source with this start, as old Macs and some exports write them.
pub(super) fn has_lone_returns(start: &[u8]) -> bool {
    memchr::memchr(b'\r', start).is_some_and(|at| at + 1 < start.len())
        && memchr::memchr(b'\n', start).is_none()
}

/// Makes a line feed of each carriage return.
pub(super) fn feed_lines(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
}

/// Reads a source whose lines end with a carriage return alone, and makes line feeds of these.
struct LineFeeds<R>(R);

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        feed_lines(&mut buffer[..read]);
        Ok(read)
    }
}

/// Counts the bytes read, to show progress, and the zero bytes among them.
struct Counted<R> {
    source: R,
    position: Arc<AtomicU64>,
    zeros: FoundZeros,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        with(&self.zeros, |zeros| zeros.look(&buffer[..read]));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: &str = r#"{"started_at":"x","request":{"method":"GET","url":"https://x/"}}"#;

    #[test]
    fn the_format_is_found_by_name_then_by_content() {
        use FormatChoice::{Auto, Is};
        for (name, choice, start, expected) in [
            ("a.ndjson", Auto, "x", Some(Format::Ndjson)),
            ("a.JSONL.gz", Auto, "x", Some(Format::Ndjson)),
            ("a.csv.zst", Auto, "{", Some(Format::Csv)),
            ("a.csv", Is(Format::Ndjson), "x", Some(Format::Ndjson)),
            ("a.json", Auto, "\u{feff} \r\n{", Some(Format::Ndjson)),
            ("-", Auto, "{", Some(Format::Ndjson)),
            ("-", Auto, "occurred_at", Some(Format::Csv)),
            ("a.log", Auto, "Nov 10 08:00:00 gw app: {\"occurred_at\":1}", Some(Format::Ndjson)),
            ("csv", Auto, "{", Some(Format::Ndjson)),
            ("a.csv", Auto, "\u{feff}", None),
            ("a.csv", Auto, " \n", None),
            ("a.json", Auto, "{\"event\":\"authz_ok\",\"resource_id\":\"report\"}", Some(Format::Ndjson)),
            ("a.json", Auto, "{ \"report\" : [ {\"year\":", Some(Format::Esm)),
            ("a.ndjson", Auto, EXCHANGE, Some(Format::RestV2)),
            ("a.log", Auto, &format!("started\n{EXCHANGE}"), Some(Format::RestV2)),
            ("a.ndjson", Is(Format::Ndjson), EXCHANGE, Some(Format::Ndjson)),
            ("a.har", Auto, "{\n", Some(Format::Har)),
            ("a.csv", Auto, "Year,Month,day,hour", Some(Format::Esm)),
            ("a.tsv", Auto, "x", Some(Format::Csv)),
            ("a.json", Auto, "[\n {", Some(Format::Ndjson)),
            ("a.csv", Auto, "occurred_at,event,requestor_id,year,month", Some(Format::Csv)),
            ("a.xml", Auto, "<?xml version=\"1.0\"?>\n<resource href", Some(Format::Esm)),
        ] {
            let found = format_of(&InputPath::new(name), choice, start.as_bytes()).expect(name);
            assert_eq!(found.map(|(format, _)| format), expected, "{name} {start:?}");
        }
        for (name, start) in
            [("a.csv", EXCHANGE), ("a.ndjson", "{\"log\":{\"creator\":{},"), ("a.jsonl", "Year,Month\n")]
        {
            let found = format_of(&InputPath::new(name), Auto, start.as_bytes());
            assert!(matches!(found, Err(InputError::Misnamed { .. })), "{name} {start:?}");
        }
        let wide = format_of(&InputPath::new("a.ndjson"), Auto, b"\xFF\xFE{\0");
        assert!(matches!(wide, Err(InputError::Encoding("UTF-16"))));
    }

    #[test]
    fn peeking_takes_no_more_than_it_needs() {
        for capacity in [1, 2, 100] {
            let mut source = BufReader::with_capacity(capacity, "  \u{feff}".as_bytes());
            assert_eq!(peek(&mut source, 3, |_| false).expect("memory").len(), 3);
            assert_eq!(peek(&mut source, 3, |_| false).expect("memory").len(), 2);
        }
    }
}
