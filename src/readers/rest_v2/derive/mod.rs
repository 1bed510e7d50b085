//! The derivation table: which events follow from an exchange. [`Rule`] lists the rows of the table.

mod decisions;
mod logout;
mod partner;
mod profiles;
mod sessions;

use std::borrow::Cow;

use super::answer::{Reply, is_processed};
use super::exchange::Exchange;
use super::route::Endpoint;
use super::rule::Rule;
use super::state::{DAY_MS, Login, LogoutLeg, Profile, State, ms_of};
use super::vocabulary;
use crate::config::RestV2Config;
use crate::event::{
    Draft, EventError, EventId, EventKind, Instant, PassEvent, Property, RequestorId, TimeBounds,
};
use crate::readers::line::{AppliedRule, RejectReason};
use crate::readers::memory::{Feed, MemoryKey, MemoryResult};

/// How long media tokens, and calls without one, are remembered, in milliseconds: until the log of another hop was read, too.
pub(super) const TOKENS_MS: i64 = 7 * DAY_MS;

/// An event and the rule that made it.
pub(super) type Derived = (PassEvent, AppliedRule);

/// What became of an exchange.
#[derive(Debug)]
pub(super) enum Taken {
    /// A rule of the derivation table applied and gave these events.
    Rule {
        rule: Rule,
        events: Vec<Derived>,
        /// Whether an earlier release took the exchange for a repeat of another, so that its events were missing.
        is_recovered: bool,
    },
    Again,
    /// The answer has the media token of an earlier one: it is the same answer, in the log of another hop.
    TokenAgain,
    /// The exchange is not a call of the API and not part of a logout.
    Elsewhere,
    Rejected(RejectReason),
}

impl Taken {
    fn no_exchange(why: &str) -> Taken {
        Taken::Rejected(RejectReason::Exchange(why.to_owned()))
    }
}

pub(super) fn take(
    exchange: &Exchange,
    config: &RestV2Config,
    mut state: State<'_>,
    bounds: TimeBounds,
) -> MemoryResult<Taken> {
    let mut leg: Option<LogoutLeg> = None;
    for from in exchange.hop.iter().flat_map(|hop| hop.from) {
        leg = if leg.is_none() { state.read(from)? } else { leg };
    }
    let stepped = leg.as_ref().map(|leg| leg.exchange(exchange));
    let exchange = stepped.as_ref().unwrap_or(exchange);
    if exchange.endpoint == Endpoint::Elsewhere && leg.is_none() {
        return Ok(Taken::Elsewhere);
    }
    if let Reply::Unreadable(why) = &exchange.reply {
        return Ok(Taken::no_exchange(why));
    }
    let requestor_id = match RequestorId::of_source(&exchange.service_provider) {
        Ok(requestor_id) => requestor_id,
        // The message does not show the service provider: in a wrong path it may be a secret.
        Err(EventError::NoRequestor(_, why)) => {
            let why = format!("the service provider of its path names no requestor: {why}");
            return Ok(Taken::no_exchange(&why));
        }
        Err(_) => return Ok(Taken::no_exchange("the service provider of its path cannot be a requestor ID")),
    };
    if let Some((Feed::Esm, there)) = state.memory.feed(requestor_id.as_str())? {
        return Ok(Taken::Rejected(RejectReason::mixed(requestor_id.as_str(), &there)));
    }
    // An exchange whose time is out of bounds is refused before the memory stores anything of it.
    for at in [exchange.started_at, exchange.answered_at] {
        let probe = Draft::derived(EventKind::AuthnRequested, at, requestor_id.clone(), "".into());
        if let Err(error) = probe.finish(bounds) {
            return Ok(Taken::Rejected(error.into()));
        }
    }
    let state = State { service_provider: &exchange.service_provider, ..state };
    let mut derivation = Derivation { exchange, config, state, requestor_id, bounds, events: Vec::new() };
    let drops_at = ms_of(exchange.started_at) + i64::from(config.dedup_days) * DAY_MS;
    let mut is_again = !derivation.state.is_first(exchange.fingerprint, drops_at)?;
    if let Some(truncated) = exchange.truncated {
        is_again |= !derivation.state.is_first(truncated, drops_at)?;
    }
    if is_again {
        return Ok(Taken::Again);
    }
    let former = derivation.former(drops_at)?;
    if former == Former::Taken {
        return Ok(Taken::Again);
    }
    if let Some(token) = exchange.token {
        let drops_at = ms_of(exchange.started_at) + TOKENS_MS;
        if !derivation.state.is_first(token, drops_at)? {
            return Ok(Taken::TokenAgain);
        }
    }
    let rule = match &leg {
        Some(leg) => derivation.logout_leg(leg)?,
        None => derivation.run()?,
    };
    Ok(Taken::Rule { rule, events: derivation.events, is_recovered: former == Former::Swallowed })
}

/// What an earlier release did with an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    Unknown,
    Taken,
    /// That release took the exchange for a repeat of another exchange, and stored nothing of it.
    Swallowed,
}

struct Derivation<'a> {
    exchange: &'a Exchange,
    config: &'a RestV2Config,
    state: State<'a>,
    requestor_id: RequestorId,
    bounds: TimeBounds,
    events: Vec<Derived>,
}

/// Facts that go into an event in addition to those of the exchange.
#[derive(Default, Clone)]
struct Facts<'a> {
    mvpd: Option<&'a str>,
    login: Option<&'a Login>,
    profile: Option<&'a Profile>,
    resource: Option<&'a str>,
    error: Option<&'a str>,
    ttl_ms: Option<i64>,
    latency_ms: Option<u64>,
    is_apple: bool,
    /// The token type of a decision that a degradation rule made.
    degradation: Option<&'static str>,
    /// The position of the decision in the answer.
    ordinal: usize,
}

impl<'a> Facts<'a> {
    fn joined(mvpd: Option<&'a str>, profile: Option<&'a Profile>) -> Facts<'a> {
        Facts { mvpd, profile, ..Facts::default() }
    }

    /// The facts of an event that ends a login.
    fn of_profile(profile: &'a Profile, login: Option<&'a Login>) -> Facts<'a> {
        let ttl_ms = profile.not_before.zip(profile.not_after).map(|(from, to)| to - from);
        Facts { login, ttl_ms, ..Facts::joined(Some(&profile.mvpd), Some(profile)) }
    }
}

impl<'a> Derivation<'a> {
    /// What an earlier release did with the exchange. Before schema 6 of the buffer, several exchanges could have the
    /// same fingerprint (version 1), and the release stored only one of them. Nobody knows which. So the first of these
    /// exchanges that is read again counts as stored, and the others as swallowed. If that is wrong, the buffer still
    /// recognises stored events by their former identities.
    fn former(&mut self, drops_at: i64) -> MemoryResult<Former> {
        for as_written in &self.exchange.as_written {
            if self.state.memory.recall(*as_written)?.is_some() {
                return Ok(Former::Taken);
            }
        }
        let Some(former) = self.exchange.former else { return Ok(Former::Unknown) };
        if self.state.memory.recall(former)?.is_none() {
            return Ok(Former::Unknown);
        }
        let read_again = self.state.keyring.derived("read again", &[&former.0]);
        let is_first = self.state.is_first(read_again, drops_at)?;
        Ok(if is_first { Former::Taken } else { Former::Swallowed })
    }

    /// Finds the row of the table that applies, and makes its events.
    fn run(&mut self) -> MemoryResult<Rule> {
        let exchange = self.exchange;
        if !is_processed(exchange.status) {
            return Ok(Rule::NOT_PROCESSED);
        }
        let is_success = (200..300).contains(&exchange.status);
        match (exchange.endpoint, &exchange.reply) {
            (Endpoint::Configuration, Reply::Proxied(mvpds)) => {
                mvpds.iter().try_for_each(|(mvpd, is_it)| self.state.keep_proxied(mvpd, *is_it))?;
                Ok(Rule::NOTHING_TO_COUNT)
            }
            (Endpoint::CreateSession | Endpoint::ResumeSession, Reply::Session(it)) => self.session(it),
            (Endpoint::RetrieveSession, Reply::Device(device)) => self.device(device),
            (Endpoint::UserAgent, _) => match &exchange.redirect {
                Some(mvpd) => self.user_agent(mvpd.as_deref()),
                None => Ok(Rule::SESSION_FAILED),
            },
            (Endpoint::CreateSession | Endpoint::ResumeSession | Endpoint::RetrieveSession, _) => {
                Ok(Rule::SESSION_FAILED)
            }
            (Endpoint::ProfileOfCode, Reply::Profiles(profiles)) => self.profiles_of_code(profiles),
            (Endpoint::ProfileOfCode, Reply::Error(code)) => self.failed_code(code),
            (Endpoint::ProfileOfCode, _) => Ok(Rule::CODE_REFUSED),
            (Endpoint::Profiles | Endpoint::ProfileOfMvpd, Reply::Profiles(it)) => self.profiles(it),
            (Endpoint::Profiles | Endpoint::ProfileOfMvpd, _) => Ok(Rule::PROFILES_REFUSED),
            (Endpoint::PartnerSession, Reply::Session(session)) => self.partner_session(session),
            (Endpoint::PartnerSession, _) => Ok(Rule::PARTNER_SESSION_FAILED),
            (Endpoint::PartnerProfile, _) => self.partner_profile(is_success),
            (Endpoint::Authorize, _) if is_success => self.decisions(),
            (Endpoint::Authorize, _) => self.failed_authorize(),
            (Endpoint::Preauthorize, _) if is_success => self.preflight(),
            (Endpoint::Preauthorize, _) => self.failed_preflight(),
            (Endpoint::Logout, _) => self.logout(),
            (Endpoint::Configuration | Endpoint::Elsewhere, _) => Ok(Rule::NOTHING_TO_COUNT),
        }
    }

    fn device_id(&self, login: Option<&Login>) -> Option<String> {
        let own = self.exchange.device.map(|device| device.hex());
        own.or_else(|| login.and_then(|login| login.device_id.clone()))
    }

    fn started_ms(&self) -> i64 {
        ms_of(self.exchange.started_at)
    }

    fn answered_ms(&self) -> i64 {
        ms_of(self.exchange.answered_at)
    }

    /// The login of a code, or a new login, and the key under which it is remembered.
    fn login_at(&mut self, code: MemoryKey) -> MemoryResult<(MemoryKey, Login)> {
        let started_ms = self.started_ms();
        let new = || (code, Login { started_ms, not_after: started_ms + DAY_MS, ..Login::default() });
        Ok(self.state.login(code)?.unwrap_or_else(new))
    }

    /// The key for a login that has no code of its own: its first profile distinguishes it from other logins.
    fn place_of(&self, profile: &Profile) -> MemoryResult<MemoryKey> {
        let parts = [self.exchange.service_provider.as_bytes(), &serde_json::to_vec(profile)?];
        Ok(self.state.keyring.digest("login of profile", &parts))
    }

    /// The profile from which decisions and logouts take their user ID and authentication type.
    fn joined(&mut self, mvpd: Option<&str>) -> MemoryResult<Option<Profile>> {
        match (self.device_id(None), mvpd) {
            (Some(device), Some(mvpd)) => self.state.profile(&device, mvpd, self.started_ms()),
            _ => Ok(None),
        }
    }

    /// The error code of a failed answer: its own code, or `internal_server_error` for a 5xx without a code.
    fn error_of_failure(&self) -> Option<&'a str> {
        match &self.exchange.reply {
            Reply::Error(code) => Some(code),
            _ if self.exchange.status >= 500 => Some("internal_server_error"),
            _ => None,
        }
    }

    fn emit(&mut self, rule: Rule, kind: EventKind, facts: &Facts<'_>) -> MemoryResult<()> {
        use EventKind::{AuthnRequested, AuthzRequested, LogoutRequested, PreflightRequested};
        let is_request =
            matches!(kind, AuthnRequested | AuthzRequested | LogoutRequested | PreflightRequested);
        let at = if is_request { self.exchange.started_at } else { self.exchange.answered_at };
        self.emit_at(rule, kind, at, facts)
    }

    /// The identity of an event. These parts must never change, because stored identities depend on them.
    fn event_id(&self, fingerprint: MemoryKey, rule: Rule, kind: EventKind, facts: &Facts<'_>) -> String {
        let parts: [&[u8]; 5] = [
            &fingerprint.0,
            &[rule.number],
            kind.name().as_bytes(),
            facts.resource.unwrap_or("").as_bytes(),
            &facts.ordinal.to_be_bytes(),
        ];
        self.state.keyring.derived("event", &parts).hex()
    }

    fn emit_at(&mut self, rule: Rule, kind: EventKind, at: Instant, facts: &Facts<'_>) -> MemoryResult<()> {
        let exchange = self.exchange;
        let event_id = self.event_id(exchange.fingerprint, rule, kind, facts);
        let formers = exchange.as_written.iter().chain(&exchange.former).map(|former| (*former, rule));
        let formers = formers.chain(rule.former().map(|former| (exchange.fingerprint, former)));
        let former_id = |(fingerprint, rule)| {
            EventId::by_id(&self.requestor_id, kind, &self.event_id(fingerprint, rule, kind, facts))
        };
        let former_ids = formers.map(former_id).collect();
        let mut draft = Draft::derived(kind, at, self.requestor_id.clone(), event_id.into());
        self.put_facts(&mut draft, kind, facts);
        self.put_device(&mut draft, facts.login);
        if let Some(mvpd) = facts.mvpd
            && self.state.is_proxied(mvpd)?
        {
            draft.put(Property::Proxy, self.config.proxies.get(mvpd).unwrap_or(&self.config.proxied_by));
        }
        let event = draft.finish(self.bounds).expect("its requestor and both instants were checked");
        self.events.push((event, AppliedRule { rule, former_ids }));
        Ok(())
    }

    fn put_facts(&self, draft: &mut Draft, kind: EventKind, facts: &Facts<'_>) {
        let config = self.config;
        // A time to live below 0 is wrong, and is left out.
        let ttl_seconds = facts.ttl_ms.filter(|ms| *ms >= 0).map(|ms| (ms / 1000).to_string());
        // The MVPD's answer to an authorization has a latency, which includes Adobe's own time.
        let is_answered = matches!(kind, EventKind::AuthzOk | EventKind::AuthzFailed);
        let latency_ms = facts.latency_ms.filter(|_| is_answered).map(|ms| ms.to_string());
        let error_type = facts.error.map(vocabulary::error_type);
        let profile = facts.profile.filter(|_| kind != EventKind::AuthnRequested);
        let profile_type = profile.and_then(|profile| profile.kind.as_deref());
        let sso_mechanism = profile_type.and_then(|kind| config.sso_mechanisms.get(kind));
        let is_apple = facts.is_apple || facts.profile.is_some_and(|profile| profile.is_apple);
        let visitor_id = self.exchange.visitor_id.as_deref();
        let server_version = Some(config.server_version.as_str()).filter(|word| !word.is_empty());
        for (property, value) in [
            (Property::SdkType, Some(config.sdk_type.as_str())),
            (Property::SdkVersion, Some(config.sdk_version.as_str())),
            (Property::ServerVersion, server_version),
            (Property::Mvpd, facts.mvpd),
            (Property::ResourceId, facts.resource),
            (Property::AuthzErrorType, error_type.as_deref()),
            (Property::TokenType, token_type(kind, facts)),
            (Property::Ttl, ttl_seconds.as_deref()),
            (Property::LatencyMs, latency_ms.as_deref()),
            (Property::VisitorId, visitor_id.or_else(|| facts.login?.visitor_id.as_deref())),
            (Property::DeviceId, self.device_id(facts.login).as_deref()),
            (Property::MvpdUserId, profile.and_then(|profile| profile.user_id.as_deref())),
            (Property::AuthenticationType, profile_type),
            (Property::SsoMechanism, sso_mechanism.map(String::as_str)),
            (Property::ExternalAuthProvider, is_apple.then_some("Apple")),
        ] {
            if let Some(value) = value {
                draft.put(property, value);
            }
        }
    }

    fn put_device(&self, draft: &mut Draft, login: Option<&Login>) {
        let own = self.exchange.device_info.as_deref();
        let known = own.or(login.map(|login| &login.device_info));
        let mut device = known.map(Cow::Borrowed).unwrap_or_default();
        if let Some(login) = login.filter(|login| !login.device.0.is_empty()) {
            device.to_mut().overlay(&login.device);
        }
        for (name, value) in &device.0 {
            match Property::from_name(name) {
                Some(Property::DeviceType) => {
                    draft.put(Property::DeviceType, self.config.device_types.get(value).unwrap_or(value));
                }
                Some(property) => draft.put(property, value),
                None => {}
            }
        }
    }
}

/// The `token_type`; `None` if the kind has none, or if it is `normal`, which the mapping table fills in.
fn token_type(kind: EventKind, facts: &Facts<'_>) -> Option<&'static str> {
    use EventKind::{AuthnOk, AuthnPending, AuthzOk, PlayRequested, PreflightGranted};
    if !matches!(kind, AuthnOk | AuthnPending | AuthzOk | PlayRequested | PreflightGranted) {
        return None;
    }
    let has = |is_so: fn(&Profile) -> bool| facts.profile.is_some_and(is_so);
    let of_degraded = has(|profile| profile.is_degraded).then_some("authnall").or(facts.degradation);
    of_degraded.or(has(|profile| profile.is_hba).then_some("hba"))
}
