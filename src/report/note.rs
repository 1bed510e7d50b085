//! The four inequalities that Adobe's page calls usual ("Events Summary"), and where one does not hold.

use super::{Figures, Note, Report};

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

/// Where they do not hold, in the total and then in each MVPD.
pub(super) fn of(report: &Report) -> Vec<Note> {
    let columns = report.mvpds.iter().map(|column| (column.mvpd.as_str(), &column.figures));
    let mut notes: Vec<Note> = broken(&report.total).map(|(usual, found)| note("", usual, found)).collect();
    for (mvpd, figures) in columns {
        // Without an MVPD there is no name to tell it from the total by; its events are in the total.
        if !mvpd.is_empty() {
            notes.extend(broken(figures).map(|(usual, found)| note(mvpd, usual, found)));
        }
    }
    notes
}

fn broken(figures: &Figures) -> impl Iterator<Item = (&'static Usual, (u64, u64))> {
    let sides = |usual: &'static Usual| (usual, ((usual.greater)(figures), (usual.smaller)(figures)));
    USUAL
        .iter()
        .map(sides)
        .filter(|(_, (greater, smaller))| greater < smaller)
        .collect::<Vec<_>>()
        .into_iter()
}

fn note(mvpd: &str, usual: &Usual, (greater, smaller): (u64, u64)) -> Note {
    Note {
        mvpd: mvpd.to_owned(),
        expected: usual.expected.to_owned(),
        found: format!("{greater} < {smaller}; most likely {}", usual.cause),
    }
}
