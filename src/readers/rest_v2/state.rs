//! What outlives an exchange: logins under way, profiles, decisions that Adobe answers from its cache.
//!
//! ```text
//! store      key (digested)                   holds                                        drops
//! login      code, other codes, session id    device, MVPD, ECID, what was counted         a day after its code
//! profile    requestor, device, MVPD          user ID, type, validity                      when it ends
//! decisions  requestor, device, MVPD          per resource when it was issued and ends     with its last decision
//! logout     what the browser asks for next   who logs out, and where that ends            a day after the last hop
//! ```

use std::collections::BTreeMap;
use std::error::Error;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::headers::Device;
use crate::event::Instant;
use crate::readers::memory::{Keyring, MemoryKey, Recollection};

/// How long a login is remembered after its code has ended, and anything whose end nobody knows, in milliseconds: a day.
pub(super) const DAY_MS: i64 = 86_400_000;
/// Resources whose decisions are kept per profile: more than any programmer has, so that a hostile log cannot fill a row.
const DECISIONS_MAX: usize = 10_000;

/// A failure of what is stored.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Login {
    pub(super) device_id: Option<String>,
    /// From `X-Device-Info` of the call that opened it.
    pub(super) device_info: Device,
    /// What the server says of the device that streams.
    pub(super) device: Device,
    pub(super) mvpd: Option<String>,
    pub(super) visitor_id: Option<String>,
    pub(super) started_ms: i64,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) is_requested: bool,
    pub(super) is_done: bool,
    /// Error codes that were counted.
    pub(super) errors: Vec<String>,
}

/// A row under a code or session id: the login itself, or where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LoginRow {
    Login(Login),
    See([u8; 16]),
}

/// A profile that events are joined with.
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

/// A logout on its way through a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LogoutLeg {
    pub(super) service_provider: String,
    pub(super) mvpd: Option<String>,
    pub(super) profile: Option<Profile>,
    pub(super) device: Option<[u8; 16]>,
    pub(super) device_info: Option<Device>,
    pub(super) visitor_id: Option<String>,
    /// The digest of the place where it ends.
    pub(super) ends_at: [u8; 16],
}

/// When decisions were issued and when they end, per digested resource.
type Decisions = BTreeMap<String, Stamps>;
/// When a decision was issued and when it ends, in milliseconds, as far as it says.
pub(super) type Stamps = (Option<i64>, Option<i64>);

#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) memory: &'a mut Recollection,
    pub(super) keyring: &'a Keyring,
}

impl State<'_> {
    fn read<T: DeserializeOwned>(&mut self, key: MemoryKey) -> Result<Option<T>, Failure> {
        match self.memory.recall(key)? {
            // A row of an older release that cannot be read is as good as none.
            Some(body) => Ok(serde_json::from_str(&body).ok()),
            None => Ok(None),
        }
    }

    fn write<T: Serialize>(&mut self, key: MemoryKey, drops_at_ms: i64, row: &T) -> Result<(), Failure> {
        let body = serde_json::to_string(row)?;
        self.memory.remember(key, at_ms(drops_at_ms), Some(body));
        Ok(())
    }

    fn forget(&mut self, key: MemoryKey) -> Result<(), Failure> {
        if self.memory.recall(key)?.is_some() {
            self.memory.remember(key, at_ms(0), None);
        }
        Ok(())
    }

    /// Whether this key was noted before; notes it.
    pub(super) fn is_first(&mut self, key: MemoryKey, drops_at_ms: i64) -> Result<bool, Failure> {
        if self.memory.recall(key)?.is_some() {
            return Ok(false);
        }
        self.memory.remember(key, at_ms(drops_at_ms), Some(String::new()));
        Ok(true)
    }

    /// The login that a code or session belongs to, and its place.
    pub(super) fn login(&mut self, key: MemoryKey) -> Result<Option<(MemoryKey, Login)>, Failure> {
        match self.read(key)? {
            Some(LoginRow::Login(login)) => Ok(Some((key, login))),
            Some(LoginRow::See(place)) => {
                let place = MemoryKey(place);
                Ok(match self.read(place)? {
                    Some(LoginRow::Login(login)) => Some((place, login)),
                    _ => None,
                })
            }
            None => Ok(None),
        }
    }

    /// Keeps a login at its place, and lets other codes and session ids lead there.
    pub(super) fn keep_login(
        &mut self,
        place: MemoryKey,
        login: &Login,
        others: impl IntoIterator<Item = MemoryKey>,
    ) -> Result<(), Failure> {
        let drops_at = login.not_after + DAY_MS;
        self.write(place, drops_at, &LoginRow::Login(login.clone()))?;
        for other in others {
            if other != place {
                self.write(other, drops_at, &LoginRow::See(place.0))?;
            }
        }
        Ok(())
    }

    fn device_key(&self, store: &str, sp: &str, device: &str, mvpd: &str) -> MemoryKey {
        self.keyring.derived(store, &[sp.as_bytes(), device.as_bytes(), mvpd.as_bytes()])
    }

    /// The login that a device opened last.
    pub(super) fn open_login(
        &mut self,
        sp: &str,
        device: &str,
    ) -> Result<Option<(MemoryKey, Login)>, Failure> {
        let key = self.device_key("open login", sp, device, "");
        self.login(key)
    }

    pub(super) fn keep_open_login(
        &mut self,
        sp: &str,
        device: &str,
        place: MemoryKey,
        login: &Login,
    ) -> Result<(), Failure> {
        let key = self.device_key("open login", sp, device, "");
        self.write(key, login.not_after + DAY_MS, &LoginRow::See(place.0))
    }

    /// The profile of a device with an MVPD, as long as it lasts.
    pub(super) fn profile(
        &mut self,
        sp: &str,
        device: &str,
        mvpd: &str,
        now_ms: i64,
    ) -> Result<Option<Profile>, Failure> {
        let key = self.device_key("profile", sp, device, mvpd);
        let profile: Option<Profile> = self.read(key)?;
        Ok(profile.filter(|profile| profile.not_after.is_none_or(|end| end > now_ms)))
    }

    pub(super) fn keep_profile(
        &mut self,
        sp: &str,
        device: &str,
        profile: &Profile,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let key = self.device_key("profile", sp, device, &profile.mvpd);
        let known: Option<Profile> = self.read(key)?;
        if known.as_ref() == Some(profile) {
            return Ok(());
        }
        self.write(key, profile.not_after.unwrap_or(now_ms + DAY_MS), profile)
    }

    /// The MVPD that a session without one in its path is about is gone: its profile and decisions are over.
    pub(super) fn end_profile(&mut self, sp: &str, device: &str, mvpd: &str) -> Result<(), Failure> {
        let key = self.device_key("profile", sp, device, mvpd);
        self.forget(key)?;
        self.end_decisions(sp, device, mvpd)
    }

    pub(super) fn end_decisions(&mut self, sp: &str, device: &str, mvpd: &str) -> Result<(), Failure> {
        let key = self.device_key("decisions", sp, device, mvpd);
        self.forget(key)
    }

    /// When the last decision about a resource was issued and when it ends.
    pub(super) fn decision(
        &mut self,
        sp: &str,
        device: &str,
        mvpd: &str,
        resource: &str,
    ) -> Result<Option<Stamps>, Failure> {
        let key = self.device_key("decisions", sp, device, mvpd);
        let decisions: Decisions = self.read(key)?.unwrap_or_default();
        let resource = self.keyring.digest("resource", &[resource.as_bytes()]).hex();
        Ok(decisions.get(&resource).copied())
    }

    pub(super) fn keep_decision(
        &mut self,
        (sp, device, mvpd): (&str, &str, &str),
        resource: &str,
        stamps: Stamps,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let key = self.device_key("decisions", sp, device, mvpd);
        let mut decisions: Decisions = self.read(key)?.unwrap_or_default();
        decisions.retain(|_, (_, end)| end.is_none_or(|end| end > now_ms));
        let resource = self.keyring.digest("resource", &[resource.as_bytes()]).hex();
        if decisions.len() < DECISIONS_MAX {
            decisions.insert(resource, stamps);
        }
        let last = decisions.values().map(|(_, end)| end.unwrap_or(now_ms + DAY_MS)).max();
        self.write(key, last.unwrap_or(now_ms), &decisions)
    }

    /// The logout that a browser's request belongs to.
    pub(super) fn logout_leg(&mut self, hop: MemoryKey) -> Result<Option<LogoutLeg>, Failure> {
        self.read(hop)
    }

    pub(super) fn keep_logout_leg(
        &mut self,
        hop: MemoryKey,
        now_ms: i64,
        leg: &LogoutLeg,
    ) -> Result<(), Failure> {
        self.write(hop, now_ms + DAY_MS, leg)
    }

    pub(super) fn end_logout_leg(&mut self, hop: MemoryKey) -> Result<(), Failure> {
        self.forget(hop)
    }

    /// Whether an MVPD was seen to stand behind a proxy.
    pub(super) fn is_proxied(&mut self, sp: &str, mvpd: &str) -> Result<bool, Failure> {
        let key = self.device_key("proxied", sp, "", mvpd);
        Ok(self.memory.recall(key)?.is_some())
    }

    pub(super) fn keep_proxied(&mut self, sp: &str, mvpd: &str, now_ms: i64) -> Result<(), Failure> {
        /// How long a configuration is believed, in milliseconds: a year, since applications fetch it at every start.
        const BELIEVED_MS: i64 = 366 * DAY_MS;
        let key = self.device_key("proxied", sp, "", mvpd);
        self.is_first(key, now_ms + BELIEVED_MS).map(drop)
    }
}

/// The instant of this many milliseconds since the epoch, or the last there is.
pub(super) fn at_ms(ms: i64) -> Instant {
    Instant::from_nanos(ms.saturating_mul(1_000_000))
}

pub(super) fn ms_of(instant: Instant) -> i64 {
    instant.nanos().div_euclid(1_000_000)
}
