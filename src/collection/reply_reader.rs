//! Reads one HTTP/1 reply from the bytes of a connection, without I/O.
//!
//! - In: the bytes as they arrive, in pieces of any size, and the end of the connection. Out: the whole [`Reply`], or
//!   why there will never be one.
//! - Guarantees: how the bytes are cut into pieces makes no difference; the memory for them is bounded.
//! - Rules: RFC 9112, "Message Body Length" (6.3), "Chunked Transfer Coding" (7.1), "Persistence" (9.3).

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status, parse_chunk_size, parse_headers};
use memchr::memchr;

/// How long a connection may be idle and still be used. Adobe closes it after about 15 s (`Keep-Alive: timeout=15` in
/// the sample reply of the DIA guide).
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The longest reply body that is read, in bytes. Adobe's replies have about a hundred.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest head of a reply, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most bytes that are read for one request, with interim replies, chunk sizes and trailers.
const READ_BYTES_MAX: usize = 256 << 10;
/// The most interim replies (1xx) before the reply itself.
const INTERIM_REPLIES_MAX: usize = 20;
/// The most header fields, and the most trailer fields.
const FIELDS_MAX: usize = 100;

/// A complete reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The headers `Retry-After` and `Location` only.
    pub headers: HeaderMap,
    /// Empty if it is longer than 64 KiB.
    pub body: Vec<u8>,
    /// How long the connection may be idle and still be used; `None` if it cannot be used again.
    pub idle_max: Option<Duration>,
}

impl Reply {
    /// Gives up on a body that is too long. Returns true, because nothing more needs to be read.
    fn give_up_body(&mut self) -> bool {
        self.body.clear();
        self.idle_max = None;
        true
    }
}

/// What ends a body: its length in bytes, a chunk without bytes, or the end of the connection.
enum End {
    Length(usize),
    LastChunk,
    Close,
}

/// Reads one reply.
#[derive(Default)]
pub struct ReplyReader {
    bytes: Vec<u8>,
    /// How many of `bytes` are understood.
    at: usize,
    interim_replies: usize,
    /// What the head says, and the body so far.
    begun: Option<(Reply, End)>,
}

impl ReplyReader {
    /// Takes the next bytes, or none at the end of the connection. Returns the reply once it is whole. After that, and
    /// after an error, the reader must not be used again.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<Option<Reply>> {
        // Heads, chunks and trailers end with a line feed. Without a new line feed, none of them can be whole now.
        let may_end = self.bytes.is_empty() || memchr(b'\n', bytes).is_some();
        self.bytes.extend_from_slice(bytes);
        let begun = self.begun.take();
        if let Some((mut reply, end)) = if begun.is_none() && may_end { self.head()? } else { begun } {
            let unread = self.bytes.len() - self.at;
            let is_whole = match end {
                End::LastChunk => may_end && self.chunks(&mut reply)?,
                End::Length(length) => self.rest(&mut reply, length),
                End::Close => (bytes.is_empty() || unread > BODY_BYTES_MAX) && self.rest(&mut reply, unread),
            };
            if is_whole {
                // Bytes behind the reply belong to no request. The next reply could not be told from them.
                reply.idle_max = reply.idle_max.filter(|_| self.at == self.bytes.len());
                return Ok(Some(reply));
            }
            self.begun = Some((reply, end));
        }
        match self.bytes.len() {
            _ if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            READ_BYTES_MAX.. => Err(io::Error::other("the server sends without end")),
            _ => Ok(None),
        }
    }

    /// Reads the head of the reply, and passes over interim replies.
    fn head(&mut self) -> io::Result<Option<(Reply, End)>> {
        loop {
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let (mut head, unread) = (Response::new(&mut []), &self.bytes[self.at..]);
            let read =
                ParserConfig::default().parse_response_with_uninit_headers(&mut head, unread, &mut fields);
            match read.map_err(io::Error::other)? {
                Status::Complete(bytes) if bytes <= HEAD_BYTES_MAX => self.at += bytes,
                Status::Partial if unread.len() <= HEAD_BYTES_MAX => return Ok(None),
                _ => return Err(io::Error::other("its head is too long")),
            }
            match head.code {
                Some(100 | 102..=199) if self.interim_replies < INTERIM_REPLIES_MAX => {
                    self.interim_replies += 1;
                }
                Some(status @ (101 | 200..)) => return begin(status, head.version, head.headers).map(Some),
                _ => return Err(io::Error::other("interim replies without end, or no status")),
            }
        }
    }

    /// Reads a body of this length. Returns whether it is whole.
    fn rest(&mut self, reply: &mut Reply, length: usize) -> bool {
        if length > BODY_BYTES_MAX {
            return reply.give_up_body();
        }
        let body = self.bytes[self.at..].get(..length);
        reply.body.extend_from_slice(body.unwrap_or_default());
        self.at += reply.body.len();
        body.is_some()
    }

    /// Adds the chunks that are whole to the body. Returns whether the last one and the trailers are among them.
    fn chunks(&mut self, reply: &mut Reply) -> io::Result<bool> {
        let refused = || io::Error::other("bad chunk");
        loop {
            let unread = &self.bytes[self.at..];
            let Status::Complete((line, size)) = parse_chunk_size(unread).map_err(|_| refused())? else {
                return Ok(false);
            };
            // httparse takes a size without digits for 0, and a line feed for a part of an extension.
            if !unread[0].is_ascii_hexdigit() || memchr(b'\n', unread) != Some(line - 1) {
                return Err(refused());
            }
            let (size, unread) = (usize::try_from(size).unwrap_or(usize::MAX), &unread[line..]);
            if size == 0 {
                let mut trailers = [EMPTY_HEADER; FIELDS_MAX];
                let read = parse_headers(unread, &mut trailers).map_err(io::Error::other)?;
                let Status::Complete((bytes, _)) = read else { return Ok(false) };
                self.at += line + bytes;
                return Ok(true);
            }
            if size > BODY_BYTES_MAX - reply.body.len() {
                return Ok(reply.give_up_body());
            }
            let Some((chunk, end)) = unread.get(..size + 2).map(|chunk| chunk.split_at(size)) else {
                return Ok(false);
            };
            if end != b"\r\n" {
                return Err(refused());
            }
            reply.body.extend_from_slice(chunk);
            self.at += line + size + 2;
        }
    }
}

/// What a head says of its reply.
fn begin(status: u16, version: Option<u8>, fields: &[Header<'_>]) -> io::Result<(Reply, End)> {
    let list = |name: &'static str| {
        let fields = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    let says = |option: &[u8]| list("connection").any(|said| said.eq_ignore_ascii_case(option));
    let (coding, is_1_1) = (list("transfer-encoding").next_back(), version == Some(1));
    let mut lengths = list("content-length").map(digits);
    let first_length = lengths.next();
    let end = match (coding, first_length) {
        _ if matches!(status, 101 | 204 | 304) => End::Length(0),
        (Some(_), _) if !is_1_1 => return Err(io::Error::other("a transfer coding in HTTP/1.0")),
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => End::LastChunk,
        (None, Some(Some(length))) if lengths.all(|other| other == Some(length)) => End::Length(length),
        (None, Some(_)) => return Err(io::Error::other("no clear Content-Length")),
        _ => End::Close,
    };
    // A length beside a transfer coding does not count. A proxy may have used it, so the connection is not reused.
    let is_clear = coding.is_none() || first_length.is_none();
    let is_last = status == 101 || matches!(end, End::Close) || says(b"close");
    let is_reusable = is_clear && !is_last && (is_1_1 || says(b"keep-alive"));
    let idle_max = list("keep-alive").filter_map(promised).fold(IDLE_MAX, Duration::min);
    let headers = [RETRY_AFTER, LOCATION].into_iter().filter_map(|name| {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_str()))?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    });
    let reply = Reply {
        status,
        headers: headers.collect(),
        body: Vec::new(),
        idle_max: is_reusable.then_some(idle_max),
    };
    Ok((reply, end))
}

/// Two thirds of `timeout=SECONDS`, so that the server does not close an idle connection first; `None` for other text.
fn promised(parameter: &[u8]) -> Option<Duration> {
    let (name, seconds) = parameter.split_at(memchr(b'=', parameter)?);
    let seconds = u32::try_from(digits(seconds[1..].trim_ascii())?).ok()?;
    let is_timeout = name.trim_ascii().eq_ignore_ascii_case(b"timeout");
    is_timeout.then(|| Duration::from_secs(u64::from(seconds)) * 2 / 3)
}

/// A number of decimal digits alone, without a sign.
fn digits(text: &[u8]) -> Option<usize> {
    text.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dia_59_a_shorter_keep_alive_of_the_server_is_honoured() {
        for (header, milliseconds) in [
            ("timeout=15", 10_000),
            ("timeout=15, max=100", 10_000),
            ("max=100, Timeout = 6", 4_000),
            ("timeout=1", 666),
            ("timeout=0", 0),
            ("timeout=soon", 10_000),
            ("timeout=99999999999", 10_000),
            ("timeout=6\r\nKeep-Alive: timeout=3", 2_000),
            ("max=5", 10_000),
            ("", 10_000),
        ] {
            let reply = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {header}\r\nContent-Length: 0\r\n\r\n");
            let read = ReplyReader::default().feed(reply.as_bytes()).expect("HTTP").expect("a whole reply");
            assert_eq!(read.idle_max.map(|idle_max| idle_max.as_millis()), Some(milliseconds), "{header}");
        }
    }
}
