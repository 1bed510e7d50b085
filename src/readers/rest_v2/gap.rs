//! Finds what an exchange lacks. Its events then lack something too, such as a user or a time, or nothing is counted.

use std::collections::BTreeSet;

use super::answer::{Decision, Reply};
use super::derive::Derived;
use super::exchange::Exchange;
use super::route::Endpoint::{self, ProfileOfCode, ResumeSession, RetrieveSession, UserAgent};
use super::rule::Rule;
use super::state::Profile;
use super::summary::Gap;
use crate::event::{IDENTIFIERS, Property, VisitorRules, has_zeros_behind};

/// What an exchange lacks, if this rule applied to it and gave these events.
pub(super) fn gaps(exchange: &Exchange, rule: Rule, events: &[Derived]) -> impl Iterator<Item = Gap> {
    // A request with a code in its path has no device header, nor has a request of a browser during a logout.
    let has_code = matches!(exchange.endpoint, ProfileOfCode | ResumeSession | RetrieveSession | UserAgent);
    let has_device = !has_code && exchange.hop.is_none() && exchange.endpoint != Endpoint::Configuration;
    let is_used = (200..300).contains(&exchange.status) || !events.is_empty();
    let is_user = |id: &String| VisitorRules::default().known(id).is_some();
    let is_nameless = |(event, _): &Derived| {
        event.property(Property::Mvpd).is_some_and(|mvpd| VisitorRules::default().known(mvpd).is_none())
    };
    let has_lost_letters = |(event, _): &Derived| {
        IDENTIFIERS
            .iter()
            .any(|id| event.property(*id).is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER)))
    };
    let has_user = |profile: &Profile| profile.user_id.as_ref().is_some_and(is_user);
    let has_fraction = |profile: &Profile| profile.user_id.as_deref().is_some_and(has_zeros_behind);
    let resources: BTreeSet<&String> = exchange.asked.resources.iter().collect();
    let reply = &exchange.reply;
    let is_code_lost = has_code && exchange.code.is_none()
        || matches!(reply, Reply::Session(session) if session.is_code_lost);
    let is_asked =
        |decision: &Decision| decision.resource.as_ref().is_none_or(|resource| resources.contains(resource));
    // Where the answer or the request names none, nothing is wrong.
    let is_same = |said: &Option<String>, asked: Option<&str>| {
        said.as_deref().zip(asked).is_none_or(|(said, asked)| said.trim() == asked.trim())
    };
    let (its_mvpd, its_provider) = (exchange.name.as_deref(), Some(exchange.service_provider.as_str()));
    let is_of_request = match reply {
        Reply::Decisions(all) => {
            all.iter().all(|of| is_same(&of.mvpd, its_mvpd) && is_same(&of.service_provider, its_provider))
        }
        Reply::Session(of) => {
            is_same(&of.mvpd, exchange.asked.mvpd.as_deref()) && is_same(&of.service_provider, its_provider)
        }
        Reply::Logout(of) => is_same(&of.mvpd, its_mvpd),
        Reply::Profiles(all) if exchange.endpoint == Endpoint::ProfileOfMvpd => {
            all.iter().all(|of| Some(of.mvpd.trim()) == its_mvpd.map(str::trim))
        }
        _ => true,
    };
    let is_decision = matches!(exchange.endpoint, Endpoint::Authorize | Endpoint::Preauthorize);
    let asked = if is_decision { Property::ResourceId } else { Property::Mvpd };
    let lacks_asked = events.iter().any(|(event, _)| event.property(asked).is_none());
    let all = [
        (Gap::DeviceIdentifier, has_device && is_used && exchange.device.is_none()),
        (Gap::Code, is_code_lost && rule != Rule::NOT_PROCESSED),
        (Gap::DeviceInfo, exchange.is_device_info_broken),
        (Gap::UserId, matches!(reply, Reply::Profiles(all) if !all.iter().all(has_user))),
        (Gap::UserIdFraction, matches!(reply, Reply::Profiles(all) if all.iter().any(has_fraction))),
        (Gap::Action, rule == Rule::UNKNOWN_ACTION),
        (Gap::Decision, matches!(reply, Reply::Decisions(all) if all.len() < resources.len().max(1))),
        (
            Gap::Asked,
            !is_of_request
                || !resources.is_empty()
                    && exchange.asked.unread.is_none()
                    && matches!(reply, Reply::Decisions(all) if !all.iter().all(is_asked)),
        ),
        (Gap::Instant, exchange.has_unread_instant),
        (Gap::RequestBody, exchange.asked.unread.is_some() && lacks_asked),
        (Gap::MvpdName, events.iter().any(is_nameless)),
        (Gap::LostLetters, events.iter().any(has_lost_letters)),
    ];
    all.into_iter().filter(|(_, is_so)| *is_so).map(|(gap, _)| gap)
}
