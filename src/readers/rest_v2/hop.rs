//! The redirects that a browser follows during a logout. Only digests of URLs are kept, because URLs name devices.

use super::raw::RawExchange;
use super::route;
use crate::readers::memory::{Keyring, MemoryKey};

/// A redirect that a browser followed. Its digests are of URLs in their normal form. In a pair of digests,
/// the second is of the URL as the log wrote it, because earlier releases stored such digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) from: [MemoryKey; 2],
    /// The URL that the browser requests next.
    pub(super) to: MemoryKey,
    pub(super) to_place: [MemoryKey; 2],
}

impl Hop {
    /// The redirect in an exchange, if it may be part of a logout.
    pub(super) fn of(raw: &RawExchange<'_>, keyring: &Keyring) -> Option<Hop> {
        let location = raw.headers.location.as_deref()?.trim();
        let is_hop = is_redirect(raw.status) && raw.method.eq_ignore_ascii_case("GET");
        is_hop.then(|| Hop {
            from: [hop_key(&route::normal(&raw.url), keyring), hop_key(&raw.url, keyring)],
            to: hop_key(&route::normal(location), keyring),
            to_place: [place_key(&normal_place(location), keyring), place_key(location, keyring)],
        })
    }
}

/// Whether a status sends the browser to another URL. 304 says that its copy of the answer is good.
pub(super) fn is_redirect(status: u16) -> bool {
    (300..400).contains(&status) && status != 304
}

/// Digests of the browser's first URL and of the place where a logout ends; `None` if one of the two is missing.
pub(super) fn leg(
    url: Option<&str>,
    raw: &RawExchange<'_>,
    keyring: &Keyring,
) -> Option<(MemoryKey, MemoryKey)> {
    let end = route::parameter(route::query_of(&raw.url), "redirectUrl")?;
    let url = url.filter(|url| !route::hop_of(url).trim_matches('/').is_empty())?;
    Some((hop_key(&route::normal(url), keyring), place_key(&normal_place(end.trim()), keyring)))
}

fn hop_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout hop", &[route::hop_of(url).as_bytes()])
}

/// The normal form of a place: scheme and host in lower case, because their case makes no difference.
fn normal_place(url: &str) -> String {
    let url = route::normal(url);
    let place = route::place_of(&url);
    let (host, path) = place.split_at(place.len() - route::path_of(place).len());
    host.to_ascii_lowercase() + path
}

fn place_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout end", &[route::place_of(url).as_bytes()])
}
