//! The tunnel to a host through an HTTP proxy.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::words;
use super::proxy::Proxy;

/// The longest head of an answer to a CONNECT, in bytes. The body of the answer, such as an error page, is not read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest status line of a proxy that is shown, in characters.
const STATUS_CHARS_MAX: usize = 100;

impl Proxy {
    /// Opens a tunnel to a host over a connection to this proxy, or returns why it cannot.
    pub async fn open_tunnel(&self, tcp: &mut TcpStream, host: &str, port: u16) -> Result<(), String> {
        let broken = |error: std::io::Error| format!("the connection broke: {error}");
        tcp.write_all(&self.connect_request(host, port)).await.map_err(broken)?;
        let mut answer = Vec::with_capacity(512);
        while !answer.ends_with(b"\r\n\r\n") {
            // Reads one byte at a time, because bytes after the answer belong to TLS. This happens once per connection.
            match tcp.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(error) => return Err(broken(error)),
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err("its answer has no end".to_owned());
            }
        }
        match status_of(&answer) {
            Some((200..=299, _)) => Ok(()),
            Some((_, line)) => Err(format!("it answers {line}")),
            None => Err("its answer is not HTTP".to_owned()),
        }
    }

    fn connect_request(&self, host: &str, port: u16) -> Vec<u8> {
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// The status of an answer to a CONNECT, and its status line without the version.
fn status_of(answer: &[u8]) -> Option<(u16, String)> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = String::from_utf8_lossy(line.strip_prefix(b"HTTP/1.")?);
    let line = line.get(1..)?.trim();
    let status = line.split(' ').next()?.parse().ok()?;
    Some((status, words(line, STATUS_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_status_line_is_read_and_cleaned() {
        for (answer, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some((200, "200 Connection established"))),
            ("HTTP/1.0 407 Auth\x07 needed\r\nX: y\r\n\r\n", Some((407, "407 Auth\u{FFFD} needed"))),
            ("HTTP/1.1 503\r\n\r\n", Some((503, "503"))),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("HTTP/1.1 abc\r\n\r\n", None),
            ("HTTP/1.", None),
        ] {
            let read = status_of(answer.as_bytes());
            assert_eq!(read.as_ref().map(|(code, line)| (*code, line.as_str())), status, "{answer:?}");
        }
    }
}
