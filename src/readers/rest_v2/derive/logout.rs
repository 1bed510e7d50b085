//! Rows 38 to 42: logouts, and the redirects that a browser follows during a logout.

use std::sync::Arc;

use super::super::answer::Reply;
use super::super::exchange::Exchange;
use super::super::route::Endpoint;
use super::super::rule::Rule;
use super::super::state::{DAY_MS, LogoutLeg};
use super::{Derivation, Facts};
use crate::event::EventKind;
use crate::readers::memory::{MemoryKey, MemoryResult};

impl LogoutLeg {
    /// The browser's exchange, as if the device that asked for the logout had made it.
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
    pub(super) fn logout(&mut self) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        let mvpd = exchange.name.as_deref();
        let error = self.error_of_failure();
        let (action, leg) = match &exchange.reply {
            Reply::Logout(logout) => (Some(logout.action.as_str()), logout.leg),
            _ => (None, None),
        };
        let (rule, outcome) = match action {
            Some("complete") => (Rule::LOGOUT_COMPLETED, Some(EventKind::LogoutCompleted)),
            Some("logout") => (Rule::LOGOUT_SENT_TO_MVPD, None),
            Some("partner_logout") => (Rule::LOGOUT_LEFT_TO_PARTNER, None),
            Some("invalid") => (Rule::LOGOUT_WITHOUT_PROFILE, Some(EventKind::LogoutFailed)),
            Some(_) => (Rule::UNKNOWN_ACTION, None),
            None if exchange.is_redirected => (Rule::LOGOUT_SENT_TO_MVPD, None),
            None if error.is_none() && !matches!(exchange.status, 400 | 403) => {
                return Ok(Rule::NOT_PROCESSED);
            }
            None => (Rule::LOGOUT_FAILED, Some(EventKind::LogoutFailed)),
        };
        let profile = self.joined(mvpd)?;
        let facts = Facts::joined(mvpd, profile.as_ref());
        self.emit(rule, EventKind::LogoutRequested, &facts)?;
        if let Some(kind) = outcome {
            self.emit(rule, kind, &Facts { error, ..facts })?;
        }
        if let (Rule::LOGOUT_SENT_TO_MVPD, Some((hop, ends_at))) = (rule, leg) {
            let leg = LogoutLeg {
                service_provider: exchange.service_provider.clone(),
                mvpd: mvpd.map(str::to_owned),
                profile,
                device: exchange.device.map(|device| device.0),
                device_info: exchange.device_info.as_deref().cloned(),
                visitor_id: exchange.visitor_id.clone(),
                ends_at: ends_at.0,
            };
            self.state.write(hop, self.answered_ms() + DAY_MS, &leg)?;
        }
        if let (true, Some(device), Some(mvpd)) = (rule != Rule::LOGOUT_FAILED, self.device_id(None), mvpd) {
            self.state.end_profile(&device, mvpd)?;
        }
        Ok(rule)
    }

    /// Follows a redirect. The logout is complete when the browser comes back to the application.
    pub(super) fn logout_leg(&mut self, leg: &LogoutLeg) -> MemoryResult<Rule> {
        let rule = Rule::LOGOUT_SENT_TO_MVPD;
        let Some(hop) = self.exchange.hop else { return Ok(rule) };
        hop.from.into_iter().try_for_each(|from| self.state.forget(from))?;
        if hop.to_place.iter().any(|place| place.0 == leg.ends_at) {
            let facts = Facts::joined(leg.mvpd.as_deref(), leg.profile.as_ref());
            self.emit(rule, EventKind::LogoutCompleted, &facts)?;
        } else {
            self.state.write(hop.to, self.answered_ms() + DAY_MS, leg)?;
        }
        Ok(rule)
    }
}
