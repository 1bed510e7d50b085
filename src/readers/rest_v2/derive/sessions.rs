//! Rows 1 to 9: sessions that open a login, and sessions that need none.

use super::super::answer::Session;
use super::super::device::Device;
use super::super::route::Endpoint;
use super::super::rule::Rule;
use super::super::state::{DAY_MS, Login, Profile};
use super::{Derivation, Facts};
use crate::config::AuthnRequestedAt;
use crate::event::EventKind;
use crate::readers::memory::{MemoryKey, MemoryResult};

impl Derivation<'_> {
    pub(super) fn session(&mut self, session: &Session) -> MemoryResult<Rule> {
        let mvpd = session.mvpd.as_deref().or(self.exchange.asked.mvpd.as_deref());
        let is_new = self.exchange.endpoint == Endpoint::CreateSession;
        let rule = match session.action.as_deref() {
            Some("authorize") => return self.session_passes(session, mvpd),
            Some("authenticate") if is_new => Rule::LOGIN_BEGINS,
            Some("authenticate") => Rule::LOGIN_BEGINS_AFTER_CHOICE,
            Some("retry") => Rule::SESSION_LOOKED_AT,
            Some("resume") => Rule::SESSION_WAITS,
            _ => Rule::UNKNOWN_ACTION,
        };
        self.start_login(rule, session, mvpd)
    }

    /// Handles a session that needs no login, because the access is cached, degraded or temporary.
    pub(super) fn session_passes(&mut self, session: &Session, mvpd: Option<&str>) -> MemoryResult<Rule> {
        match session.reason.as_deref() {
            Some("degraded") => {}
            Some("temporary") => return Ok(Rule::TEMPORARY_ACCESS),
            _ => return Ok(Rule::ALREADY_AUTHENTICATED),
        }
        let login = self.login_of(session)?.map(|(_, login)| login);
        if let (Some(device), Some(mvpd)) = (self.device_id(login.as_ref()), mvpd) {
            let now_ms = self.answered_ms();
            let known = self.state.profile(&device, mvpd, now_ms)?;
            let profile = Profile {
                mvpd: mvpd.to_owned(),
                kind: Some("degraded".to_owned()),
                is_degraded: true,
                not_after: session.not_after,
                ..Profile::default()
            };
            if known.is_none_or(|known| !known.is_degraded) {
                self.state.keep_profile(&device, &profile, now_ms)?;
            }
        }
        Ok(Rule::AUTHENTICATION_DEGRADED)
    }

    /// The login to which one of the codes or the session ID of an exchange belongs.
    fn login_of(&mut self, session: &Session) -> MemoryResult<Option<(MemoryKey, Login)>> {
        for key in [self.exchange.code, session.code, session.session].into_iter().flatten() {
            if let Some(found) = self.state.login(key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The key for a login that has neither a code nor a session ID.
    fn own_place(&self) -> MemoryKey {
        self.state.keyring.derived("login of exchange", &[&self.exchange.fingerprint.0])
    }

    /// Opens or continues a login. If sessions count and the answer sends the viewer to the MVPD, counts that once.
    pub(super) fn start_login(
        &mut self,
        rule: Rule,
        session: &Session,
        mvpd: Option<&str>,
    ) -> MemoryResult<Rule> {
        let started_ms = self.started_ms();
        let known = self.login_of(session)?;
        let keys = [session.code, self.exchange.code, session.session];
        let place = known.as_ref().map(|(place, _)| *place).or(keys.into_iter().flatten().next());
        let mut login = known.map(|(_, login)| login).unwrap_or_else(|| Login {
            started_ms,
            not_before: session.not_before.unwrap_or(started_ms),
            ..Login::default()
        });
        login.not_after = login.not_after.max(session.not_after.unwrap_or(started_ms + DAY_MS));
        login.device_id = self.device_id(Some(&login));
        if let Some(device_info) = &self.exchange.device_info {
            login.device_info = Device::clone(device_info);
        }
        if let Some(mvpd) = mvpd {
            login.mvpd = Some(mvpd.to_owned());
        }
        if self.exchange.visitor_id.is_some() {
            login.visitor_id.clone_from(&self.exchange.visitor_id);
        }
        let is_sent = session.action.as_deref() == Some("authenticate");
        if is_sent && self.config.authn_requested_at == AuthnRequestedAt::Session {
            self.request_authn(rule, &mut login)?;
        }
        // A login with neither a code nor a session ID is found only by its device. It is kept only if it was counted.
        if let Some(place) = place.or(login.is_requested.then(|| self.own_place())) {
            self.state.keep_login(place, &login, keys.into_iter().flatten())?;
            if let Some(device) = &login.device_id {
                self.state.keep_open_login(device, place, &login)?;
            }
        }
        Ok(rule)
    }

    /// Counts once that a login sends the viewer to the MVPD.
    fn request_authn(&mut self, rule: Rule, login: &mut Login) -> MemoryResult<()> {
        if std::mem::replace(&mut login.is_requested, true) {
            return Ok(());
        }
        let facts = Facts { mvpd: login.mvpd.as_deref(), login: Some(login), ..Facts::default() };
        self.emit(rule, EventKind::AuthnRequested, &facts)
    }

    pub(super) fn device(&mut self, device: &Device) -> MemoryResult<Rule> {
        if let Some(code) = self.exchange.code
            && let Some((place, mut login)) = self.state.login(code)?
        {
            login.device.overlay(device);
            self.state.keep_login(place, &login, [])?;
        }
        Ok(Rule::SESSION_LOOKED_AT)
    }

    pub(super) fn user_agent(&mut self, mvpd: Option<&str>) -> MemoryResult<Rule> {
        let rule = Rule::USER_AGENT_SENT;
        let place = self.exchange.code.unwrap_or_else(|| self.own_place());
        let (place, mut login) = self.login_at(place)?;
        // Without a code, the session of this browser cannot be found. If sessions count, it has counted already.
        login.is_requested |=
            self.exchange.code.is_none() && self.config.authn_requested_at == AuthnRequestedAt::Session;
        if let Some(mvpd) = mvpd {
            login.mvpd = Some(mvpd.to_owned());
        }
        self.request_authn(rule, &mut login)?;
        self.state.keep_login(place, &login, [])?;
        Ok(rule)
    }
}
