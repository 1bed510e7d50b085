//! What to do about an item that no source shows, in a sentence that names the place.

use super::{Check, Finding, Severity, Source, date, needed};
use crate::confirmation::{Confirmation, Item};
use crate::onboarding::probe::{ProbeOutcome, Proof};
use crate::suite::{IdentityKind, ReportSuite};

fn place(item: Item) -> &'static str {
    match item {
        Item::Timestamps => {
            "see that Admin > Report Suites > Edit Settings > General > Timestamps Optional says optional or required"
        }
        Item::Suite => "see that Admin > Report Suites lists it, and not as a virtual report suite",
        Item::Events => {
            "see that Admin > Report Suites > Edit Settings > Conversion > Success Events has event1 to event18 as in: \
             passbridge suite sheet"
        }
        Item::Evars => {
            "see that Admin > Report Suites > Edit Settings > Conversion > Conversion Variables has eVar1 to eVar34 as in: \
             passbridge suite sheet"
        }
        Item::UniqueEventRecording => {
            "see that Admin > Report Suites > Edit Settings > Conversion > Success Events says Use Event ID under Unique Event \
             Recording of event1 to event18"
        }
        Item::EventTypes => {
            "see that Admin > Report Suites > Edit Settings > Conversion > Success Events says Counter for event1 to event18"
        }
        Item::MultiByte => {
            "see that Admin > Report Suites > Edit Settings > General > General Account Settings says that multi-byte \
             character support is on"
        }
        Item::TimeZone => {
            "see that Admin > Report Suites > Edit Settings > General > General Account Settings says US/Pacific"
        }
        Item::BotRules => {
            "see that Admin > Report Suites > Edit Settings > General > Bot Rules, and Admin > Exclude by IP Address, match \
             neither viewers' agents and addresses nor this host"
        }
        Item::Visitors => "tell those who will read the reports",
    }
}

/// What the admin page's download shows.
fn is_in_file(item: Item) -> bool {
    !matches!(item, Item::BotRules | Item::Visitors)
}

fn is_provable(item: Item) -> bool {
    matches!(
        item,
        Item::Timestamps
            | Item::Suite
            | Item::Events
            | Item::Evars
            | Item::UniqueEventRecording
            | Item::MultiByte
    )
}

/// Shorter ways to settle what is open.
pub(super) fn hints(check: &Check<'_>, open: &[Item]) -> Vec<String> {
    let names = |is_meant: fn(Item) -> bool| -> Option<String> {
        let names: Vec<&str> = open.iter().filter(|item| is_meant(**item)).map(|item| item.name()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let rsid = &check.suite.form.rsid;
    let mut hints = Vec::new();
    if check.evidence.file().is_none() {
        hints.extend(names(is_in_file).map(|names| {
            format!(
                "the file of Admin > Report Suites > Download may show {names}: passbridge suite check {rsid} --settings FILE"
            )
        }));
    }
    hints.extend(
        names(is_provable).map(|names| format!("a probe proves {names}: passbridge suite probe {rsid}")),
    );
    hints
}

/// An item that nobody knows about.
pub(super) fn open(check: &Check<'_>, item: Item, shown: usize, void: Option<&Confirmation>) -> Finding {
    let rsid = &check.suite.form.rsid;
    let found = match (void, item, shown) {
        (Some(word), _, _) => format!(
            "{} confirmed it on {} for {}; now it is {}",
            word.by,
            date(word.at),
            word.basis,
            item.basis(check.suite, check.requestors)
        ),
        (None, Item::Visitors, _) => visitors(check.suite, check.requestors),
        (None, _, 0) => "shown by no source".to_owned(),
        (None, _, shown) => format!("shown for {shown} of {} only", needed(item)),
    };
    let fix = format!("{}; then: passbridge suite confirm {rsid} {item} --by NAME", place(item));
    Finding {
        item,
        severity: if item == Item::Visitors { Severity::Warning } else { Severity::Confirm },
        subject: "suite".to_owned(),
        setting: title(item),
        expected: item.claim().to_owned(),
        found,
        source: Source::Nobody,
        fix,
    }
}

/// What a unique visitor is in this suite, and why that surprises.
pub(in crate::onboarding) fn visitors(suite: &ReportSuite, requestors: &[String]) -> String {
    let mut text = match suite.form.identity {
        IdentityKind::MvpdUserId => {
            "visitorID on timestamped hits: Adobe's admin page advises against the two together, the integration prescribes \
             them. Hits are recorded; visits and time spent rest on their order. Unique Visitors counts MVPD accounts, and a \
             surrogate for each device without one (AuthN requested never has one): for ESM's number take the segment \
             \"eVar10 exists\""
        }
        IdentityKind::Ecid => {
            "a unique visitor is a browser or an app with an Experience Cloud ID, joined with the programmer's other data, and \
             no MVPD account: a household of three devices is three. Events without an ID count as surrogates of their own. \
             For accounts, as ESM counts them, count distinct values of eVar10"
        }
    }
    .to_owned();
    if requestors.len() > 1 {
        text.push_str(&format!(
            ". {} share the suite: eVar1 tells them apart, and one visitor may be of several",
            requestors.join(", ")
        ));
    }
    text
}

fn title(item: Item) -> &'static str {
    match item {
        Item::Timestamps => "Timestamps",
        Item::Suite => "Report Suite ID",
        Item::Events => "Success Events",
        Item::Evars => "Conversion Variables",
        Item::UniqueEventRecording => "Unique Event Recording",
        Item::EventTypes => "Type of events",
        Item::MultiByte => "Multi-byte character support",
        Item::TimeZone => "Time zone",
        Item::BotRules => "Bot rules and IP exclusions",
        Item::Visitors => "Unique Visitors",
    }
}

/// A probe saw that an item is wrong.
pub(super) fn disproved(item: Item, probe: &ProbeOutcome, proof: &Proof) -> Finding {
    Finding {
        item,
        severity: match item {
            Item::Timestamps | Item::Suite => Severity::Blocks,
            _ => Severity::Wrong,
        },
        subject: "suite".to_owned(),
        setting: title(item),
        expected: item.claim().to_owned(),
        found: format!("probe {} on {}: {}", probe.id, date(probe.read_at), proof.found),
        source: Source::Probe,
        fix: format!("{}; then probe again", proof.fix),
    }
}

/// A probe saw that an item was wrong, and another source says since that it is right.
pub(super) fn disputed(item: Item, probe: &ProbeOutcome, proof: &Proof) -> Finding {
    Finding {
        severity: Severity::Warning,
        fix: "probe again, to see that it is mended".to_owned(),
        ..disproved(item, probe, proof)
    }
}
