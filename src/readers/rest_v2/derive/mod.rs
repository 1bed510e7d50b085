//! The derivation table: which events an exchange is. The numbers of the rules are the rows of section 8 of the reference.

mod decisions;
mod logout;
mod partner;
mod profiles;
mod sessions;

use std::borrow::Cow;

use super::exchange::{Exchange, Reply};
use super::route::Endpoint;
use super::state::{DAY_MS, Failure, Login, Profile, State, ms_of};
use super::vocabulary;
use crate::config::RestV2Config;
use crate::event::{
    Draft, EventError, EventId, EventKind, Instant, PassEvent, Property, RequestorId, TimeBounds,
};
use crate::readers::memory::{FeedKind, MemoryKey};

/// An event and the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Derived {
    pub event: PassEvent,
    /// The row of the derivation table.
    pub rule: u8,
    /// The identity that an earlier release gave it, where one may have read its exchange.
    pub former_id: Option<EventId>,
}

/// What became of an exchange.
#[derive(Debug)]
pub(super) enum Taken {
    /// A row of the derivation table applied, and gave these events.
    Rule {
        rule: u8,
        events: Vec<Derived>,
        /// Whether an earlier release took the exchange for a repeat of another.
        is_recovered: bool,
    },
    Again,
    /// It is none of the API's, and no part of a logout.
    Elsewhere,
    /// The clock forbids its events.
    Refused(EventError),
    /// Its path names what cannot be a requestor.
    NoRequestor,
    /// The counts of its requestor come from ESM reports.
    Mixed(RequestorId),
    /// A success whose body cannot be read, from this column on.
    Unreadable(usize),
}

pub(super) fn take(
    exchange: &Exchange,
    config: &RestV2Config,
    state: State<'_>,
    bounds: TimeBounds,
) -> Result<Taken, Failure> {
    let mut state = state;
    let leg = match &exchange.hop {
        Some(hop) => state.logout_leg(hop.from)?,
        None => None,
    };
    let stepped = leg.as_ref().map(|leg| leg.exchange(exchange));
    let exchange = stepped.as_ref().unwrap_or(exchange);
    if exchange.endpoint == Endpoint::Elsewhere && leg.is_none() {
        return Ok(Taken::Elsewhere);
    }
    if let Reply::Unreadable(column) = exchange.reply {
        return Ok(Taken::Unreadable(column));
    }
    let Ok(requestor_id) = RequestorId::new(&exchange.service_provider) else {
        return Ok(Taken::NoRequestor);
    };
    if state.memory.feed(requestor_id.as_str())? == Some(FeedKind::Esm) {
        return Ok(Taken::Mixed(requestor_id));
    }
    // What the clock forbids is refused before anything is remembered of it.
    for at in [exchange.started_at, exchange.answered_at] {
        let probe = Draft::derived(EventKind::AuthnRequested, at, requestor_id.clone(), "".into());
        if let Err(error) = probe.finish(bounds) {
            return Ok(Taken::Refused(error));
        }
    }
    let mut derivation =
        Derivation { exchange, config, state, requestor_id, bounds, rule: 43, events: Vec::new() };
    let drops_at = ms_of(exchange.started_at) + i64::from(config.dedup_days) * DAY_MS;
    if !derivation.state.is_first(exchange.fingerprint, drops_at)? {
        return Ok(Taken::Again);
    }
    let former = derivation.former(drops_at)?;
    if former == Former::Taken {
        return Ok(Taken::Again);
    }
    match leg {
        Some(leg) => derivation.logout_leg(leg)?,
        None => derivation.run()?,
    }
    let Derivation { rule, events, .. } = derivation;
    Ok(Taken::Rule { rule, events, is_recovered: former == Former::Swallowed })
}

/// What a release before schema 6 of the buffer made of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    Unknown,
    Taken,
    /// It took it for a repeat of another exchange, and stored nothing of it.
    Swallowed,
}

struct Derivation<'a> {
    exchange: &'a Exchange,
    config: &'a RestV2Config,
    state: State<'a>,
    requestor_id: RequestorId,
    bounds: TimeBounds,
    /// The row that applies; the last one until another is found.
    rule: u8,
    events: Vec<Derived>,
}

/// What an event says beside its exchange.
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
    /// The token type of what a degradation rule decided.
    degradation: Option<&'static str>,
    /// Which of several decisions about one resource.
    ordinal: usize,
}

impl<'a> Derivation<'a> {
    /// What an earlier release made of the exchange. The fingerprint of version 1 was one for several exchanges that differ; of
    /// those the release took the first, in the order of start and line, and swallowed the others. So when they are read again, the
    /// first stands for what was taken, and is a repeat. Each other one was never stored: it is taken now, as a buffer that is new
    /// takes it, and counted as recovered. Where only a later one of them is read again, that one passes for the first, and
    /// the events of the first are recognised by their own former identities: nothing is counted twice.
    fn former(&mut self, drops_at: i64) -> Result<Former, Failure> {
        let Some(former) = self.exchange.former else { return Ok(Former::Unknown) };
        if self.state.memory.recall(former)?.is_none() {
            return Ok(Former::Unknown);
        }
        let read_again = self.state.keyring.derived("read again", &[&former.0]);
        let is_first = self.state.is_first(read_again, drops_at)?;
        Ok(if is_first { Former::Taken } else { Former::Swallowed })
    }

    fn run(&mut self) -> Result<(), Failure> {
        let exchange = self.exchange;
        let (endpoint, status) = (exchange.endpoint, exchange.status);
        // Refused before anything was looked at, or not answered: the gateway tries again.
        if matches!(status, 0 | 401 | 405 | 429) {
            self.rule = 23;
            return Ok(());
        }
        let is_success = (200..300).contains(&status);
        match endpoint {
            Endpoint::Configuration => self.configuration(),
            Endpoint::CreateSession | Endpoint::ResumeSession => match &exchange.reply {
                Reply::Session(session) => self.session(session),
                _ => self.nothing(9),
            },
            Endpoint::RetrieveSession => match &exchange.reply {
                Reply::Device(device) => self.device(device),
                _ => self.nothing(9),
            },
            Endpoint::UserAgent => match &exchange.redirect {
                Some(mvpd) => self.user_agent(mvpd.as_deref()),
                None => self.nothing(9),
            },
            Endpoint::ProfileOfCode => match &exchange.reply {
                Reply::Profiles(profiles) => self.profiles_of_code(profiles),
                Reply::Error(code) => self.failed_code(code),
                _ => self.nothing(14),
            },
            Endpoint::Profiles | Endpoint::ProfileOfMvpd => match &exchange.reply {
                Reply::Profiles(profiles) => self.profiles(profiles),
                _ => self.nothing(16),
            },
            Endpoint::PartnerSession => match &exchange.reply {
                Reply::Session(session) => self.partner_session(session),
                _ => self.nothing(22),
            },
            Endpoint::PartnerProfile => self.partner_profile(is_success),
            Endpoint::Authorize if is_success => self.decisions(),
            Endpoint::Authorize => self.failed_authorize(),
            Endpoint::Preauthorize if is_success => self.preflight(),
            Endpoint::Preauthorize => self.failed_preflight(),
            Endpoint::Logout => self.logout(is_success),
            Endpoint::Elsewhere => self.nothing(43),
        }
    }

    fn nothing(&mut self, rule: u8) -> Result<(), Failure> {
        self.rule = rule;
        Ok(())
    }

    fn sp(&self) -> &'a str {
        &self.exchange.service_provider
    }

    fn device_id(&self, login: Option<&Login>) -> Option<String> {
        let own = self.exchange.device.map(|device| device.hex());
        own.or_else(|| login.and_then(|login| login.device_id.clone()))
    }

    fn answered_ms(&self) -> i64 {
        ms_of(self.exchange.answered_at)
    }

    /// The profile that decisions and logouts are joined with.
    fn joined(&mut self, mvpd: Option<&str>) -> Result<Option<Profile>, Failure> {
        match (self.device_id(None), mvpd) {
            (Some(device), Some(mvpd)) => {
                self.state.profile(self.sp(), &device, mvpd, ms_of(self.exchange.started_at))
            }
            _ => Ok(None),
        }
    }

    /// The code of an answer that is no success: its own, or what a server's fault without one is called.
    fn error_of_failure(&self) -> Option<&'a str> {
        match &self.exchange.reply {
            Reply::Error(code) => Some(code),
            _ if self.exchange.status >= 500 => Some("internal_server_error"),
            _ => None,
        }
    }

    fn configuration(&mut self) -> Result<(), Failure> {
        self.rule = 43;
        if let Reply::Proxied(mvpds) = &self.exchange.reply {
            for mvpd in mvpds {
                self.state.keep_proxied(self.sp(), mvpd, self.answered_ms())?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, kind: EventKind, facts: &Facts<'_>) -> Result<(), Failure> {
        let at = match kind {
            EventKind::AuthnRequested
            | EventKind::AuthzRequested
            | EventKind::LogoutRequested
            | EventKind::PreflightRequested => self.exchange.started_at,
            _ => self.exchange.answered_at,
        };
        self.emit_at(kind, at, facts)
    }

    fn event_id(&self, fingerprint: MemoryKey, kind: EventKind, facts: &Facts<'_>) -> String {
        let parts: [&[u8]; 5] = [
            &fingerprint.0,
            &[self.rule],
            kind.name().as_bytes(),
            facts.resource.unwrap_or("").as_bytes(),
            &facts.ordinal.to_be_bytes(),
        ];
        self.state.keyring.derived("event", &parts).hex()
    }

    fn emit_at(&mut self, kind: EventKind, at: Instant, facts: &Facts<'_>) -> Result<(), Failure> {
        let exchange = self.exchange;
        let event_id = self.event_id(exchange.fingerprint, kind, facts);
        let former_id = exchange
            .former
            .map(|former| EventId::by_id(&self.requestor_id, kind, &self.event_id(former, kind, facts)));
        let mut draft = Draft::derived(kind, at, self.requestor_id.clone(), event_id.into());
        let mut put = |property: Property, value: Option<&str>| {
            if let Some(value) = value {
                draft.put(property, value);
            }
        };
        let login = facts.login;
        put(Property::SdkType, Some(&self.config.sdk_type));
        put(Property::SdkVersion, Some(&self.config.sdk_version));
        put(
            Property::ServerVersion,
            Some(self.config.server_version.as_str()).filter(|word| !word.is_empty()),
        );
        put(Property::Mvpd, facts.mvpd);
        put(Property::ResourceId, facts.resource);
        put(Property::AuthzErrorType, facts.error.map(vocabulary::error_type).as_deref());
        put(Property::TokenType, token_type(kind, facts));
        // What ends before it begins says nothing.
        let ttl_ms = facts.ttl_ms.filter(|ms| *ms >= 0);
        put(Property::Ttl, ttl_ms.map(|ms| (ms / 1000).to_string()).as_deref());
        put(
            Property::LatencyMs,
            facts.latency_ms.filter(|_| is_answered(kind)).map(|ms| ms.to_string()).as_deref(),
        );
        let visitor = exchange.visitor_id.as_deref();
        put(Property::VisitorId, visitor.or_else(|| login?.visitor_id.as_deref()));
        put(Property::DeviceId, self.device_id(login).as_deref());
        let is_joined = kind != EventKind::AuthnRequested;
        if let Some(profile) = facts.profile.filter(|_| is_joined) {
            put(Property::MvpdUserId, profile.user_id.as_deref());
            put(Property::AuthenticationType, profile.kind.as_deref());
            let word = |kind| self.config.sso_mechanisms.get(kind).map(String::as_str);
            put(Property::SsoMechanism, profile.kind.as_deref().and_then(word));
        }
        if facts.is_apple || facts.profile.is_some_and(|profile| profile.is_apple) {
            put(Property::ExternalAuthProvider, Some("Apple"));
        }
        let known = login.map(|login| &login.device_info);
        let mut device = exchange.device_info.as_deref().or(known).map(Cow::Borrowed).unwrap_or_default();
        if let Some(login) = login.filter(|login| !login.device.0.is_empty()) {
            device.to_mut().overlay(&login.device);
        }
        for (name, value) in &device.0 {
            match Property::from_name(name) {
                Some(Property::DeviceType) => {
                    put(Property::DeviceType, Some(self.config.device_types.get(value).unwrap_or(value)));
                }
                Some(property) => put(property, Some(value)),
                None => {}
            }
        }
        if let Some(mvpd) = facts.mvpd
            && self.state.is_proxied(&exchange.service_provider, mvpd)?
        {
            draft.put(Property::Proxy, self.config.proxies.get(mvpd).unwrap_or(&self.config.proxied_by));
        }
        let event = draft.finish(self.bounds).expect("its requestor and both instants were checked");
        self.events.push(Derived { event, rule: self.rule, former_id });
        Ok(())
    }
}

/// `token_type` where it is not `normal`, which the table fills in.
fn token_type(kind: EventKind, facts: &Facts<'_>) -> Option<&'static str> {
    use EventKind::{AuthnOk, AuthnPending, AuthzOk, PlayRequested, PreflightGranted};
    if !matches!(kind, AuthnOk | AuthnPending | AuthzOk | PlayRequested | PreflightGranted) {
        return None;
    }
    if facts.profile.is_some_and(|profile| profile.is_degraded) {
        Some("authnall")
    } else if facts.degradation.is_some() {
        facts.degradation
    } else if facts.profile.is_some_and(|profile| profile.is_hba) {
        Some("hba")
    } else {
        None
    }
}

/// Whether an event is an MVPD's answer, which carries how long that took: an upper bound, since Adobe's own time is in it.
fn is_answered(kind: EventKind) -> bool {
    matches!(kind, EventKind::AuthzOk | EventKind::AuthzFailed)
}
