//! Finds device identifiers that several devices seem to share, such as the text of a mask that no list of words has.

use std::collections::HashMap;

use super::derive::Derived;
use crate::event::{EventKind, Property};
use crate::readers::memory::{Keyring, MemoryKey};

/// If this many users of one MVPD log in under one identifier, it is taken for that of several devices. A household has
/// one account with its MVPD and perhaps a second one; a third account is another household's.
const USERS_MIN: usize = 3;
/// An input with this many exchanges has many devices, so an identifier that more than half of them have is shared.
const EXCHANGES_MIN: u64 = 1_000;
/// The most identifiers whose users are remembered, some 10 MB. Then all are forgotten: a shared one soon comes again.
const DEVICES_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct SharedDevices {
    /// For each requestor, MVPD and device, the users who logged in.
    users: HashMap<MemoryKey, Vec<MemoryKey>>,
    /// The exchanges with a device identifier.
    exchanges: u64,
    /// The identifier that may have most of them (the vote of Boyer and Moore), and the line where the vote last chose it.
    most: Option<(MemoryKey, u64)>,
    /// How many exchanges have it from that line on.
    count: u64,
    /// By how many exchanges it leads from that line on.
    lead: u64,
}

impl SharedDevices {
    pub(super) fn see(&mut self, device: MemoryKey, number: u64) {
        self.exchanges += 1;
        if self.lead == 0 {
            (self.most, self.count) = (Some((device, number)), 0);
        }
        let is_it = self.most.is_some_and(|(most, _)| most == device);
        self.count += u64::from(is_it);
        self.lead = if is_it { self.lead + 1 } else { self.lead - 1 };
    }

    /// Whether one of these events is the login with which a device has too many users.
    pub(super) fn is_shared(&mut self, events: &[Derived], keyring: &Keyring) -> bool {
        let mut logins = events.iter().filter(|(event, _)| event.kind() == EventKind::AuthnOk);
        logins.any(|(event, _)| {
            let [device, user, mvpd] = [Property::DeviceId, Property::MvpdUserId, Property::Mvpd]
                .map(|property| event.property(property).unwrap_or_default().as_bytes());
            if device.is_empty() || user.is_empty() {
                return false;
            }
            if self.users.len() >= DEVICES_MAX {
                self.users.clear();
            }
            let device = keyring.derived("users", &[event.requestor_id().as_str().as_bytes(), mvpd, device]);
            let (users, user) = (self.users.entry(device).or_default(), keyring.derived("user", &[user]));
            let is_new = users.len() < USERS_MIN && !users.contains(&user);
            users.extend(is_new.then_some(user));
            is_new && users.len() == USERS_MIN
        })
    }

    /// The line where the vote last chose an identifier, if from there on it has more exchanges than half of a large
    /// input. An identifier that has most exchanges, but was chosen late, is not found.
    pub(super) fn most(&self) -> Option<u64> {
        let is_most = self.exchanges >= EXCHANGES_MIN && self.count > self.exchanges / 2;
        self.most.filter(|_| is_most).map(|(_, number)| number)
    }
}
