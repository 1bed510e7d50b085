//! Rows 27 to 37: authorization and preflight.

use super::super::exchange::{DecisionReply, Reply};
use super::super::state::{Failure, ms_of};
use super::super::vocabulary;
use super::{Derivation, Facts};
use crate::event::EventKind;

/// What a degradation rule decided: a profile says whether it is one of authentication. Without one, only its decisions carry
/// a validity.
fn degradation_of(decision: &DecisionReply, has_profile: bool) -> Option<&'static str> {
    let is_degraded = decision.source.as_deref() == Some("degradation");
    let has_validity = decision.not_before.is_some() || decision.not_after.is_some();
    is_degraded.then_some(if has_validity && !has_profile { "authnall" } else { "authzall" })
}

impl Derivation<'_> {
    pub(super) fn decisions(&mut self) -> Result<(), Failure> {
        let exchange = self.exchange;
        self.rule = 27;
        let Reply::Decisions(decisions) = &exchange.reply else { return Ok(()) };
        for (ordinal, decision) in decisions.iter().enumerate() {
            let mvpd = decision.mvpd.as_deref().or(exchange.name.as_deref());
            let resource =
                decision.resource.as_deref().or(exchange.resources.get(ordinal).map(String::as_str));
            let profile = self.joined(mvpd)?;
            let facts = Facts {
                mvpd,
                profile: profile.as_ref(),
                resource,
                error: decision.error.as_deref(),
                degradation: degradation_of(decision, profile.is_some()),
                ordinal,
                ..Facts::default()
            };
            if decision.is_authorized {
                self.permitted(decision, &facts)?;
            } else {
                self.denied(decision, &facts)?;
            }
        }
        Ok(())
    }

    pub(super) fn permitted(&mut self, decision: &DecisionReply, facts: &Facts<'_>) -> Result<(), Failure> {
        let source = decision.source.as_deref().unwrap_or("mvpd");
        let is_cached = source != "degradation" && self.is_cached(decision, source, facts)?;
        self.rule = match source {
            "degradation" => 29,
            "temppass" | "dummy" => 30,
            _ if is_cached => 28,
            _ => 27,
        };
        let is_counted = match source {
            "degradation" => self.config.count_degraded_authz,
            "temppass" | "dummy" => self.config.count_temporary_authz,
            _ => true,
        };
        if decision.token.is_none() {
            self.rule = 31;
        }
        if is_counted && !is_cached {
            let latency_ms = self.exchange.duration_ms.filter(|_| source == "mvpd");
            self.emit(EventKind::AuthzRequested, facts)?;
            let ttl_ms = decision.not_before.zip(decision.not_after).map(|(from, to)| to - from);
            self.emit(EventKind::AuthzOk, &Facts { ttl_ms, latency_ms, ..facts.clone() })?;
        }
        match decision.token {
            Some((from, to)) => {
                let ttl_ms = from.zip(to).map(|(from, to)| to - from);
                self.emit(EventKind::PlayRequested, &Facts { ttl_ms, ..facts.clone() })?;
            }
            None if self.config.count_play_failed => self.emit(EventKind::PlayFailed, facts)?,
            None => {}
        }
        Ok(())
    }

    /// Whether Adobe answered from its cache. Notes the decision for the next one.
    pub(super) fn is_cached(
        &mut self,
        decision: &DecisionReply,
        source: &str,
        facts: &Facts<'_>,
    ) -> Result<bool, Failure> {
        let token_began = decision.token.and_then(|(from, _)| from);
        let distance = token_began.zip(decision.not_before).map(|(token, issued)| token - issued);
        let is_far = distance.is_some_and(|ms| ms > i64::from(self.config.cached_above_ms));
        let (Some(device), Some(mvpd), Some(resource)) = (self.device_id(None), facts.mvpd, facts.resource)
        else {
            return Ok(is_far);
        };
        let started_ms = ms_of(self.exchange.started_at);
        let known = self.state.decision(self.sp(), &device, mvpd, resource)?;
        let is_same =
            decision.not_before.is_some() && known.is_some_and(|(issued, _)| issued == decision.not_before);
        let is_valid = decision.not_before.is_none()
            && source == "mvpd"
            && known.and_then(|(_, end)| end).is_some_and(|end| end > started_ms);
        let stamps = (decision.not_before, decision.not_after);
        if known != Some(stamps) && stamps != (None, None) {
            let place = (self.sp(), device.as_str(), mvpd);
            self.state.keep_decision(place, resource, stamps, started_ms)?;
        }
        Ok(is_far || is_same || is_valid)
    }

    pub(super) fn denied(&mut self, decision: &DecisionReply, facts: &Facts<'_>) -> Result<(), Failure> {
        let is_mvpd = decision.source.as_deref().is_none_or(|source| source == "mvpd");
        self.rule = if is_mvpd { 32 } else { 33 };
        let latency_ms = self.exchange.duration_ms.filter(|_| is_mvpd);
        self.emit(EventKind::AuthzRequested, &Facts { error: None, ..facts.clone() })?;
        self.emit(EventKind::AuthzFailed, &Facts { latency_ms, ..facts.clone() })
    }

    pub(super) fn failed_authorize(&mut self) -> Result<(), Failure> {
        let exchange = self.exchange;
        let error = self.error_of_failure();
        self.rule = if matches!(exchange.reply, Reply::Error(_)) { 34 } else { 35 };
        // A 4xx that says nothing is refused before anything was looked at, as 401 is.
        let Some(error) = error else { return self.nothing(23) };
        let mvpd = exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let none = [None];
        let named: Vec<Option<&str>> =
            exchange.resources.iter().map(|resource| Some(resource.as_str())).collect();
        for (ordinal, resource) in if named.is_empty() { &none[..] } else { &named }.iter().enumerate() {
            let facts =
                Facts { mvpd, profile: profile.as_ref(), resource: *resource, ordinal, ..Facts::default() };
            self.emit(EventKind::AuthzRequested, &facts)?;
            self.emit(EventKind::AuthzFailed, &Facts { error: Some(error), ..facts })?;
        }
        Ok(())
    }

    pub(super) fn preflight(&mut self) -> Result<(), Failure> {
        self.rule = 36;
        let exchange = self.exchange;
        let Reply::Decisions(decisions) = &exchange.reply else { return Ok(()) };
        let mvpd = exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let facts = Facts { mvpd, profile: profile.as_ref(), ..Facts::default() };
        self.emit(EventKind::PreflightRequested, &facts)?;
        let mut joined: [(EventKind, Vec<&str>, Option<&str>); 3] = [
            (EventKind::PreflightGranted, Vec::new(), None),
            (EventKind::PreflightDenied, Vec::new(), None),
            (EventKind::PreflightFailed, Vec::new(), None),
        ];
        for (ordinal, decision) in decisions.iter().enumerate() {
            let error = decision.error.as_deref();
            let index = match error {
                _ if decision.is_authorized => 0,
                Some(error) if vocabulary::is_technical(error) => 2,
                _ => 1,
            };
            let resource =
                decision.resource.as_deref().or(exchange.resources.get(ordinal).map(String::as_str));
            let (kind, resources, first_error) = &mut joined[index];
            if self.config.preflight_per_resource {
                let item = Facts {
                    resource,
                    error: error.filter(|_| index > 0),
                    degradation: degradation_of(decision, profile.is_some()),
                    ordinal,
                    ..facts.clone()
                };
                self.emit(*kind, &item)?;
            } else {
                resources.push(resource.unwrap_or(""));
                *first_error = first_error.or(error.filter(|_| index > 0));
            }
        }
        for (kind, resources, error) in joined.iter().filter(|(_, resources, _)| !resources.is_empty()) {
            let all = resources.join(",");
            self.emit(*kind, &Facts { resource: Some(&all), error: *error, ..facts.clone() })?;
        }
        Ok(())
    }

    pub(super) fn failed_preflight(&mut self) -> Result<(), Failure> {
        let Some(error) = self.error_of_failure() else { return self.nothing(23) };
        self.rule = 37;
        let mvpd = self.exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let facts = Facts { mvpd, profile: profile.as_ref(), ..Facts::default() };
        self.emit(EventKind::PreflightRequested, &facts)?;
        self.emit(EventKind::PreflightFailed, &Facts { error: Some(error), ..facts })?;
        Ok(())
    }
}
