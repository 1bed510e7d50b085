//! Rows 1 to 9: sessions that open a login, or pass without one.

use super::super::exchange::SessionReply;
use super::super::headers::Device;
use super::super::route::Endpoint;
use super::super::state::{DAY_MS, Failure, Login, Profile, ms_of};
use super::{Derivation, Facts};
use crate::config::AuthnRequestedAt;
use crate::event::EventKind;
use crate::readers::memory::MemoryKey;

impl Derivation<'_> {
    pub(super) fn session(&mut self, session: &SessionReply) -> Result<(), Failure> {
        let mvpd = session.mvpd.as_deref().or(self.exchange.form_mvpd.as_deref());
        match session.action.as_str() {
            "authenticate" => {
                self.rule = if self.exchange.endpoint == Endpoint::CreateSession { 1 } else { 6 };
                self.start_login(session, mvpd, true)
            }
            "authorize" => self.session_passes(session, mvpd),
            "retry" => {
                self.rule = 7;
                self.start_login(session, mvpd, false)
            }
            // `resume`, and words that later releases add.
            _ => {
                self.rule = 2;
                self.start_login(session, mvpd, false)
            }
        }
    }

    /// A session that needs no login: what is cached, degraded or temporary.
    pub(super) fn session_passes(
        &mut self,
        session: &SessionReply,
        mvpd: Option<&str>,
    ) -> Result<(), Failure> {
        self.rule = match session.reason.as_deref() {
            Some("degraded") => 4,
            Some("temporary") => 5,
            _ => 3,
        };
        let login = self.login_of(session)?.map(|(_, login)| login);
        if let (4, Some(device), Some(mvpd)) = (self.rule, self.device_id(login.as_ref()), mvpd) {
            let now_ms = self.answered_ms();
            let known = self.state.profile(self.sp(), &device, mvpd, now_ms)?;
            let profile = Profile {
                mvpd: mvpd.to_owned(),
                kind: Some("degraded".to_owned()),
                is_degraded: true,
                not_after: session.not_after,
                ..Profile::default()
            };
            if known.is_none_or(|known| !known.is_degraded) {
                self.state.keep_profile(self.sp(), &device, &profile, now_ms)?;
            }
        }
        Ok(())
    }

    /// The login that the codes and the session of an exchange lead to.
    pub(super) fn login_of(&mut self, session: &SessionReply) -> Result<Option<(MemoryKey, Login)>, Failure> {
        for key in [self.exchange.code, session.code, session.session].into_iter().flatten() {
            if let Some(found) = self.state.login(key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Opens a login, or goes on with one; where it sends the viewer to the MVPD, that is counted once.
    pub(super) fn start_login(
        &mut self,
        session: &SessionReply,
        mvpd: Option<&str>,
        is_sent: bool,
    ) -> Result<(), Failure> {
        let started_ms = ms_of(self.exchange.started_at);
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
        if is_sent && !login.is_requested && self.config.authn_requested_at == AuthnRequestedAt::Session {
            login.is_requested = true;
            let mvpd = login.mvpd.clone();
            let facts = Facts { mvpd: mvpd.as_deref(), login: Some(&login), ..Facts::default() };
            self.emit(EventKind::AuthnRequested, &facts)?;
        }
        // An answer without a code or session cannot be found again.
        if let Some(place) = place {
            self.state.keep_login(place, &login, keys.into_iter().flatten())?;
            if let Some(device) = &login.device_id {
                self.state.keep_open_login(self.sp(), device, place, &login)?;
            }
        }
        Ok(())
    }

    pub(super) fn device(&mut self, device: &Device) -> Result<(), Failure> {
        self.rule = 7;
        let Some(code) = self.exchange.code else { return Ok(()) };
        if let Some((place, mut login)) = self.state.login(code)? {
            login.device.overlay(device);
            self.state.keep_login(place, &login, [])?;
        }
        Ok(())
    }

    pub(super) fn user_agent(&mut self, mvpd: Option<&str>) -> Result<(), Failure> {
        self.rule = 8;
        let Some(code) = self.exchange.code else { return Ok(()) };
        let started_ms = ms_of(self.exchange.started_at);
        let (place, mut login) = self.state.login(code)?.unwrap_or_else(|| {
            (code, Login { started_ms, not_after: started_ms + DAY_MS, ..Login::default() })
        });
        if let Some(mvpd) = mvpd {
            login.mvpd = Some(mvpd.to_owned());
        }
        if !login.is_requested {
            login.is_requested = true;
            let mvpd = login.mvpd.clone();
            let facts = Facts { mvpd: mvpd.as_deref(), login: Some(&login), ..Facts::default() };
            self.emit(EventKind::AuthnRequested, &facts)?;
        }
        self.state.keep_login(place, &login, [])
    }
}
