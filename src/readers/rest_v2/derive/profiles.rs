//! Rows 10 to 17: profiles that end a login, and those that are only looked at.

use super::super::exchange::ProfileReply;
use super::super::state::{DAY_MS, Failure, Login, Profile, at_ms, ms_of};
use super::super::vocabulary::DEGRADED_USER_PREFIX;
use super::{Derivation, Facts};
use crate::event::EventKind;

impl Derivation<'_> {
    pub(super) fn profiles_of_code(&mut self, profiles: &[ProfileReply]) -> Result<(), Failure> {
        self.rule = 11;
        let (Some(code), false) = (self.exchange.code, profiles.is_empty()) else { return Ok(()) };
        let started_ms = ms_of(self.exchange.started_at);
        let (place, mut login) = self.state.login(code)?.unwrap_or_else(|| {
            (code, Login { started_ms, not_after: started_ms + DAY_MS, ..Login::default() })
        });
        let chosen = profiles.iter().find(|profile| Some(&profile.mvpd) == login.mvpd.as_ref());
        let chosen = chosen.or(profiles.first());
        let (false, Some(chosen)) = (login.is_done, chosen) else { return Ok(()) };
        let profile = profile_of(chosen);
        match profile.kind.as_deref() {
            Some("degraded") => {
                self.rule = 12;
                if login.is_requested {
                    let facts = self.profile_facts(&profile, &login);
                    self.emit(EventKind::AuthnOk, &facts)?;
                }
            }
            Some("temporary") => self.rule = 13,
            _ => {
                self.rule = 10;
                self.complete(&profile, &login)?;
            }
        }
        login.is_done = true;
        self.state.keep_login(place, &login, [])?;
        self.keep_new_profile(&profile, login.device_id.as_deref())
    }

    /// A login that came back: AuthN OK, pending, and the clientless token.
    pub(super) fn complete(&mut self, profile: &Profile, login: &Login) -> Result<(), Failure> {
        let facts = self.profile_facts(profile, login);
        self.emit(EventKind::AuthnOk, &facts)?;
        self.emit_pending(profile, login.started_ms, &facts)?;
        if self.config.count_clientless_tokens {
            self.emit(EventKind::ClientlessTokenOk, &Facts { ttl_ms: None, ..facts })?;
        }
        Ok(())
    }

    /// The viewer came back when the profile began, where that can be.
    pub(super) fn emit_pending(
        &mut self,
        profile: &Profile,
        from_ms: i64,
        facts: &Facts<'_>,
    ) -> Result<(), Failure> {
        if self.config.count_authn_pending {
            let began = profile.not_before.filter(|ms| (from_ms..=self.answered_ms()).contains(ms));
            let at = began.map_or(self.exchange.answered_at, at_ms);
            self.emit_at(EventKind::AuthnPending, at, &Facts { ttl_ms: None, ..facts.clone() })?;
        }
        Ok(())
    }

    pub(super) fn profile_facts<'f>(&self, profile: &'f Profile, login: &'f Login) -> Facts<'f> {
        let ttl_ms = profile.not_before.zip(profile.not_after).map(|(from, to)| to - from);
        Facts {
            mvpd: Some(&profile.mvpd),
            login: Some(login),
            profile: Some(profile),
            ttl_ms,
            ..Facts::default()
        }
    }

    /// A login makes Adobe forget what it had decided before.
    pub(super) fn keep_new_profile(
        &mut self,
        profile: &Profile,
        device: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(device) = device else { return Ok(()) };
        self.state.end_decisions(self.sp(), device, &profile.mvpd)?;
        self.state.keep_profile(self.sp(), device, profile, self.answered_ms())
    }

    pub(super) fn failed_code(&mut self, error: &str) -> Result<(), Failure> {
        self.rule = 14;
        let Some(code) = self.exchange.code else { return Ok(()) };
        let started_ms = ms_of(self.exchange.started_at);
        let (place, mut login) = self.state.login(code)?.unwrap_or_else(|| {
            (code, Login { started_ms, not_after: started_ms + DAY_MS, ..Login::default() })
        });
        /// Distinct error codes that one login counts: there are some fifty in all.
        const ERRORS_MAX: usize = 100;
        if login.errors.iter().any(|known| known == error) || login.errors.len() >= ERRORS_MAX {
            return Ok(());
        }
        login.errors.push(error.to_owned());
        if self.config.count_clientless_tokens {
            let mvpd = login.mvpd.clone();
            let facts =
                Facts { mvpd: mvpd.as_deref(), login: Some(&login), error: Some(error), ..Facts::default() };
            self.emit(EventKind::ClientlessTokenFailed, &facts)?;
        }
        self.state.keep_login(place, &login, [])
    }

    pub(super) fn profiles(&mut self, profiles: &[ProfileReply]) -> Result<(), Failure> {
        self.rule = 15;
        let Some(device) = self.device_id(None) else { return Ok(()) };
        let now_ms = self.answered_ms();
        for found in profiles {
            let profile = profile_of(found);
            if matches!(profile.kind.as_deref(), Some("serviceTokenSSO" | "platformSSO")) {
                self.rule = 17;
            }
            if !self.completes_login(&profile, &device)? {
                self.state.keep_profile(self.sp(), &device, &profile, now_ms)?;
            }
        }
        Ok(())
    }

    /// Some applications poll their profiles instead of their code: a regular profile that began while the device's code was
    /// open is the end of that login.
    pub(super) fn completes_login(&mut self, profile: &Profile, device: &str) -> Result<bool, Failure> {
        if !self.config.profiles_complete_login || profile.kind.as_deref() != Some("regular") {
            return Ok(false);
        }
        let Some((place, mut login)) = self.state.open_login(self.sp(), device)? else { return Ok(false) };
        let is_inside =
            profile.not_before.is_some_and(|ms| (login.not_before..=login.not_after).contains(&ms));
        let is_its = login.mvpd.as_ref().is_none_or(|mvpd| *mvpd == profile.mvpd);
        if login.is_done || !login.is_requested || !is_inside || !is_its {
            return Ok(false);
        }
        self.rule = 15;
        self.complete(profile, &login)?;
        login.is_done = true;
        self.state.keep_login(place, &login, [])?;
        self.keep_new_profile(profile, Some(device))?;
        Ok(true)
    }
}

pub(super) fn profile_of(found: &ProfileReply) -> Profile {
    let has_made_up_id = found.user_id.as_ref().is_some_and(|id| id.starts_with(DEGRADED_USER_PREFIX));
    Profile {
        mvpd: found.mvpd.clone(),
        user_id: found.user_id.clone(),
        kind: found.kind.clone(),
        is_apple: found.is_apple,
        is_hba: found.is_hba,
        is_degraded: has_made_up_id || found.kind.as_deref() == Some("degraded"),
        not_before: found.not_before,
        not_after: found.not_after,
    }
}
