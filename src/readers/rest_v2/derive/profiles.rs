//! Rows 10 to 17: profiles that complete a login, and profiles that are only read.

use super::super::rule::Rule;
use super::super::state::{Login, Profile, at_ms};
use super::{Derivation, Facts};
use crate::config::OpenEvent;
use crate::event::EventKind;
use crate::readers::memory::MemoryResult;

/// The most different error codes that are counted for one login. Adobe has some fifty in all.
const ERRORS_MAX: usize = 100;

impl Derivation<'_> {
    pub(super) fn profiles_of_code(&mut self, profiles: &[Profile]) -> MemoryResult<Rule> {
        let Some(first) = profiles.first() else { return Ok(Rule::POLL_WITHOUT_NEWS) };
        let of_profile = self.place_of(first)?;
        let (place, mut login) = self.login_at(self.exchange.code.unwrap_or(of_profile))?;
        if login.is_done {
            return Ok(Rule::POLL_WITHOUT_NEWS);
        }
        let chosen = profiles.iter().find(|profile| Some(&profile.mvpd) == login.mvpd.as_ref());
        let profile = chosen.unwrap_or(first);
        let rule = match profile.kind.as_deref() {
            Some("degraded") => Rule::LOGIN_COMPLETED_DEGRADED,
            Some("temporary") => Rule::PROFILE_OF_TEMPORARY_ACCESS,
            _ => Rule::LOGIN_COMPLETED,
        };
        if rule == Rule::LOGIN_COMPLETED {
            self.complete(rule, profile, &login)?;
        } else if rule == Rule::LOGIN_COMPLETED_DEGRADED && login.is_requested {
            self.emit(rule, EventKind::AuthnOk, &Facts::of_profile(profile, Some(&login)))?;
        }
        login.is_done = true;
        // If no session with this code was seen, its login may have another key. The profile then leads to this row.
        let of_profile = Some(of_profile).filter(|_| !login.is_requested);
        self.state.keep_login(place, &login, of_profile)?;
        self.keep_new_profile(profile, login.device_id.as_deref())?;
        Ok(rule)
    }

    /// Counts a completed login as AuthN OK and, if configured, as AuthN pending and a clientless token.
    fn complete(&mut self, rule: Rule, profile: &Profile, login: &Login) -> MemoryResult<()> {
        let facts = Facts::of_profile(profile, Some(login));
        self.emit(rule, EventKind::AuthnOk, &facts)?;
        self.emit_pending(rule, profile, login.started_ms, &facts)?;
        if self.config.counts(OpenEvent::ClientlessTokens) {
            self.emit(rule, EventKind::ClientlessTokenOk, &Facts { ttl_ms: None, ..facts })?;
        }
        Ok(())
    }

    /// If configured, counts AuthN pending at the profile's start or, if that is not within the login, at the answer.
    pub(super) fn emit_pending(
        &mut self,
        rule: Rule,
        profile: &Profile,
        from_ms: i64,
        facts: &Facts<'_>,
    ) -> MemoryResult<()> {
        if self.config.counts(OpenEvent::AuthnPending) {
            let began = profile.not_before.filter(|ms| (from_ms..=self.answered_ms()).contains(ms));
            let at = began.map_or(self.exchange.answered_at, at_ms);
            let facts = Facts { ttl_ms: None, ..facts.clone() };
            self.emit_at(rule, EventKind::AuthnPending, at, &facts)?;
        }
        Ok(())
    }

    /// Stores the profile of a new login. Deletes earlier decisions, because Adobe forgets them at a new login.
    pub(super) fn keep_new_profile(&mut self, profile: &Profile, device: Option<&str>) -> MemoryResult<()> {
        let Some(device) = device else { return Ok(()) };
        self.state.end_decisions(device, &profile.mvpd)?;
        self.state.keep_profile(device, profile, self.answered_ms())
    }

    pub(super) fn failed_code(&mut self, error: &str) -> MemoryResult<Rule> {
        let rule = Rule::CODE_REFUSED;
        let Some(code) = self.exchange.code else { return Ok(rule) };
        let (place, mut login) = self.login_at(code)?;
        if login.errors.iter().any(|known| known == error) || login.errors.len() >= ERRORS_MAX {
            return Ok(rule);
        }
        login.errors.push(error.to_owned());
        if self.config.counts(OpenEvent::ClientlessTokens) {
            let mvpd = login.mvpd.as_deref();
            let facts = Facts { mvpd, login: Some(&login), error: Some(error), ..Facts::default() };
            self.emit(rule, EventKind::ClientlessTokenFailed, &facts)?;
        }
        self.state.keep_login(place, &login, [])?;
        Ok(rule)
    }

    pub(super) fn profiles(&mut self, profiles: &[Profile]) -> MemoryResult<Rule> {
        let mut rule = Rule::PROFILES_REFRESHED;
        let Some(device) = self.device_id(None) else { return Ok(rule) };
        for profile in profiles {
            if matches!(profile.kind.as_deref(), Some("serviceTokenSSO" | "platformSSO")) {
                rule = Rule::PROFILE_BY_SINGLE_SIGN_ON;
            }
            if self.completes_login(profile, &device)? {
                rule = Rule::PROFILES_REFRESHED;
            } else {
                self.state.keep_profile(&device, profile, self.answered_ms())?;
            }
        }
        Ok(rule)
    }

    /// If configured, completes the open login of a device by a regular profile that began while the code was valid:
    /// some applications poll profiles instead of the code. Returns whether the profile did so.
    fn completes_login(&mut self, profile: &Profile, device: &str) -> MemoryResult<bool> {
        if !self.config.profiles_complete_login || profile.kind.as_deref() != Some("regular") {
            return Ok(false);
        }
        let Some((place, mut login)) = self.state.open_login(device)? else { return Ok(false) };
        let is_inside =
            profile.not_before.is_some_and(|ms| (login.not_before..=login.not_after).contains(&ms));
        let is_its = login.mvpd.as_ref().is_none_or(|mvpd| *mvpd == profile.mvpd);
        let of_profile = self.place_of(profile)?;
        let is_done = login.is_done || self.login_at(of_profile)?.1.is_done;
        if is_done || !login.is_requested || !is_inside || !is_its {
            return Ok(false);
        }
        self.complete(Rule::PROFILES_REFRESHED, profile, &login)?;
        login.is_done = true;
        self.state.keep_login(place, &login, [of_profile])?;
        self.keep_new_profile(profile, Some(device))?;
        Ok(true)
    }
}
