//! Rows 18 to 26: partner single sign-on.

use super::super::answer::{Reply, Session};
use super::super::rule::Rule;
use super::super::state::DAY_MS;
use super::{Derivation, Facts};
use crate::config::OpenEvent;
use crate::event::EventKind;
use crate::readers::memory::MemoryResult;

impl Derivation<'_> {
    pub(super) fn partner_session(&mut self, session: &Session) -> MemoryResult<Rule> {
        let mvpd = session.mvpd.as_deref();
        match session.action.as_deref() {
            Some("partner_profile") => {
                let rule = Rule::PARTNER_LOGIN_BEGINS;
                let key = session.session.unwrap_or(self.exchange.fingerprint);
                let key = self.state.keyring.digest("partner session", &[&key.0]);
                let drops_at = session.not_after.unwrap_or(self.answered_ms()) + DAY_MS;
                if self.config.counts(OpenEvent::PartnerAuthn) && self.state.is_first(key, drops_at)? {
                    let facts = Facts { mvpd, is_apple: true, ..Facts::default() };
                    self.emit(rule, EventKind::AuthnRequested, &facts)?;
                }
                Ok(rule)
            }
            Some("authorize") => match self.session_passes(session, mvpd)? {
                Rule::AUTHENTICATION_DEGRADED => Ok(Rule::PARTNER_SESSION_DEGRADED),
                rule => Ok(rule),
            },
            Some("authenticate") => self.start_login(Rule::PARTNER_FALLS_BACK, session, mvpd),
            Some("resume") => self.start_login(Rule::PARTNER_SESSION_WAITS, session, mvpd),
            _ => self.start_login(Rule::UNKNOWN_ACTION, session, mvpd),
        }
    }

    pub(super) fn partner_profile(&mut self, is_success: bool) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        let profile = match &exchange.reply {
            Reply::Profiles(profiles) => profiles.first(),
            Reply::Error(code) => return self.partner_failed(Some(code)),
            // Adobe did not process a request that failed without an error code.
            _ if !is_success => return Ok(Rule::NOT_PROCESSED),
            _ => None,
        };
        let Some(profile) = profile else { return self.partner_failed(None) };
        let rule =
            if profile.is_degraded { Rule::PARTNER_PROFILE_DEGRADED } else { Rule::PARTNER_LOGIN_COMPLETED };
        let device = self.device_id(None);
        let began = profile.not_before.unwrap_or_default().to_be_bytes();
        let parts = [
            exchange.service_provider.as_bytes(),
            device.as_deref().unwrap_or("").as_bytes(),
            profile.mvpd.as_bytes(),
            &began,
        ];
        let key = self.state.keyring.digest("partner profile", &parts);
        let drops_at = profile.not_after.unwrap_or(self.answered_ms()) + DAY_MS;
        if self.state.is_first(key, drops_at)? && self.config.counts(OpenEvent::PartnerAuthn) {
            let facts = Facts::of_profile(profile, None);
            self.emit(rule, EventKind::AuthnOk, &facts)?;
            if !profile.is_degraded {
                self.emit_pending(rule, profile, self.started_ms(), &facts)?;
            }
        }
        self.keep_new_profile(profile, device.as_deref())?;
        Ok(rule)
    }

    fn partner_failed(&mut self, error: Option<&str>) -> MemoryResult<Rule> {
        let rule = Rule::PARTNER_LOGIN_FAILED;
        if self.config.counts(OpenEvent::PartnerAuthn) {
            let facts = Facts { error, is_apple: true, ..Facts::default() };
            self.emit(rule, EventKind::AuthnFailed, &facts)?;
        }
        Ok(rule)
    }
}
