//! The four inequalities that Adobe's page calls usual ("Events Summary"), and where one does not hold.

use super::{Column, Figures, Note, Report};
use crate::buffer::{TRANSIENT_IDS, looks_transient};

/// An inequality: what it is called, its greater side, its smaller side, and the likeliest cause where it does not hold.
struct Usual {
    expected: &'static str,
    greater: fn(&Figures) -> u64,
    smaller: fn(&Figures) -> u64,
    cause: &'static str,
}

const USUAL: [Usual; 4] = [
    Usual {
        expected: "attempted authentications >= successful authentications",
        greater: |figures| figures.attempted_authentications,
        smaller: |figures| figures.successful_authentications,
        cause: "logins that began before the period, or AuthN requested is missing in a source or carries no MVPD there",
    },
    Usual {
        expected: "attempted authorizations >= successful authorizations",
        greater: |figures| figures.attempted_authorizations,
        smaller: |figures| figures.successful_authorizations,
        cause: "AuthZ requested is missing in a source",
    },
    Usual {
        expected: "attempted authorizations >= successful authentications",
        greater: |figures| figures.attempted_authorizations,
        smaller: |figures| figures.successful_authentications,
        cause: "many viewers log in and then play nothing, or an app authorizes only with preflights",
    },
    Usual {
        expected: "successful play requests >= successful authorizations",
        greater: |figures| figures.successful_play_requests,
        smaller: |figures| figures.successful_authorizations,
        cause: "an app authorizes and then asks for no media token, or preflights of this MVPD raise authorizations",
    },
];

/// Something that Adobe's page says of some MVPDs: what is usual, of which figures it is not, what they show, and what it means.
struct Trait {
    expected: &'static str,
    is_so: fn(&str, &Figures) -> bool,
    shown: fn(&Figures) -> String,
    cause: &'static str,
    /// Whether it says something only of a month or more.
    needs_month: bool,
}

const TRAITS: [Trait; 3] = [
    Trait {
        expected: "fewer monthly users than logins",
        is_so: |_, figures| {
            let users = figures.unique_users.unwrap_or(0);
            looks_transient(users, figures.successful_authentications)
        },
        shown: |figures| {
            let users = figures.unique_users.unwrap_or(0);
            format!("{users} users of {} logins", figures.successful_authentications)
        },
        cause: TRANSIENT_IDS,
        needs_month: true,
    },
    Trait {
        expected: "an authorization request for each login at least",
        is_so: |_, figures| {
            let (logins, asked) = (figures.successful_authentications, figures.attempted_authorizations);
            logins >= LOGINS_MIN && asked <= logins / 20
        },
        shown: |figures| {
            let (asked, logins) = (figures.attempted_authorizations, figures.successful_authentications);
            format!("{asked} requests, {logins} logins")
        },
        cause: "the MVPD seems to authorize at login: whom it does not authorize it does not send back, so its denials are \
                unsuccessful authentications, and its authorization figures say little",
        needs_month: false,
    },
    Trait {
        expected: "a login for all requestors of a device, which lasts",
        is_so: |mvpd, figures| {
            let mvpd = super::folded(mvpd);
            PASSIVE.iter().any(|name| mvpd.contains(name)) && figures.attempted_authentications > 0
        },
        shown: |figures| {
            let (asked, logins) = (figures.attempted_authentications, figures.successful_authentications);
            format!("{asked} attempts, {logins} logins")
        },
        cause: "Comcast logs in anew for each requestor, passively in a hidden frame, and on the web after each start of the \
                browser: these authentications are more than viewers made, and do not compare with other MVPDs'",
        needs_month: false,
    },
];

/// The MVPD that Adobe's page describes so ("Comcast Authentication"), by what its IDs contain.
const PASSIVE: [&str; 2] = ["comcast", "xfinity"];
/// Fewer logins than these say nothing of how an MVPD works.
const LOGINS_MIN: u64 = 20;
/// The MVPDs that a note names with their numbers.
const NAMED_MAX: usize = 3;

/// Where they do not hold, in the total and then, all MVPDs together, of single ones; then what Adobe's page says of MVPDs.
pub(super) fn of(report: &Report, is_months: bool) -> Vec<Note> {
    let total = broken(&report.total).map(|(usual, (greater, smaller))| Note {
        mvpds: Vec::new(),
        expected: usual.expected.to_owned(),
        found: format!("{greater} < {smaller}; most likely {}", usual.cause),
    });
    let of_mvpds = USUAL.iter().filter_map(|usual| {
        let is_broken = |figures: &Figures| (usual.greater)(figures) < (usual.smaller)(figures);
        let shown =
            |figures: &Figures| format!("{} < {}", (usual.greater)(figures), (usual.smaller)(figures));
        note(
            report,
            usual.expected,
            &|_, figures| is_broken(figures),
            &shown,
            &format!("most likely {}", usual.cause),
        )
    });
    let traits = TRAITS.iter().filter(|each| is_months || !each.needs_month);
    let traits = traits.filter_map(|each| note(report, each.expected, &each.is_so, &each.shown, each.cause));
    total.chain(of_mvpds).chain(traits).collect()
}

fn broken(figures: &Figures) -> impl Iterator<Item = (&'static Usual, (u64, u64))> {
    let sides = |usual: &'static Usual| (usual, ((usual.greater)(figures), (usual.smaller)(figures)));
    USUAL.iter().map(sides).filter(|(_, (greater, smaller))| greater < smaller)
}

/// One note for all MVPDs of which something is so; the largest with their numbers.
fn note(
    report: &Report,
    expected: &str,
    is_so: &dyn Fn(&str, &Figures) -> bool,
    shown: &dyn Fn(&Figures) -> String,
    cause: &str,
) -> Option<Note> {
    // Without an MVPD there is no name to tell it from the total by; its events are in the total.
    let columns: Vec<&Column> = report
        .mvpds
        .iter()
        .filter(|column| !column.mvpd.is_empty() && is_so(&column.mvpd, &column.figures))
        .collect();
    let named =
        columns.iter().take(NAMED_MAX).map(|column| format!("{} {}", column.mvpd, shown(&column.figures)));
    let mut found = named.collect::<Vec<_>>().join(", ");
    if columns.len() > NAMED_MAX {
        found.push_str(&format!(" and {} others", columns.len() - NAMED_MAX));
    }
    (!columns.is_empty()).then(|| Note {
        mvpds: columns.iter().map(|column| column.mvpd.clone()).collect(),
        expected: expected.to_owned(),
        found: format!("{found}; {cause}"),
    })
}
