//! Rows 27 to 37, and 45: authorization and preflight.

use std::collections::HashSet;

use super::super::answer::{Decision, Reply};
use super::super::rule::Rule;
use super::super::state::Profile;
use super::super::vocabulary;
use super::{Derivation, Facts};
use crate::config::OpenEvent;
use crate::event::EventKind;
use crate::readers::memory::MemoryResult;

/// The token type of a decision by degradation. If the device has no profile, a decision with a start or an
/// end means degraded authentication. If the profile is degraded, `token_type` ignores this result.
fn degradation_of(decision: &Decision, has_profile: bool) -> Option<&'static str> {
    let is_degraded = decision.source.as_deref() == Some("degradation");
    let has_validity = decision.not_before.is_some() || decision.not_after.is_some();
    is_degraded.then_some(if has_validity && !has_profile { "authnall" } else { "authzall" })
}

impl<'a> Derivation<'a> {
    pub(super) fn decisions(&mut self) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        let mut rule = Rule::NOT_DECIDED;
        let Reply::Decisions(decisions) = &exchange.reply else { return Ok(rule) };
        for (ordinal, decision) in decisions.iter().enumerate() {
            let mvpd = decision.mvpd.as_deref().or(exchange.name.as_deref());
            let profile = self.joined(mvpd)?;
            let facts = Facts {
                resource: self.resource(decision, ordinal),
                error: decision.error(),
                degradation: degradation_of(decision, profile.is_some()),
                ordinal,
                ..Facts::joined(mvpd, profile.as_ref())
            };
            rule = if decision.is_authorized {
                self.permitted(decision, &facts)?
            } else {
                self.denied(decision, &facts)?
            };
        }
        Ok(rule)
    }

    /// The resource of a decision, or else the resource at this position in the request.
    fn resource(&self, decision: &'a Decision, ordinal: usize) -> Option<&'a str> {
        decision.resource.as_deref().or(self.exchange.asked.resources.get(ordinal).map(String::as_str))
    }

    fn permitted(&mut self, decision: &Decision, facts: &Facts<'_>) -> MemoryResult<Rule> {
        let source = decision.source.as_deref().unwrap_or("mvpd");
        let is_cached = source != "degradation" && self.is_cached(decision, source, facts)?;
        let (rule, is_counted) = match source {
            "degradation" => (Rule::AUTHORIZED_BY_DEGRADATION, self.config.counts(OpenEvent::DegradedAuthz)),
            "temppass" | "dummy" => {
                (Rule::AUTHORIZED_TEMPORARILY, self.config.counts(OpenEvent::TemporaryAuthz) && !is_cached)
            }
            _ if is_cached => (Rule::AUTHORIZED_FROM_CACHE, false),
            _ => (Rule::AUTHORIZED_BY_MVPD, true),
        };
        let rule = if decision.token.is_none() { Rule::AUTHORIZED_WITHOUT_TOKEN } else { rule };
        if is_counted {
            let latency_ms = self.exchange.duration_ms.filter(|_| source == "mvpd");
            self.emit(rule, EventKind::AuthzRequested, facts)?;
            let ttl_ms = decision.not_before.zip(decision.not_after).map(|(from, to)| to - from);
            self.emit(rule, EventKind::AuthzOk, &Facts { ttl_ms, latency_ms, ..facts.clone() })?;
        }
        match decision.token {
            Some(token) => {
                let ttl_ms = token.not_before.zip(token.not_after).map(|(from, to)| to - from);
                self.emit(rule, EventKind::PlayRequested, &Facts { ttl_ms, ..facts.clone() })?;
            }
            None if self.config.counts(OpenEvent::PlayFailed) => {
                self.emit(rule, EventKind::PlayFailed, facts)?;
            }
            None => {}
        }
        Ok(rule)
    }

    /// Whether Adobe answered from its cache. Remembers when this decision was issued and when it ends.
    fn is_cached(&mut self, decision: &Decision, source: &str, facts: &Facts<'_>) -> MemoryResult<bool> {
        let token_began = decision.token.and_then(|token| token.not_before);
        let distance = token_began.zip(decision.not_before).map(|(token, issued)| token - issued);
        let is_far = distance.is_some_and(|ms| ms > i64::from(self.config.cached_above_ms));
        let (Some(device), Some(mvpd), Some(resource)) = (self.device_id(None), facts.mvpd, facts.resource)
        else {
            return Ok(is_far);
        };
        let started_ms = self.started_ms();
        let stamps = (decision.not_before, decision.not_after);
        let known = self.state.replace_decision((&device, mvpd, resource), stamps, started_ms)?;
        let is_same =
            decision.not_before.is_some() && known.is_some_and(|(issued, _)| issued == decision.not_before);
        let is_valid = decision.not_before.is_none()
            && source == "mvpd"
            && known.and_then(|(_, end)| end).is_some_and(|end| end > started_ms);
        Ok(is_far || is_same || is_valid)
    }

    fn denied(&mut self, decision: &Decision, facts: &Facts<'_>) -> MemoryResult<Rule> {
        let is_mvpd = decision.source.as_deref().is_none_or(|source| source == "mvpd");
        let rule = if is_mvpd { Rule::DENIED_BY_MVPD } else { Rule::DENIED_OTHERWISE };
        let latency_ms = self.exchange.duration_ms.filter(|_| is_mvpd);
        self.emit(rule, EventKind::AuthzRequested, &Facts { error: None, ..facts.clone() })?;
        self.emit(rule, EventKind::AuthzFailed, &Facts { latency_ms, ..facts.clone() })?;
        Ok(rule)
    }

    pub(super) fn failed_authorize(&mut self) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        // An answer 4xx without an error code means that Adobe did not process the request, as with 401.
        let Some(error) = self.error_of_failure() else { return Ok(Rule::NOT_PROCESSED) };
        let rule = match exchange.reply {
            Reply::Error(_) => Rule::AUTHORIZATION_FAILED,
            _ => Rule::AUTHORIZATION_FAILED_WITHOUT_CODE,
        };
        let mvpd = exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let resources = &exchange.asked.resources;
        let mut asked = HashSet::new();
        for ordinal in 0..resources.len().max(1) {
            let resource = resources.get(ordinal).map(String::as_str);
            if !asked.insert(resource) {
                continue;
            }
            let facts = Facts { resource, ordinal, ..Facts::joined(mvpd, profile.as_ref()) };
            self.emit(rule, EventKind::AuthzRequested, &facts)?;
            self.emit(rule, EventKind::AuthzFailed, &Facts { error: Some(error), ..facts })?;
        }
        Ok(rule)
    }

    pub(super) fn preflight(&mut self) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        let rule = Rule::PREFLIGHT_ANSWERED;
        let Reply::Decisions(decisions) = &exchange.reply else { return Ok(rule) };
        let mvpd = exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let facts = Facts::joined(mvpd, profile.as_ref());
        self.emit(rule, EventKind::PreflightRequested, &facts)?;
        if !self.config.preflight_per_resource {
            return self.preflight_joined(decisions, profile.as_ref());
        }
        for (ordinal, decision) in decisions.iter().enumerate() {
            let (kind, error) = preflight_outcome(decision);
            let degradation = degradation_of(decision, profile.is_some());
            let resource = self.resource(decision, ordinal);
            let facts = Facts { resource, error, degradation, ordinal, ..facts.clone() };
            self.emit(rule, kind, &facts)?;
        }
        Ok(rule)
    }

    /// Makes one event for all resources with the same outcome.
    fn preflight_joined(
        &mut self,
        decisions: &'a [Decision],
        profile: Option<&Profile>,
    ) -> MemoryResult<Rule> {
        let rule = Rule::PREFLIGHT_ANSWERED;
        for kind in [EventKind::PreflightGranted, EventKind::PreflightDenied, EventKind::PreflightFailed] {
            let (mut resources, mut first_error) = (Vec::new(), None);
            for (ordinal, decision) in decisions.iter().enumerate() {
                let (its_kind, error) = preflight_outcome(decision);
                if its_kind == kind {
                    resources.push(self.resource(decision, ordinal).unwrap_or(""));
                    first_error = first_error.or(error);
                }
            }
            if !resources.is_empty() {
                let all = resources.join(",");
                let facts = Facts::joined(self.exchange.name.as_deref(), profile);
                self.emit(rule, kind, &Facts { resource: Some(&all), error: first_error, ..facts })?;
            }
        }
        Ok(rule)
    }

    pub(super) fn failed_preflight(&mut self) -> MemoryResult<Rule> {
        let Some(error) = self.error_of_failure() else { return Ok(Rule::NOT_PROCESSED) };
        let rule = Rule::PREFLIGHT_FAILED;
        let mvpd = self.exchange.name.as_deref();
        let profile = self.joined(mvpd)?;
        let facts = Facts::joined(mvpd, profile.as_ref());
        self.emit(rule, EventKind::PreflightRequested, &facts)?;
        self.emit(rule, EventKind::PreflightFailed, &Facts { error: Some(error), ..facts })?;
        Ok(rule)
    }
}

/// The kind of event for a decision of a preflight, and the error code if it was not granted.
fn preflight_outcome(decision: &Decision) -> (EventKind, Option<&str>) {
    match decision.error() {
        _ if decision.is_authorized => (EventKind::PreflightGranted, None),
        Some(error) if vocabulary::is_technical(error) => (EventKind::PreflightFailed, Some(error)),
        error => (EventKind::PreflightDenied, error),
    }
}
