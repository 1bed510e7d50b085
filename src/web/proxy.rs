//! Reads the proxy variables of the environment and chooses the proxy for a host, for hits and for Adobe's APIs.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use crate::config::Secret;

/// The port of a proxy whose URL names none: the port of HTTP.
const PORT: u16 = 80;

/// The proxy variables of the environment, as the caller read them. An empty value counts as unset. The addresses of
/// proxies may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxySettings {
    /// `HTTPS_PROXY`: the proxy for https hosts.
    pub https: Secret,
    /// `ALL_PROXY`: the proxy if `HTTPS_PROXY` is unset.
    pub all: Secret,
    /// `NO_PROXY`: names, domains, addresses and networks that are reached directly, separated by commas or spaces.
    /// Each, except a network, may end with a port. `*` means every host.
    pub no: String,
}

impl ProxySettings {
    /// Reads the settings through `variable`, which looks up a name. As in curl, the lower-case name comes first.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> ProxySettings {
        let either = |name: &str| {
            let given = |name: &str| variable(name).filter(|value| !value.is_empty());
            given(&name.to_ascii_lowercase()).or_else(|| given(name)).unwrap_or_default()
        };
        let [https, all] = ["HTTPS_PROXY", "ALL_PROXY"].map(|name| Secret(either(name)));
        ProxySettings { https, all, no: either("NO_PROXY") }
    }
}

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    pub host: String,
    /// 80 if the variable names none.
    pub port: u16,
    /// The user and password, if the variable has them. Marked as sensitive, so that logs hide them.
    pub authorization: Option<HeaderValue>,
}

/// Shows the host and the port, without the user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proxy { host, port, .. } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl ProxySettings {
    /// The proxy for an https host; `None` if the host is reached directly. An IPv6 `host` has no brackets. Plain
    /// http goes only to this machine, and never through a proxy. An error names the variable whose proxy cannot be
    /// used: to connect without that proxy would be worse than to fail.
    pub fn way(&self, host: &str, port: u16) -> Result<Option<Proxy>, String> {
        let mut given = [("HTTPS_PROXY", &self.https.0), ("ALL_PROXY", &self.all.0)].into_iter();
        let Some((variable, text)) = given.find(|(_, text)| !text.is_empty()) else { return Ok(None) };
        if is_exempt(host, port, &self.no) {
            return Ok(None);
        }
        let unusable = |why| Err(format!("{variable} {why}"));
        let names_user = text.contains('@');
        let intercept =
            Matcher::builder().all(text.clone()).build().intercept(&Uri::from_static("https://any.example"));
        let host = intercept.as_ref().and_then(|found| found.uri().host()).filter(|host| !host.is_empty());
        let (Some(intercept), Some(host)) = (&intercept, host) else {
            return unusable("is no proxy URL");
        };
        if intercept.uri().scheme_str() != Some("http") {
            return unusable("must begin with http://: other kinds of proxy are not supported");
        }
        // A bare #, / or ? in a password ends the authority early, and the text before it would be read as the host.
        if names_user && intercept.basic_auth().is_none() {
            return unusable("is no proxy URL: percent-encode the signs in its password");
        }
        let authority = intercept.uri().authority().map_or("", |authority| authority.as_str());
        let port = match authority.rsplit_once(host).and_then(|(_, behind)| behind.strip_prefix(':')) {
            None => PORT,
            Some(digits) => match digits.parse() {
                Ok(port @ 1..) => port,
                Ok(0) | Err(_) => return unusable("names a port that is no number from 1 to 65535"),
            },
        };
        Ok(Some(Proxy {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authorization: intercept.basic_auth().cloned(),
        }))
    }
}

/// Whether `NO_PROXY` names a host.
fn is_exempt(host: &str, port: u16, no: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    no.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
            return is_within(address, network, bits);
        }
        let (name, own_port) = with_port(entry);
        if own_port.is_some_and(|own| own.parse() != Ok(port)) {
            return false;
        }
        if let Some(address) = address {
            return name == "*" || name.parse() == Ok(address);
        }
        let name = name.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        let is_part = || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
        name == "*" || (!name.is_empty() && (host == name || is_part()))
    })
}

/// An entry without its brackets, and its port. A bare IPv6 address has colons but no port.
fn with_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((name, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (name, rest.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let network: Option<IpAddr> = network.trim_matches(['[', ']']).parse().ok();
    let (Some(network), Ok(bits)) = (network, bits.parse::<u32>()) else { return false };
    let ((own, own_bits), (network, bits_max)) = (wide(address), wide(network));
    let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits.min(128)) };
    own_bits == bits_max && bits <= bits_max && own & mask == network & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route((host, port): (&str, u16), https: &str, all: &str, no: &str) -> String {
        let [https, all] = [https, all].map(|text| Secret(text.to_owned()));
        let settings = ProxySettings { https, all, no: no.to_owned() };
        match settings.way(host, port) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => {
                let auth = proxy.authorization.as_ref().map(|value| value.to_str().expect("text"));
                format!("{proxy} {}", auth.unwrap_or("-"))
            }
            Err(why) => why,
        }
    }

    #[test]
    fn the_proxy_variables_choose_the_way() {
        const HOST: (&str, u16) = ("c.example.com", 443);
        for (https, all, no, way) in [
            ("", "", "", "direct"),
            ("http://p:3128", "", "", "p:3128 -"),
            ("p:3128", "", "", "p:3128 -"),
            ("http://p", "http://q", "", "p:80 -"),
            ("", "http://q:1", "", "q:1 -"),
            ("http://[::1]:8080", "", "", "[::1]:8080 -"),
            ("http://Aladdin:open%20sesame@p:1", "", "", "p:1 Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("socks5://p:1", "", "*", "direct"),
        ] {
            assert_eq!(route(HOST, https, all, no), way, "{https} {all} {no}");
        }
    }

    #[test]
    fn no_proxy_takes_every_host_names_ports_addresses_and_networks() {
        const NAME: (&str, u16) = ("c.example.com", 443);
        for (target, no, is_direct) in [
            (NAME, "*", true),
            (("10.1.2.3", 443), "*", true),
            (NAME, "example.com", true),
            (NAME, ".example.com, other", true),
            (NAME, "*.example.com", true),
            (NAME, "other C.EXAMPLE.com", true),
            (NAME, "ample.com", false),
            (NAME, "example.com.evil", false),
            (NAME, ".", false),
            (NAME, "c.example.com:443", true),
            (NAME, "c.example.com:8443", false),
            (("c.example.com", 8443), "example.com:8443", true),
            (NAME, "*:8443", false),
            (("10.1.2.3", 443), "10.0.0.0/8", true),
            (("11.1.2.3", 443), "10.0.0.0/8", false),
            (("10.1.2.3", 443), "0.0.0.0/0", true),
            (("10.1.2.3", 443), "10.1.2.3:443", true),
            (("10.1.2.3", 443), "10.1.2.0/33", false),
            (("fd00::7", 443), "fd00::/8", true),
            (("fd00::7", 443), "10.0.0.0/8", false),
            (("::1", 444), "::1", true),
            (("::1", 444), "[::1]:444", true),
            (("::1", 444), "[::1]:445", false),
        ] {
            let way = if is_direct { "direct" } else { "p:1 -" };
            assert_eq!(route(target, "http://p:1", "", no), way, "{target:?} {no}");
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
            ("http://user:secret@p:31x8", "", "HTTPS_PROXY names a port that is no number"),
            ("http://user:secret@p:99999", "", "HTTPS_PROXY names a port that is no number"),
            ("p:", "", "HTTPS_PROXY names a port that is no number"),
            ("", "http://[::1]:0", "ALL_PROXY names a port that is no number"),
            ("ftp://user:secret@p", "http://q:1", "HTTPS_PROXY is no proxy URL"),
        ] {
            let way = route(("c.example.com", 443), https, all, "");
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
        assert_eq!(settings.https.0, "http://lower");
        assert_eq!(settings.all.0, "http://user:secret@all");
        assert_eq!(settings.no, "");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
