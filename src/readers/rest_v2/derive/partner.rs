//! Rows 18 to 26: partner single sign-on.

use super::super::exchange::{Reply, SessionReply};
use super::super::state::{DAY_MS, Failure, Login, ms_of};
use super::profiles::profile_of;
use super::{Derivation, Facts};
use crate::event::EventKind;

impl Derivation<'_> {
    pub(super) fn partner_session(&mut self, session: &SessionReply) -> Result<(), Failure> {
        let mvpd = session.mvpd.as_deref();
        match session.action.as_str() {
            "partner_profile" => {
                self.rule = 18;
                let key = session.session.unwrap_or(self.exchange.fingerprint);
                let key = self.state.keyring.digest("partner session", &[&key.0]);
                let drops_at = session.not_after.unwrap_or(self.answered_ms()) + DAY_MS;
                if self.config.count_partner_authn && self.state.is_first(key, drops_at)? {
                    let facts = Facts { mvpd, is_apple: true, ..Facts::default() };
                    self.emit(EventKind::AuthnRequested, &facts)?;
                }
                Ok(())
            }
            "authorize" => {
                self.session_passes(session, mvpd)?;
                if self.rule == 4 {
                    self.rule = 19;
                }
                Ok(())
            }
            "authenticate" => {
                self.rule = 20;
                self.start_login(session, mvpd, true)
            }
            _ => {
                self.rule = 21;
                self.start_login(session, mvpd, false)
            }
        }
    }

    pub(super) fn partner_profile(&mut self, is_success: bool) -> Result<(), Failure> {
        let exchange = self.exchange;
        let found = match &exchange.reply {
            Reply::Profiles(profiles) => profiles.first(),
            Reply::Error(code) => {
                self.rule = 26;
                let facts = Facts { error: Some(code), is_apple: true, ..Facts::default() };
                return self.partner_failed(&facts);
            }
            // Not an answer of Adobe's to the partner's: a failure says its code.
            _ if !is_success => return self.nothing(23),
            _ => None,
        };
        let Some(found) = found else {
            self.rule = 26;
            return self.partner_failed(&Facts { is_apple: true, ..Facts::default() });
        };
        let profile = profile_of(found);
        self.rule = if profile.is_degraded { 25 } else { 24 };
        let device = self.device_id(None);
        let began = profile.not_before.unwrap_or_default().to_be_bytes();
        let parts = [
            self.sp().as_bytes(),
            device.as_deref().unwrap_or("").as_bytes(),
            profile.mvpd.as_bytes(),
            &began,
        ];
        let key = self.state.keyring.digest("partner profile", &parts);
        let now_ms = self.answered_ms();
        let drops_at = profile.not_after.unwrap_or(now_ms) + DAY_MS;
        if self.state.is_first(key, drops_at)? && self.config.count_partner_authn {
            let login = Login::default();
            let facts = Facts { login: None, ..self.profile_facts(&profile, &login) };
            self.emit(EventKind::AuthnOk, &facts)?;
            if self.rule == 24 {
                self.emit_pending(&profile, ms_of(exchange.started_at), &facts)?;
            }
        }
        self.keep_new_profile(&profile, device.as_deref())
    }

    pub(super) fn partner_failed(&mut self, facts: &Facts<'_>) -> Result<(), Failure> {
        if self.config.count_partner_authn {
            self.emit(EventKind::AuthnFailed, facts)?;
        }
        Ok(())
    }
}
