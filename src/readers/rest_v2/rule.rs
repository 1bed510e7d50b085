//! The rows of the derivation table, which says which events follow from an exchange.

use serde::Serialize;

/// A row of the derivation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The number, which is part of the identities of stored events and must never change.
    pub number: u8,
    /// A few words about the case.
    pub about: &'static str,
}

impl Rule {
    pub(super) const LOGIN_BEGINS: Rule = Rule::of(1, "login begins");
    pub(super) const SESSION_WAITS: Rule = Rule::of(2, "session waits for a choice");
    pub(super) const ALREADY_AUTHENTICATED: Rule = Rule::of(3, "already authenticated");
    pub(super) const AUTHENTICATION_DEGRADED: Rule = Rule::of(4, "authentication degraded");
    pub(super) const TEMPORARY_ACCESS: Rule = Rule::of(5, "temporary access");
    pub(super) const LOGIN_BEGINS_AFTER_CHOICE: Rule = Rule::of(6, "login begins after a choice");
    pub(super) const SESSION_LOOKED_AT: Rule = Rule::of(7, "session retried or looked at");
    pub(super) const USER_AGENT_SENT: Rule = Rule::of(8, "user agent sent to the MVPD");
    pub(super) const SESSION_FAILED: Rule = Rule::of(9, "session failed");
    pub(super) const LOGIN_COMPLETED: Rule = Rule::of(10, "login completed");
    pub(super) const POLL_WITHOUT_NEWS: Rule = Rule::of(11, "poll without news");
    pub(super) const LOGIN_COMPLETED_DEGRADED: Rule = Rule::of(12, "login completed while degraded");
    pub(super) const PROFILE_OF_TEMPORARY_ACCESS: Rule = Rule::of(13, "profile of temporary access");
    pub(super) const CODE_REFUSED: Rule = Rule::of(14, "code refused");
    pub(super) const PROFILES_REFRESHED: Rule = Rule::of(15, "profiles refreshed");
    pub(super) const PROFILES_REFUSED: Rule = Rule::of(16, "profiles refused");
    pub(super) const PROFILE_BY_SINGLE_SIGN_ON: Rule = Rule::of(17, "profile found by single sign-on");
    pub(super) const PARTNER_LOGIN_BEGINS: Rule = Rule::of(18, "partner login begins");
    pub(super) const PARTNER_SESSION_DEGRADED: Rule = Rule::of(19, "partner session while degraded");
    pub(super) const PARTNER_FALLS_BACK: Rule = Rule::of(20, "partner falls back to a login");
    pub(super) const PARTNER_SESSION_WAITS: Rule = Rule::of(21, "partner session waits for a choice");
    pub(super) const PARTNER_SESSION_FAILED: Rule = Rule::of(22, "partner session failed");
    pub(super) const NOT_PROCESSED: Rule = Rule::of(23, "refused before processing, or not answered");
    pub(super) const PARTNER_LOGIN_COMPLETED: Rule = Rule::of(24, "partner login completed");
    pub(super) const PARTNER_PROFILE_DEGRADED: Rule = Rule::of(25, "partner profile while degraded");
    pub(super) const PARTNER_LOGIN_FAILED: Rule = Rule::of(26, "partner login failed");
    pub(super) const AUTHORIZED_BY_MVPD: Rule = Rule::of(27, "authorized by the MVPD");
    pub(super) const AUTHORIZED_FROM_CACHE: Rule = Rule::of(28, "authorized from the cache");
    pub(super) const AUTHORIZED_BY_DEGRADATION: Rule = Rule::of(29, "authorized by degradation");
    pub(super) const AUTHORIZED_TEMPORARILY: Rule = Rule::of(30, "authorized by temporary access");
    pub(super) const AUTHORIZED_WITHOUT_TOKEN: Rule = Rule::of(31, "authorized without a media token");
    pub(super) const DENIED_BY_MVPD: Rule = Rule::of(32, "denied by the MVPD");
    pub(super) const DENIED_OTHERWISE: Rule = Rule::of(33, "denied by degradation or temporary access");
    pub(super) const AUTHORIZATION_FAILED: Rule = Rule::of(34, "authorization failed");
    pub(super) const AUTHORIZATION_FAILED_WITHOUT_CODE: Rule =
        Rule::of(35, "authorization failed without a code");
    pub(super) const PREFLIGHT_ANSWERED: Rule = Rule::of(36, "preflight answered");
    pub(super) const PREFLIGHT_FAILED: Rule = Rule::of(37, "preflight failed");
    pub(super) const LOGOUT_COMPLETED: Rule = Rule::of(38, "logout completed");
    pub(super) const LOGOUT_SENT_TO_MVPD: Rule = Rule::of(39, "logout sent to the MVPD");
    pub(super) const LOGOUT_LEFT_TO_PARTNER: Rule = Rule::of(40, "logout left to the partner");
    pub(super) const LOGOUT_WITHOUT_PROFILE: Rule = Rule::of(41, "logout without a profile");
    pub(super) const LOGOUT_FAILED: Rule = Rule::of(42, "logout failed");
    pub(super) const NOTHING_TO_COUNT: Rule = Rule::of(43, "nothing to count");

    pub(super) const UNKNOWN_ACTION: Rule = Rule::of(44, "answered with an unknown action");
    pub(super) const NOT_DECIDED: Rule = Rule::of(45, "answered without a decision");

    /// The rule under which earlier releases derived the events of the present rule.
    pub(super) fn former(self) -> Option<Rule> {
        (self == Rule::UNKNOWN_ACTION).then_some(Rule::LOGOUT_WITHOUT_PROFILE)
    }

    const fn of(number: u8, about: &'static str) -> Rule {
        Rule { number, about }
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Rule; 45] = [
        Rule::LOGIN_BEGINS,
        Rule::SESSION_WAITS,
        Rule::ALREADY_AUTHENTICATED,
        Rule::AUTHENTICATION_DEGRADED,
        Rule::TEMPORARY_ACCESS,
        Rule::LOGIN_BEGINS_AFTER_CHOICE,
        Rule::SESSION_LOOKED_AT,
        Rule::USER_AGENT_SENT,
        Rule::SESSION_FAILED,
        Rule::LOGIN_COMPLETED,
        Rule::POLL_WITHOUT_NEWS,
        Rule::LOGIN_COMPLETED_DEGRADED,
        Rule::PROFILE_OF_TEMPORARY_ACCESS,
        Rule::CODE_REFUSED,
        Rule::PROFILES_REFRESHED,
        Rule::PROFILES_REFUSED,
        Rule::PROFILE_BY_SINGLE_SIGN_ON,
        Rule::PARTNER_LOGIN_BEGINS,
        Rule::PARTNER_SESSION_DEGRADED,
        Rule::PARTNER_FALLS_BACK,
        Rule::PARTNER_SESSION_WAITS,
        Rule::PARTNER_SESSION_FAILED,
        Rule::NOT_PROCESSED,
        Rule::PARTNER_LOGIN_COMPLETED,
        Rule::PARTNER_PROFILE_DEGRADED,
        Rule::PARTNER_LOGIN_FAILED,
        Rule::AUTHORIZED_BY_MVPD,
        Rule::AUTHORIZED_FROM_CACHE,
        Rule::AUTHORIZED_BY_DEGRADATION,
        Rule::AUTHORIZED_TEMPORARILY,
        Rule::AUTHORIZED_WITHOUT_TOKEN,
        Rule::DENIED_BY_MVPD,
        Rule::DENIED_OTHERWISE,
        Rule::AUTHORIZATION_FAILED,
        Rule::AUTHORIZATION_FAILED_WITHOUT_CODE,
        Rule::PREFLIGHT_ANSWERED,
        Rule::PREFLIGHT_FAILED,
        Rule::LOGOUT_COMPLETED,
        Rule::LOGOUT_SENT_TO_MVPD,
        Rule::LOGOUT_LEFT_TO_PARTNER,
        Rule::LOGOUT_WITHOUT_PROFILE,
        Rule::LOGOUT_FAILED,
        Rule::NOTHING_TO_COUNT,
        Rule::UNKNOWN_ACTION,
        Rule::NOT_DECIDED,
    ];

    /// The numbers are in events' identities: with other numbers, an exchange that is read again would count twice.
    #[test]
    fn numbers_of_rules_never_change() {
        let golden = include_str!("../../../fixtures/rest-v2-rules.txt");
        let found: String = ALL.iter().map(|rule| format!("{} {}\n", rule.number, rule.about)).collect();
        assert_eq!(found, golden);
    }
}
