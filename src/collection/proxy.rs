//! The way to a host through an HTTP proxy: which one, if any, and the tunnel through it.

use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::delivery::NotReceived;
use crate::suite::{CollectionUrl, Scheme};

/// The longest answer to a CONNECT, in bytes, header fields included. Proxies explain refusals on a page behind it.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest status line of a proxy that is shown, in characters.
const STATUS_CHARS_MAX: usize = 100;

/// The proxy variables of the environment, as the caller read them. An empty value is no value. They may carry a password,
/// so they cannot be printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ProxySettings {
    /// `HTTPS_PROXY`: the proxy for https hosts.
    pub https: Option<String>,
    /// `ALL_PROXY`: the proxy where there is no other.
    pub all: Option<String>,
    /// `NO_PROXY`: names, domains, addresses and networks that are reached directly, separated by commas.
    pub no: Option<String>,
}

impl ProxySettings {
    /// Reads the settings through `variable`, which looks a name up in the environment. As in curl, lower case comes first.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> ProxySettings {
        let either = |name: &str| {
            let given = |name: &str| variable(name).filter(|value| !value.is_empty());
            given(&name.to_ascii_lowercase()).or_else(|| given(name))
        };
        ProxySettings { https: either("HTTPS_PROXY"), all: either("ALL_PROXY"), no: either("NO_PROXY") }
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_set = |value: &Option<String>| if value.is_some() { "set" } else { "unset" };
        out.debug_struct("ProxySettings")
            .field("https", &is_set(&self.https))
            .field("all", &is_set(&self.all))
            .field("no", &self.no)
            .finish()
    }
}

/// How a host is reached.
#[derive(Clone)]
pub(super) enum Route {
    Direct,
    Proxy(Proxy),
    /// A proxy is asked for that cannot be used: going past it would be worse than not going.
    Unusable(&'static str),
}

/// An HTTP proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Marked as sensitive: hidden from logs.
    authorization: Option<HeaderValue>,
}

/// Without its user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

impl Route {
    /// Chooses the way to `url`. Plain http is loopback by definition, and never goes through a proxy.
    pub(super) fn to(url: &CollectionUrl, settings: &ProxySettings) -> Route {
        let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let chosen = given(&settings.https).map(|text| ("HTTPS_PROXY", text));
        let chosen = chosen.or_else(|| given(&settings.all).map(|text| ("ALL_PROXY", text)));
        let Some((variable, proxy)) = chosen.filter(|_| url.scheme() == Scheme::Https) else {
            return Route::Direct;
        };
        let Ok(target) = url.to_string().parse::<Uri>() else { return Route::Direct };
        let no = settings.no.clone().unwrap_or_default();
        if Matcher::builder().all("http://any").no(no).build().intercept(&target).is_none() {
            return Route::Direct;
        }
        let unusable = |https, all| Route::Unusable(if variable == "HTTPS_PROXY" { https } else { all });
        let names_user = proxy.contains('@');
        let intercept = Matcher::builder().all(proxy).build().intercept(&target);
        let host = intercept.as_ref().and_then(|found| found.uri().host()).filter(|host| !host.is_empty());
        let (Some(intercept), Some(host)) = (&intercept, host) else {
            return unusable("HTTPS_PROXY is no proxy URL", "ALL_PROXY is no proxy URL");
        };
        if intercept.uri().scheme_str() != Some("http") {
            return unusable(
                "HTTPS_PROXY must begin with http://: other kinds of proxy are not supported",
                "ALL_PROXY must begin with http://: other kinds of proxy are not supported",
            );
        }
        // A bare # / or ? in a password ends the authority early: what is left would name another host.
        if names_user && intercept.basic_auth().is_none() {
            return unusable(
                "HTTPS_PROXY is no proxy URL: percent-encode the signs in its password",
                "ALL_PROXY is no proxy URL: percent-encode the signs in its password",
            );
        }
        Route::Proxy(Proxy {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: intercept.uri().port_u16().unwrap_or(80),
            authorization: intercept.basic_auth().cloned(),
        })
    }
}

impl Proxy {
    /// Opens a tunnel to `url` over a connection to this proxy.
    pub(super) async fn open_tunnel(
        &self,
        tcp: &mut TcpStream,
        url: &CollectionUrl,
    ) -> Result<(), NotReceived> {
        let broken = |error: std::io::Error| NotReceived::Proxy(format!("the connection broke: {error}"));
        tcp.write_all(&self.connect_request(url)).await.map_err(broken)?;
        let mut answer = Vec::with_capacity(512);
        while !answer.ends_with(b"\r\n\r\n") {
            // One byte at a time: what follows the answer belongs to TLS. This happens once a connection.
            match tcp.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(error) => return Err(broken(error)),
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(NotReceived::Proxy("its answer has no end".to_owned()));
            }
        }
        match status_of(&answer) {
            Some((200..=299, _)) => Ok(()),
            Some((_, line)) => Err(NotReceived::Proxy(line)),
            None => Err(NotReceived::Proxy("its answer is not HTTP".to_owned())),
        }
    }

    fn connect_request(&self, url: &CollectionUrl) -> Vec<u8> {
        let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
        let target = format!("{host}:{}", url.port());
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

/// The status and the status line without its version, of an answer to a CONNECT.
fn status_of(answer: &[u8]) -> Option<(u16, String)> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = String::from_utf8_lossy(line.strip_prefix(b"HTTP/1.")?);
    let line = line.get(1..)?.trim();
    let status = line.split(' ').next()?.parse().ok()?;
    Some((status, line.chars().filter(|c| !c.is_control()).take(STATUS_CHARS_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str, https: &str, all: &str, no: &str) -> String {
        let some = |text: &str| Some(text.to_owned());
        let settings = ProxySettings { https: some(https), all: some(all), no: some(no) };
        match Route::to(&url.parse().expect("a url"), &settings) {
            Route::Direct => "direct".to_owned(),
            Route::Proxy(proxy) => {
                let auth = proxy.authorization.as_ref().map(|value| value.to_str().expect("text"));
                format!("{}:{} {}", proxy.host, proxy.port, auth.unwrap_or("-"))
            }
            Route::Unusable(why) => why.to_owned(),
        }
    }

    #[test]
    fn the_proxy_variables_choose_the_way() {
        const HOST: &str = "https://c.example.com";
        for (url, https, all, no, way) in [
            (HOST, "", "", "", "direct"),
            (HOST, "http://p:3128", "", "", "p:3128 -"),
            (HOST, "p:3128", "", "", "p:3128 -"),
            (HOST, "http://p", "http://q", "", "p:80 -"),
            (HOST, "", "http://q:1", "", "q:1 -"),
            (HOST, "http://[::1]:8080", "", "", "::1:8080 -"),
            (HOST, "http://Aladdin:open%20sesame@p:1", "", "", "p:1 Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (HOST, "http://p:1", "", "example.com", "direct"),
            (HOST, "http://p:1", "", ".example.com, other", "direct"),
            (HOST, "http://p:1", "", "ample.com", "p:1 -"),
            (HOST, "http://p:1", "", "*", "direct"),
            (HOST, "socks5://p:1", "", "*", "direct"),
            ("https://10.1.2.3", "http://p:1", "", "10.0.0.0/8", "direct"),
            ("https://[::1]:444", "http://p:1", "", "::1", "direct"),
            ("http://127.0.0.1:80", "http://p:1", "http://q:1", "", "direct"),
            ("http://localhost", "nonsense://", "", "", "direct"),
        ] {
            assert_eq!(route(url, https, all, no), way, "{url} {https} {all} {no}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_and_never_passed_by() {
        for (https, all, said) in [
            ("socks5://user:secret@p:1", "", "HTTPS_PROXY must begin with http://"),
            ("https://user:secret@p:1", "", "HTTPS_PROXY must begin with http://"),
            ("", "socks5h://user:secret@p:1", "ALL_PROXY must begin with http://"),
            ("http://user:sec#ret@p", "", "HTTPS_PROXY is no proxy URL"),
            ("http://user:1/sec@p", "", "HTTPS_PROXY is no proxy URL"),
            ("http://:1", "", "HTTPS_PROXY is no proxy URL"),
            ("ftp://user:secret@p", "http://q:1", "HTTPS_PROXY is no proxy URL"),
        ] {
            let way = route("https://c.example.com", https, all, "");
            assert!(way.starts_with(said) && !way.contains("sec"), "{https} {all}: {way}");
        }
    }

    #[test]
    fn lower_case_variables_come_first_and_empty_ones_do_not_count() {
        let settings = ProxySettings::from_variables(|name| match name {
            "https_proxy" => Some("http://lower".to_owned()),
            "HTTPS_PROXY" => Some("http://upper".to_owned()),
            "all_proxy" => Some(String::new()),
            "ALL_PROXY" => Some("http://user:secret@all".to_owned()),
            _ => None,
        });
        assert_eq!(settings.https.as_deref(), Some("http://lower"));
        assert_eq!(settings.all.as_deref(), Some("http://user:secret@all"));
        assert_eq!(settings.no, None);
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_proxys_status_line_is_read_and_cleaned() {
        for (answer, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some((200, "200 Connection established"))),
            ("HTTP/1.0 407 Auth\x07 needed\r\nX: y\r\n\r\n", Some((407, "407 Auth needed"))),
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
