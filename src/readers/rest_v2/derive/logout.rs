//! Rows 38 to 42: logouts, and the browser's way through one.

use std::sync::Arc;

use super::super::exchange::{Exchange, Reply};
use super::super::route::Endpoint;
use super::super::state::{Failure, LogoutLeg};
use super::{Derivation, Facts};
use crate::event::EventKind;
use crate::readers::memory::MemoryKey;

impl LogoutLeg {
    /// The browser's exchange, as one of the device that asked for the logout.
    pub(super) fn exchange(&self, hop: &Exchange) -> Exchange {
        Exchange {
            endpoint: Endpoint::Elsewhere,
            service_provider: self.service_provider.clone(),
            device: self.device.map(MemoryKey),
            device_info: self.device_info.clone().map(Arc::new),
            visitor_id: self.visitor_id.clone(),
            reply: Reply::Nothing,
            ..hop.clone()
        }
    }
}

impl Derivation<'_> {
    pub(super) fn logout(&mut self, is_success: bool) -> Result<(), Failure> {
        let exchange = self.exchange;
        let mvpd = exchange.name.as_deref();
        let error = if is_success { None } else { self.error_of_failure() };
        let action = match &exchange.reply {
            Reply::Logout(reply) => reply.action.as_deref(),
            _ => None,
        };
        let (rule, outcome) = match action {
            Some("complete") => (38, Some(EventKind::LogoutCompleted)),
            Some("logout") => (39, None),
            Some("partner_logout") => (40, None),
            _ if (300..400).contains(&exchange.status) => (39, None),
            _ if !is_success && error.is_none() && !matches!(exchange.status, 400 | 403) => {
                return self.nothing(23);
            }
            _ if !is_success => (42, Some(EventKind::LogoutFailed)),
            _ => (41, Some(EventKind::LogoutFailed)),
        };
        self.rule = rule;
        let profile = self.joined(mvpd)?;
        let facts = Facts { mvpd, profile: profile.as_ref(), ..Facts::default() };
        self.emit(EventKind::LogoutRequested, &facts)?;
        if let Some(kind) = outcome {
            self.emit(kind, &Facts { error, ..facts })?;
        }
        if let Reply::Logout(reply) = &exchange.reply
            && let (39, Some((hop, ends_at))) = (rule, reply.leg)
        {
            let leg = LogoutLeg {
                service_provider: exchange.service_provider.clone(),
                mvpd: mvpd.map(str::to_owned),
                profile: profile.clone(),
                device: exchange.device.map(|device| device.0),
                device_info: exchange.device_info.as_deref().cloned(),
                visitor_id: exchange.visitor_id.clone(),
                ends_at: ends_at.0,
            };
            self.state.keep_logout_leg(hop, self.answered_ms(), &leg)?;
        }
        if let (true, Some(device), Some(mvpd)) = (rule != 42, self.device_id(None), mvpd) {
            self.state.end_profile(self.sp(), &device, mvpd)?;
        }
        Ok(())
    }

    /// A hop of the browser: the logout is complete where it comes back to the application.
    pub(super) fn logout_leg(&mut self, leg: LogoutLeg) -> Result<(), Failure> {
        self.rule = 39;
        let Some(hop) = self.exchange.hop else { return Ok(()) };
        self.state.end_logout_leg(hop.from)?;
        if leg.ends_at != hop.to_place.0 {
            return self.state.keep_logout_leg(hop.to, self.answered_ms(), &leg);
        }
        let facts = Facts { mvpd: leg.mvpd.as_deref(), profile: leg.profile.as_ref(), ..Facts::default() };
        self.emit(EventKind::LogoutCompleted, &facts)
    }
}
