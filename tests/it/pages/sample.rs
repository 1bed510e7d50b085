//! Reports of the size and with the names that a page must be able to take, without an event behind them.

use passbridge::event::EventKind;
use passbridge::report::{Column, Failure, Figures, Note, Others, Report, Row};

/// Names that would break a page which takes them as they are, and one that is absent.
pub(crate) const HOSTILE: [&str; 5] = [
    "",
    "</title></svg><script>document.title='x'</script>",
    "\" onmouseover=\"alert(1)\" x=\"",
    "\u{202E}detrevnI & <b>bold</b>",
    "A provider whose name is much longer than what fits above a bar or at the head of a column, by far",
];

/// Some days of as many MVPDs, with every day's figures different, and a Sunday without any.
pub(crate) fn report(days: u32, mvpds: usize) -> Report {
    let names = (0..mvpds).map(|index| {
        HOSTILE
            .get(index.wrapping_sub(3))
            .map_or_else(|| format!("Provider_{index:02}"), |name| (*name).to_owned())
    });
    let columns: Vec<Column> = names
        .zip(1_u64..)
        .map(|(mvpd, weight)| Column { mvpd, figures: figures(weight * 911 + 7) })
        .collect();
    let first = chrono::NaiveDate::from_ymd_opt(2025, 11, 1).expect("a date");
    let day = |index: u32| {
        let day = first + chrono::Days::new(u64::from(index));
        let wave = 40 + u64::from((index * 37) % 29) + u64::from(index % 7) * 9;
        let mut figures = if index % 30 == 8 { figures(0) } else { figures(wave * 113) };
        if index % 30 == 12 {
            // A day of which some events came from ESM: nobody knows its users.
            (figures.unique_users, figures.synthetic_users) = (None, None);
        }
        Row { key: vec![day.to_string()], partial: index + 1 == days, figures }
    };
    let to = first + chrono::Days::new(u64::from(days));
    Report {
        from: format!("{first}T00:00:00-07:00"),
        to: format!("{to}T00:00:00-08:00"),
        timezone: "America/Los_Angeles".to_owned(),
        discarded: 0,
        without_discarded: false,
        partial: false,
        requestors: vec!["REF30".to_owned(), HOSTILE[1].to_owned()],
        by: vec!["device_type".to_owned(), "sdk_type".to_owned()],
        total: figures(1_234_567),
        others: (mvpds > 13).then(|| Others { mvpds: mvpds - 12, figures: figures(4_321_987) }),
        mvpds: columns,
        rows: (1..=24)
            .map(|index| Row {
                key: vec![format!("device {index}"), HOSTILE[index % 5].to_owned()],
                partial: false,
                figures: figures(index as u64 * 77),
            })
            .collect(),
        rows_note: "These rows are made of the events that the buffer still has".to_owned(),
        trend: (0..days).map(day).collect(),
        failures: failures(),
        notes: vec![Note {
            mvpds: vec![HOSTILE[1].to_owned()],
            mark: "fewer AuthN attempts than successes".to_owned(),
            expected: "attempted authentications >= successful authentications".to_owned(),
            found: "62 succeeded and 60 were tried: logins that began before the period".to_owned(),
        }],
        remarks: vec![
            "device_type was read from the events that the buffer still has, since 2025-11-04".to_owned(),
        ],
    }
}

/// A period in which nothing happened.
pub(crate) fn nothing() -> Report {
    let mut report = report(1, 0);
    report.total = Figures { events: [Some(0); 18], ..Figures::default() };
    report.trend[0].figures = report.total.clone();
    report.failures.clear();
    report.notes.clear();
    report.remarks.clear();
    report.requestors.clear();
    report.by.clear();
    report.rows.clear();
    report.rows_note.clear();
    report
}

/// Figures of about this size. Every fifth has no attempt at all, every seventh more successes than attempts.
fn figures(weight: u64) -> Figures {
    let attempted = if weight % 5 == 4 { 0 } else { weight * 21 / 10 };
    let successful = match weight % 7 {
        0 => attempted + attempted / 20,
        rest => attempted * (30 + 9 * rest) / 100,
    };
    let (asked, granted) = (weight * 26 / 10, weight * 26 / 10 * (60 + weight % 39) / 100);
    let mut events = [0; 18];
    (0_u64..).zip(&mut events).for_each(|(index, units)| *units = weight * (index + 3) % 1_000_003);
    (events[0], events[2], events[3], events[4]) = (attempted, successful, asked, granted);
    events[6] = granted * 2 + weight / 3;
    Figures {
        events: events.map(Some),
        unique_users: Some(weight * 6 / 10),
        synthetic_users: Some(weight / 50),
        ..Figures::default()
    }
}

fn failures() -> Vec<Failure> {
    let reasons = ["noAuthZ", "network", "", HOSTILE[1], "fraud", HOSTILE[3]];
    let kinds = [EventKind::AuthzFailed, EventKind::AuthnFailed, EventKind::PreflightDenied];
    let pairs = kinds.iter().flat_map(|kind| reasons.iter().map(move |reason| (kind, reason)));
    let failure = |(index, (kind, reason)): (u64, (&EventKind, &&str))| Failure {
        event: kind.name().to_owned(),
        label: kind.label().to_owned(),
        reason: (*reason).to_owned(),
        meaning: format!("what {reason} means"),
        count: 54_321 / (index * index + 1) + 1,
    };
    (0..).zip(pairs).map(failure).collect()
}
