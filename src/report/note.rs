//! What Adobe's page calls usual, of all events ("Events Summary") and of single MVPDs, and where it is otherwise.

use std::collections::{BTreeSet, HashMap};

use super::dimension::folded;
use super::figures::{Column, Figures, Note};
use crate::buffer::{TRANSIENT_IDS, looks_transient};

/// Something usual: what it is, where it does not hold, and the likeliest cause.
struct Usual {
    /// What is there instead, in a few words, for the notes of the CSV.
    mark: &'static str,
    expected: &'static str,
    /// What an MVPD shows against it; `None` where it holds.
    broken: fn(&Shown<'_>) -> Option<String>,
    cause: &'static str,
    of: Of,
}

/// What something usual is said of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The total, and each MVPD.
    All,
    Mvpds,
}

/// An MVPD or the total, its figures, and the days of the period on which it had logins.
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

/// The MVPD that Adobe's page describes so ("Comcast Authentication"), by what its IDs contain.
const PASSIVE: [&str; 2] = ["comcast", "xfinity"];
/// Fewer logins than these say nothing of how an MVPD works.
const LOGINS_MIN: u64 = 20;
/// The MVPDs that a note names with their numbers.
const NAMED_MAX: usize = 3;

fn less(greater: u64, smaller: u64) -> Option<String> {
    (greater < smaller).then(|| format!("{greater} < {smaller}"))
}

/// What is otherwise than usual: in the total, and then of single MVPDs, whose days with logins are given.
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
    // Without an MVPD there is no name to tell it from the total by; its events are in the total.
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
    /// One note for all MVPDs of which it does not hold; the largest with their numbers.
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
