//! What is remembered between exchanges. Digests of exchanges and of partner logins are also remembered, as rows with
//! an empty body, so that each counts once.
//!
//! ```text
//! store       key (digested)               holds                                        drops
//! login       codes, session ID            device, MVPD, ECID, what was counted         a day after its code ends
//! open login  requestor, device            the key of the last login of the device      with that login
//! profile     requestor, device, MVPD      user ID, type, validity                      when the profile ends
//! decisions   requestor, device, MVPD      start and end of each resource's decision    when the last decision ends
//! logout      next URL of the browser      who logs out, and where the logout ends      a day after the last hop
//! proxied     requestor, MVPD              nothing: the MVPD is behind a proxy          when a configuration says otherwise
//! ```

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::device::Device;
use crate::event::Instant;
use crate::readers::memory::{Keyring, MemoryKey, MemoryResult, Recollection};

/// A day, in milliseconds: how long a login is kept after its code has ended, and a row whose end is unknown.
pub(super) const DAY_MS: i64 = 86_400_000;
/// The most resources whose decisions are kept for a profile. Only a hostile log has more.
const DECISIONS_MAX: usize = 10_000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Login {
    pub(super) device_id: Option<String>,
    /// The device in the last `X-Device-Info` of the calls that opened or continued the login.
    pub(super) device_info: Device,
    /// The description of the streaming device in Adobe's answer about the session.
    pub(super) device: Device,
    pub(super) mvpd: Option<String>,
    pub(super) visitor_id: Option<String>,
    pub(super) started_ms: i64,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) is_requested: bool,
    pub(super) is_done: bool,
    /// The error codes in the answers to the login. Each counts once.
    pub(super) errors: Vec<String>,
}

/// A row for a code or a session ID: the login itself, or the key of its row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LoginRow {
    Login(Login),
    See([u8; 16]),
}

/// A profile whose user ID and type go into events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Profile {
    pub(super) mvpd: String,
    #[serde(rename = "mvpd_user_id")]
    pub(super) user_id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) is_apple: bool,
    pub(super) is_hba: bool,
    pub(super) is_degraded: bool,
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
}

/// A logout that continues in a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LogoutLeg {
    pub(super) service_provider: String,
    pub(super) mvpd: Option<String>,
    pub(super) profile: Option<Profile>,
    pub(super) device: Option<[u8; 16]>,
    pub(super) device_info: Option<Device>,
    pub(super) visitor_id: Option<String>,
    /// The digest of the place where the logout ends.
    pub(super) ends_at: [u8; 16],
}

/// For each digested resource, when its decision was issued and when it ends.
type Decisions = BTreeMap<String, Stamps>;
/// When a decision was issued and when it ends, in milliseconds since the Unix epoch; `None` if unknown.
pub(super) type Stamps = (Option<i64>, Option<i64>);

/// What is remembered of one service provider's devices and logins.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) memory: &'a mut Recollection,
    pub(super) keyring: &'a Keyring,
    pub(super) service_provider: &'a str,
}

impl State<'_> {
    pub(super) fn read<T: DeserializeOwned>(&mut self, key: MemoryKey) -> MemoryResult<Option<T>> {
        // A row that cannot be read counts as absent: an older release wrote it.
        Ok(self.memory.recall(key)?.and_then(|body| serde_json::from_str(&body).ok()))
    }

    pub(super) fn write<T: Serialize>(
        &mut self,
        key: MemoryKey,
        drops_at_ms: i64,
        row: &T,
    ) -> MemoryResult<()> {
        let body = serde_json::to_string(row)?;
        self.memory.remember(key, at_ms(drops_at_ms), Some(body));
        Ok(())
    }

    pub(super) fn forget(&mut self, key: MemoryKey) -> MemoryResult<()> {
        if self.memory.recall(key)?.is_some() {
            self.memory.remember(key, at_ms(0), None);
        }
        Ok(())
    }

    /// Remembers this key. Returns whether it was new.
    pub(super) fn is_first(&mut self, key: MemoryKey, drops_at_ms: i64) -> MemoryResult<bool> {
        if self.memory.recall(key)?.is_some() {
            return Ok(false);
        }
        self.memory.remember(key, at_ms(drops_at_ms), Some(String::new()));
        Ok(true)
    }

    /// The login to which a code or a session ID belongs, and the key of its row.
    pub(super) fn login(&mut self, key: MemoryKey) -> MemoryResult<Option<(MemoryKey, Login)>> {
        match self.read(key)? {
            Some(LoginRow::Login(login)) => Ok(Some((key, login))),
            Some(LoginRow::See(place)) => match self.read(MemoryKey(place))? {
                Some(LoginRow::Login(login)) => Ok(Some((MemoryKey(place), login))),
                Some(LoginRow::See(_)) | None => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// Stores a login under its key, and lets other codes and session IDs refer to that key.
    pub(super) fn keep_login(
        &mut self,
        place: MemoryKey,
        login: &Login,
        others: impl IntoIterator<Item = MemoryKey>,
    ) -> MemoryResult<()> {
        let drops_at = login.not_after + DAY_MS;
        self.write(place, drops_at, &LoginRow::Login(login.clone()))?;
        for other in others.into_iter().filter(|other| *other != place) {
            self.write(other, drops_at, &LoginRow::See(place.0))?;
        }
        Ok(())
    }

    fn device_key(&self, store: &str, device: &str, mvpd: &str) -> MemoryKey {
        let parts = [self.service_provider.as_bytes(), device.as_bytes(), mvpd.as_bytes()];
        self.keyring.derived(store, &parts)
    }

    pub(super) fn open_login(&mut self, device: &str) -> MemoryResult<Option<(MemoryKey, Login)>> {
        self.login(self.device_key("open login", device, ""))
    }

    pub(super) fn keep_open_login(
        &mut self,
        device: &str,
        place: MemoryKey,
        login: &Login,
    ) -> MemoryResult<()> {
        let key = self.device_key("open login", device, "");
        self.write(key, login.not_after + DAY_MS, &LoginRow::See(place.0))
    }

    /// The profile of a device with an MVPD, if it has not ended.
    pub(super) fn profile(&mut self, device: &str, mvpd: &str, now_ms: i64) -> MemoryResult<Option<Profile>> {
        let profile: Option<Profile> = self.read(self.device_key("profile", device, mvpd))?;
        Ok(profile.filter(|profile| profile.not_after.is_none_or(|end| end > now_ms)))
    }

    pub(super) fn keep_profile(&mut self, device: &str, profile: &Profile, now_ms: i64) -> MemoryResult<()> {
        let key = self.device_key("profile", device, &profile.mvpd);
        if self.read::<Profile>(key)?.as_ref() == Some(profile) {
            return Ok(());
        }
        self.write(key, profile.not_after.unwrap_or(now_ms + DAY_MS), profile)
    }

    /// Deletes the profile and the decisions of a device that has logged out of an MVPD.
    pub(super) fn end_profile(&mut self, device: &str, mvpd: &str) -> MemoryResult<()> {
        self.forget(self.device_key("profile", device, mvpd))?;
        self.end_decisions(device, mvpd)
    }

    pub(super) fn end_decisions(&mut self, device: &str, mvpd: &str) -> MemoryResult<()> {
        self.forget(self.device_key("decisions", device, mvpd))
    }

    /// Stores when a new decision about a resource was issued and ends. Returns the times of the decision before it.
    pub(super) fn replace_decision(
        &mut self,
        (device, mvpd, resource): (&str, &str, &str),
        stamps: Stamps,
        now_ms: i64,
    ) -> MemoryResult<Option<Stamps>> {
        let key = self.device_key("decisions", device, mvpd);
        let mut decisions: Decisions = self.read(key)?.unwrap_or_default();
        let resource = self.keyring.digest("resource", &[resource.as_bytes()]).hex();
        let known = decisions.get(&resource).copied();
        if known == Some(stamps) || stamps == (None, None) {
            return Ok(known);
        }
        decisions.retain(|_, (_, end)| end.is_none_or(|end| end > now_ms));
        if decisions.len() < DECISIONS_MAX {
            decisions.insert(resource, stamps);
        }
        let last = decisions.values().map(|(_, end)| end.unwrap_or(now_ms + DAY_MS)).max();
        self.write(key, last.unwrap_or(now_ms), &decisions)?;
        Ok(known)
    }

    /// Whether the last configuration with this MVPD showed it behind a proxy.
    pub(super) fn is_proxied(&mut self, mvpd: &str) -> MemoryResult<bool> {
        Ok(self.memory.recall(self.device_key("proxied", "", mvpd))?.is_some())
    }

    pub(super) fn keep_proxied(&mut self, mvpd: &str, is_proxied: bool) -> MemoryResult<()> {
        let key = self.device_key("proxied", "", mvpd);
        if is_proxied { self.is_first(key, i64::MAX).map(drop) } else { self.forget(key) }
    }
}

/// The instant this many milliseconds after the epoch, or the last possible instant.
pub(super) fn at_ms(ms: i64) -> Instant {
    Instant::from_nanos(ms.saturating_mul(1_000_000))
}

pub(super) fn ms_of(instant: Instant) -> i64 {
    instant.nanos().div_euclid(1_000_000)
}
