//! The redirects through which a browser goes during a logout. All parts are digested, because the URLs name devices.

use super::raw::RawExchange;
use super::route;
use crate::readers::memory::{Keyring, MemoryKey};

/// A redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) from: MemoryKey,
    /// What the browser requests next.
    pub(super) to: MemoryKey,
    pub(super) to_place: MemoryKey,
}

impl Hop {
    /// The redirect in an exchange, if it may be part of a logout.
    pub(super) fn of(raw: &RawExchange<'_>, keyring: &Keyring) -> Option<Hop> {
        let location = raw.location.as_deref()?.trim();
        let is_redirect = (300..400).contains(&raw.status) && raw.method.eq_ignore_ascii_case("GET");
        is_redirect.then(|| Hop {
            from: hop_key(&raw.url, keyring),
            to: hop_key(location, keyring),
            to_place: place_key(location, keyring),
        })
    }
}

/// The first hop of a logout and the place where the logout ends, if the answer names both.
pub(super) fn leg(
    url: Option<&str>,
    raw: &RawExchange<'_>,
    keyring: &Keyring,
) -> Option<(MemoryKey, MemoryKey)> {
    let end = route::parameter(route::query_of(&raw.url), "redirectUrl")?;
    let url = url.filter(|url| !route::hop_of(url).trim_matches('/').is_empty())?;
    Some((hop_key(url, keyring), place_key(end.trim(), keyring)))
}

fn hop_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout hop", &[route::hop_of(url).as_bytes()])
}

fn place_key(url: &str, keyring: &Keyring) -> MemoryKey {
    keyring.digest("logout end", &[route::place_of(url).as_bytes()])
}
