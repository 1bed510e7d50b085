//! What Adobe's page calls usual, of all events ("Events Summary") and of single MVPDs, and where it is otherwise.

use super::dimension::folded;
use super::figures::{Column, Figures, Note};
use crate::buffer::{TRANSIENT_IDS, looks_transient};

/// Something usual: what it is, where it does not hold, and the likeliest cause.
struct Usual {
    expected: &'static str,
    /// What an MVPD of this name shows against it; `None` where it holds.
    broken: fn(&str, &Figures) -> Option<String>,
    cause: &'static str,
    of: Of,
}

/// What something usual is said of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The total, and each MVPD.
    All,
    Mvpds,
    /// MVPDs in a month or more.
    MvpdsOfMonths,
}

const USUAL: [Usual; 7] = [
    Usual {
        expected: "attempted authentications >= successful authentications",
        broken: |_, of| less(of.attempted_authentications, of.successful_authentications),
        cause: "most likely logins that began before the period, or AuthN requested is missing in a source or carries no MVPD there",
        of: Of::All,
    },
    Usual {
        expected: "attempted authorizations >= successful authorizations",
        broken: |_, of| less(of.attempted_authorizations, of.successful_authorizations),
        cause: "most likely AuthZ requested is missing in a source",
        of: Of::All,
    },
    Usual {
        expected: "attempted authorizations >= successful authentications",
        broken: |_, of| less(of.attempted_authorizations, of.successful_authentications),
        cause: "most likely many viewers log in and then play nothing, or an app authorizes only with preflights",
        of: Of::All,
    },
    Usual {
        expected: "successful play requests >= successful authorizations",
        broken: |_, of| less(of.successful_play_requests, of.successful_authorizations),
        cause: "most likely an app authorizes and then asks for no media token, or preflights of this MVPD raise authorizations",
        of: Of::All,
    },
    Usual {
        expected: "fewer monthly users than logins",
        broken: |_, of| {
            let (users, logins) = (of.unique_users.unwrap_or(0), of.successful_authentications);
            looks_transient(users, logins).then(|| format!("{users} users of {logins} logins"))
        },
        cause: TRANSIENT_IDS,
        of: Of::MvpdsOfMonths,
    },
    Usual {
        expected: "an authorization request for each login at least",
        broken: |_, of| {
            let (logins, asked) = (of.successful_authentications, of.attempted_authorizations);
            let is_rare = logins >= LOGINS_MIN && asked <= logins / 20;
            is_rare.then(|| format!("{asked} requests, {logins} logins"))
        },
        cause: "the MVPD seems to authorize at login: whom it does not authorize it does not send back, so its denials are \
                unsuccessful authentications, and its authorization figures say little",
        of: Of::Mvpds,
    },
    Usual {
        expected: "a login for all requestors of a device, which lasts",
        broken: |mvpd, of| {
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

/// What is otherwise than usual: in the total, and then of single MVPDs.
pub(super) fn of(total: &Figures, mvpds: &[Column], is_months: bool) -> Vec<Note> {
    let of_total = USUAL.iter().filter(|usual| usual.of == Of::All).filter_map(|usual| {
        let shown = (usual.broken)("", total)?;
        Some(usual.note(Vec::new(), shown))
    });
    let of_mvpds = USUAL.iter().filter(|usual| is_months || usual.of != Of::MvpdsOfMonths);
    of_total.chain(of_mvpds.filter_map(|usual| usual.of_mvpds(mvpds))).collect()
}

impl Usual {
    /// One note for all MVPDs of which it does not hold; the largest with their numbers.
    fn of_mvpds(&self, mvpds: &[Column]) -> Option<Note> {
        // Without an MVPD there is no name to tell it from the total by; its events are in the total.
        let named = mvpds.iter().filter(|column| !column.mvpd.is_empty());
        let broken = |column: &Column| {
            let shown = (self.broken)(&column.mvpd, &column.figures)?;
            Some((column.mvpd.clone(), format!("{} {shown}", column.mvpd)))
        };
        let (mvpds, shown): (Vec<String>, Vec<String>) = named.filter_map(broken).unzip();
        let mut found = shown.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        if mvpds.len() > NAMED_MAX {
            found.push_str(&format!(" and {} others", mvpds.len() - NAMED_MAX));
        }
        (!mvpds.is_empty()).then(|| self.note(mvpds, found))
    }

    fn note(&self, mvpds: Vec<String>, found: String) -> Note {
        Note { mvpds, expected: self.expected.to_owned(), found: format!("{found}; {}", self.cause) }
    }
}
