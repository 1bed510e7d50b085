//! Compares the total and single MVPDs with what Adobe's page calls usual ("Events Summary").

use std::collections::{BTreeSet, HashMap};

use super::dimension::folded;
use super::figures::{Column, Figures, Note};
use crate::buffer::{TRANSIENT_IDS, looks_transient};

/// A rule about usual figures: a test of the rule, and the likeliest cause if figures break it.
struct Usual {
    /// The name of the exception, in a few words, for the notes of the CSV.
    mark: &'static str,
    expected: &'static str,
    /// What the figures of an MVPD show instead; `None` if they are as usual.
    broken: fn(&Shown<'_>) -> Option<String>,
    cause: &'static str,
    of: Of,
}

/// The figures that a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The total, and each MVPD.
    All,
    Mvpds,
}

/// The total or an MVPD, its figures, and the days of the period on which it had logins.
struct Shown<'s> {
    mvpd: &'s str,
    figures: &'s Figures,
    login_days: &'s BTreeSet<i64>,
}

const USUAL: [Usual; 7] = [
    Usual {
        mark: "fewer AuthN attempts than successes",
        expected: "attempted authentications >= successful authentications",
        broken: |Shown { figures: of, .. }| less(of.attempted_authentications, of.successful_authentications),
        cause: "most likely logins that began before the period, or AuthN requested is missing in a source or carries no MVPD there",
        of: Of::All,
    },
    Usual {
        mark: "fewer AuthZ attempts than successes",
        expected: "attempted authorizations >= successful authorizations",
        broken: |Shown { figures: of, .. }| less(of.attempted_authorizations, of.successful_authorizations),
        cause: "most likely AuthZ requested is missing in a source",
        of: Of::All,
    },
    Usual {
        mark: "fewer AuthZ attempts than logins",
        expected: "attempted authorizations >= successful authentications",
        broken: |Shown { figures: of, .. }| less(of.attempted_authorizations, of.successful_authentications),
        cause: "most likely many viewers log in and then play nothing, or an app authorizes only with preflights",
        of: Of::All,
    },
    Usual {
        mark: "fewer plays than authorizations",
        expected: "successful play requests >= successful authorizations",
        broken: |Shown { figures: of, .. }| less(of.successful_play_requests, of.successful_authorizations),
        cause: "most likely an app authorizes and then asks for no media token, or preflights of this MVPD raise authorizations",
        of: Of::All,
    },
    Usual {
        mark: "transient user IDs",
        expected: "fewer monthly users than logins",
        broken: |Shown { figures: of, login_days, .. }| {
            let (users, logins) = (of.unique_users.unwrap_or(0), of.successful_authentications);
            looks_transient(users, logins, login_days).then(|| format!("{users} users of {logins} logins"))
        },
        cause: TRANSIENT_IDS,
        of: Of::Mvpds,
    },
    Usual {
        mark: "authorizes at login",
        expected: "an authorization request for each login at least",
        broken: |Shown { figures: of, .. }| {
            let (logins, asked) = (of.successful_authentications, of.attempted_authorizations);
            let is_rare = logins >= LOGINS_MIN && asked <= logins / 20;
            is_rare.then(|| format!("{asked} requests, {logins} logins"))
        },
        cause: "the MVPD seems to authorize at login: whom it does not authorize it does not send back, so its denials are \
                unsuccessful authentications, and its authorization figures say little",
        of: Of::Mvpds,
    },
    Usual {
        mark: "passive logins",
        expected: "a login for all requestors of a device, which lasts",
        broken: |Shown { mvpd, figures: of, .. }| {
            let (asked, logins) = (of.attempted_authentications, of.successful_authentications);
            let is_passive = asked > 0 && PASSIVE.iter().any(|name| folded(mvpd).contains(name));
            is_passive.then(|| format!("{asked} attempts, {logins} logins"))
        },
        cause: "Comcast logs in anew for each requestor, passively in a hidden frame, and on the web after each start of the \
                browser: these authentications are more than viewers made, and do not compare with other MVPDs'",
        of: Of::Mvpds,
    },
];

/// Parts of the IDs of the MVPD that logs in passively, as Adobe's page says ("Comcast Authentication").
const PASSIVE: [&str; 2] = ["comcast", "xfinity"];
/// With fewer logins than this, the figures say nothing about how an MVPD works.
const LOGINS_MIN: u64 = 20;
/// The most MVPDs that a note names with their numbers.
const NAMED_MAX: usize = 3;

fn less(greater: u64, smaller: u64) -> Option<String> {
    (greater < smaller).then(|| format!("{greater} < {smaller}"))
}

/// Notes on what is unusual: first in the total, then in MVPDs. `login_days` has the days with logins of each MVPD.
pub(super) fn of(
    total: &Figures,
    mvpds: &[Column],
    login_days: &HashMap<String, BTreeSet<i64>>,
) -> Vec<Note> {
    let no_day = BTreeSet::new();
    let total = Shown { mvpd: "", figures: total, login_days: &no_day };
    let of_total = USUAL.iter().filter(|usual| usual.of == Of::All).filter_map(|usual| {
        let shown = (usual.broken)(&total)?;
        Some(usual.note(Vec::new(), shown))
    });
    // Events without an MVPD have no name for a note; they are part of the total.
    let named = mvpds.iter().filter(|column| !column.mvpd.is_empty());
    let mvpds: Vec<Shown<'_>> = named
        .map(|column| Shown {
            mvpd: &column.mvpd,
            figures: &column.figures,
            login_days: login_days.get(&column.mvpd).unwrap_or(&no_day),
        })
        .collect();
    of_total.chain(USUAL.iter().filter_map(|usual| usual.of_mvpds(&mvpds))).collect()
}

impl Usual {
    /// One note for all MVPDs that break the rule, with the numbers of the largest of them.
    fn of_mvpds(&self, mvpds: &[Shown<'_>]) -> Option<Note> {
        let broken = |one: &Shown<'_>| {
            let shown = (self.broken)(one)?;
            Some((one.mvpd.to_owned(), format!("{} {shown}", one.mvpd)))
        };
        let (mvpds, shown): (Vec<String>, Vec<String>) = mvpds.iter().filter_map(broken).unzip();
        let mut found = shown.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        if mvpds.len() > NAMED_MAX {
            found.push_str(&format!(" and {} others", mvpds.len() - NAMED_MAX));
        }
        (!mvpds.is_empty()).then(|| self.note(mvpds, found))
    }

    fn note(&self, mvpds: Vec<String>, found: String) -> Note {
        let (mark, expected) = (self.mark.to_owned(), self.expected.to_owned());
        Note { mvpds, mark, expected, found: format!("{found}; {}", self.cause) }
    }
}
