//! The pages in a real browser: nothing is fetched, nothing is complained about, and every number is the document's.

pub(crate) mod browser;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use passbridge::event::{EventKind, Property};
use passbridge::html::document;
use passbridge::report::{Report, page};
use serde_json::{Value, json};

use crate::program::Program;
use browser::Browser;

/// A phone's width, in pixels.
const PHONE: u32 = 375;

/// The page of a report as a file that stays, so that a person can look at it: `target/tmp/page-NAME.html`.
fn page_of(report: &Report, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.html"));
    std::fs::write(&path, page(report)).expect("the page is written");
    path
}

/// Opens a page and holds it against what every page promises.
fn opened(file: &Path) -> Browser {
    let mut browser = Browser::start();
    let url = browser.open(file);
    let dynamic = "[...document.querySelectorAll('*')].filter(element => element.localName === 'script' || \
                   [...element.attributes].some(attribute => attribute.name.startsWith('on'))).length";
    assert_eq!(browser.value(dynamic), 0, "a page has no script");
    let unnamed = "[...document.querySelectorAll('svg[role=img]')].filter(chart => \
                   !chart.querySelector('title').textContent || !chart.querySelector('desc').textContent).length + \
                   [...document.querySelectorAll('th')].filter(head => !head.scope).length";
    assert_eq!(browser.value(unnamed), 0, "every chart and every heading says what it is");
    browser.resize(PHONE, 800);
    let width = browser.value("document.documentElement.scrollWidth").as_u64().expect("a width");
    assert!(width <= u64::from(PHONE), "{width} pixels wide on a phone");
    browser.resize(1280, 900);
    assert_eq!(browser.requests(), [url.as_str()], "nothing but the page itself is asked for");
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
    browser
}

/// Pages of a printed page. Chromium writes the dictionaries of pages in plain text.
fn sheets_of_paper(pdf: &[u8]) -> usize {
    assert!(pdf.starts_with(b"%PDF-"));
    let text = String::from_utf8_lossy(pdf);
    text.matches("/Type /Page").count() - text.matches("/Type /Pages").count()
}

/// Holds every number of the page against the document, and the document against the page.
fn assert_numbers(browser: &mut Browser, document: &Value) {
    let read = "[...document.querySelectorAll('[data-json]')].map(element => [element.dataset.json, \
                element.dataset.value, element.matches('td, dd') ? element.textContent : null])";
    let mut shown = BTreeSet::new();
    for number in browser.value(read).as_array().expect("numbers") {
        let [pointer, exact, text] = [0, 1, 2].map(|index| number[index].as_str());
        let (pointer, exact) = (pointer.expect("a pointer"), exact.expect("a value"));
        let expected =
            document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the document"));
        let value: Value =
            if exact.is_empty() { Value::Null } else { serde_json::from_str(exact).expect("a number") };
        let is_equal =
            if expected.is_f64() { value.as_f64() == expected.as_f64() } else { value == *expected };
        assert!(is_equal, "{pointer}: {exact} instead of {expected}");
        if let Some(text) = text {
            assert_reads(text, expected);
        }
        shown.insert(pointer.to_owned());
    }
    let mut missing = BTreeSet::new();
    numbers(document, String::new(), &mut missing);
    missing.retain(|pointer| !shown.contains(pointer));
    // The single events of rows and days are in the document only.
    let is_left_out = |pointer: &String| {
        (pointer.starts_with("/rows/") || pointer.starts_with("/trend/")) && pointer.contains("/events/")
    };
    // MVPDs beyond the twelve largest stand together; events that never happened, and accounts that ESM never stated, nowhere.
    let shown_mvpds = if document["others"].is_null() { usize::MAX } else { 12 };
    let is_small = |pointer: &String| {
        let mvpd = pointer.strip_prefix("/mvpds/").and_then(|rest| rest.split('/').next()?.parse().ok());
        mvpd.is_some_and(|mvpd: usize| mvpd >= shown_mvpds)
    };
    let is_nothing = |pointer: &String| {
        let event = pointer.rsplit_once("/events/").map(|(_, index)| format!("/total/events/{index}"));
        let never = event.is_some_and(|total| document.pointer(&total) == Some(&json!(0)));
        never || pointer == "/others" || pointer.ends_with("/stated_unique_accounts")
    };
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|pointer| !is_left_out(pointer) && !is_small(pointer) && !is_nothing(pointer))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "numbers that the page does not show");
}

/// A number as a person reads it is the number.
fn assert_reads(text: &str, expected: &Value) {
    let plain: String = text.chars().filter(|letter| *letter != ',').collect::<String>().replace('−', "-");
    let (is_percent, plain) = match plain.strip_suffix("\u{a0}%") {
        Some(share) => (true, share.trim_start_matches(['<', '>', ' ']).to_owned()),
        None => (false, plain),
    };
    match expected {
        Value::Null => assert_eq!(text, "–"),
        Value::Number(number) if is_percent => {
            let (read, share) = (plain.parse::<f64>().expect("a share"), number.as_f64().expect("a share"));
            // Shares of more than ten are printed without a decimal.
            let tolerance = if share >= 10.0 { 0.5001 } else { 0.1 };
            assert!((read - share * 100.0).abs() < tolerance, "{text} for {share}");
        }
        other => assert_eq!(plain, other.to_string()),
    }
}

/// Every number and every rate that is not defined, by JSON Pointer.
fn numbers(value: &Value, at: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| numbers(member, format!("{at}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, format!("{at}/{index}"), found));
        }
        Value::Number(_) | Value::Null => {
            found.insert(at);
        }
        Value::Bool(_) | Value::String(_) => {}
    }
}

/// The charts are drawn: each has room, as many marks as there are values, and lines that lead somewhere.
fn assert_charts(browser: &mut Browser, document: &Value) {
    let read = "[...document.querySelectorAll('svg[data-chart]')].map(chart => { \
                const box = chart.getBoundingClientRect(); \
                const bars = [...chart.querySelectorAll('.bar')]; \
                return {name: chart.dataset.chart, wide: box.width > 200, high: box.height > 30, \
                points: [...chart.querySelectorAll('.point')].filter(point => point.getBoundingClientRect().width > 0).length, \
                line: [...chart.querySelectorAll('.line')].reduce((sum, line) => sum + line.getTotalLength(), 0) > 0, \
                bars: bars.length, drawn: bars.filter(bar => bar.getBoundingClientRect().width > 0).length}; })";
    let charts = browser.value(read);
    let mut seen: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for chart in charts.as_array().expect("charts") {
        assert_eq!([&chart["wide"], &chart["high"]], [true, true], "{chart}");
        let name = chart["name"].as_str().expect("a name");
        let counts = seen.entry(name.to_owned()).or_default();
        for (count, key) in counts.iter_mut().zip(["points", "bars", "drawn"]) {
            *count += chart[key].as_u64().expect("a count");
        }
        assert!(
            !name.starts_with("trend") || items(document, "trend").len() < 2 || chart["line"] == true,
            "{chart}"
        );
    }
    let days = items(document, "trend").len() as u64;
    let mvpds = shown(document);
    let rates =
        mvpds.iter().flat_map(|mvpd| [&mvpd["authentication_conversion"], &mvpd["authorization_conversion"]]);
    let drawn = rates.filter(|rate| rate.as_f64().is_some_and(|rate| rate > 0.0)).count() as u64;
    let failures = items(document, "failures").len().min(15) as u64;
    let mut expected: BTreeMap<String, [u64; 3]> = ["authentications", "authorizations", "play_requests"]
        .into_iter()
        .map(|name| (format!("trend-successful_{name}"), [days, 0, 0]))
        .collect();
    expected.insert("trend-unique_users".to_owned(), [days, 0, 0]);
    if !mvpds.is_empty() {
        expected.insert("conversion".to_owned(), [0, 2 * mvpds.len() as u64, drawn]);
    }
    if failures > 0 {
        expected.insert("failures".to_owned(), [0, failures, failures]);
    }
    assert_eq!(seen, expected);
}

/// The MVPDs that stand by themselves.
fn shown(document: &Value) -> &[Value] {
    let all = items(document, "mvpds");
    if document["others"].is_null() { all } else { &all[..12] }
}

fn items<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().expect("a list")
}

/// The widths of screens at which every figure must be whole, and that of a sheet of paper on its side.
const WIDTHS: [u32; 4] = [1400, 1100, 400, PHONE];
const SHEET: u32 = 1015;

/// No figure is cut, covered, or runs into its neighbour, on any screen and on paper: of a part of a number nobody sees that it
/// is one.
fn assert_nothing_clipped(browser: &mut Browser) {
    // The folded figures too.
    browser.value("document.querySelectorAll('details').forEach(details => details.open = true)");
    let read = "(() => { const wrong = []; const range = document.createRange(); \
        const say = (what, element) => wrong.push(what + ': ' + element.textContent.slice(0, 40)); \
        if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page scrolls sideways'); \
        for (const frame of document.querySelectorAll('.frame')) \
          if (frame.scrollWidth > frame.clientWidth) say('a table scrolls sideways', frame.querySelector('caption')); \
        for (const element of document.querySelectorAll('td[data-json], dd[data-json]')) { \
          if (element.scrollWidth > element.clientWidth + 1) say('cut', element); \
          range.selectNodeContents(element); \
          const text = range.getBoundingClientRect(), box = element.getBoundingClientRect(); \
          if (text.width == 0 || text.left < box.left - .5 || text.right > box.right + .5) say('beside its cell', element); \
          if (box.left < -.5 || box.right > innerWidth + .5) say('beside the page', element); } \
        for (const text of document.querySelectorAll('svg[data-chart] > text')) { \
          const box = text.getBoundingClientRect(), chart = text.ownerSVGElement.getBoundingClientRect(); \
          if (box.left < chart.left - 1 || box.right > chart.right + 1) say('cut in a chart', text); } \
        return wrong.slice(0, 5); })()";
    for width in WIDTHS {
        browser.resize(width, 900);
        assert_eq!(browser.value(read), json!([]), "{width} pixels");
    }
    browser.resize(SHEET, 700);
    browser.emulate_media("print");
    assert_eq!(browser.value(read), json!([]), "on paper");
    browser.emulate_media("");
    browser.value("document.querySelectorAll('details').forEach(details => details.open = false)");
    browser.resize(1280, 900);
}

/// Everything that the page of a report promises; how many sheets of paper it takes.
pub(crate) fn assert_page(file: &Path, document: &Value) -> usize {
    let mut browser = opened(file);
    assert_numbers(&mut browser, document);
    assert_charts(&mut browser, document);
    assert_nothing_clipped(&mut browser);
    let names = shown(document).iter().map(|mvpd| mvpd["mvpd"].as_str().expect("a name"));
    for name in names.filter(|name| name.len() < 40 && !name.is_empty()) {
        // The browser gives back what the page says; characters that turn the direction were replaced.
        let whole = json!(name.replace('\u{202E}', "\u{FFFD}"));
        let heads =
            format!("[...document.querySelectorAll('tbody th')].some(head => head.textContent === {whole})");
        assert_eq!(browser.value(&heads), true, "{name:?}");
    }
    sheets_of_paper(&browser.printed())
}

/// The same of a report that no buffer stands behind.
fn assert_page_of(report: &Report, name: &str) -> usize {
    assert_page(&page_of(report, name), &serde_json::to_value(report).expect("a document"))
}

#[test]
fn the_page_of_a_month_shows_the_numbers_of_its_document() {
    let sheets = assert_page_of(&sample::report(31, 5), "month");
    assert!((4..=10).contains(&sheets), "{sheets} sheets of paper");
}

#[test]
fn a_page_takes_two_hundred_mvpds_and_four_hundred_days_with_hostile_names() {
    let sheets = assert_page_of(&sample::report(400, 200), "year");
    assert!((4..=12).contains(&sheets), "{sheets} sheets of paper");
}

#[test]
fn billions_are_whole_on_every_screen() {
    let mut report = sample::report(31, 9);
    for figures in
        [&mut report.total].into_iter().chain(report.mvpds.iter_mut().map(|each| &mut each.figures))
    {
        figures.events = [Some(9_876_543_210); 18];
        figures.unique_users = Some(1_234_567_890);
    }
    assert_page_of(&report, "billions");
}

#[test]
fn a_page_of_one_day_and_one_of_nothing_are_pages_too() {
    assert_page_of(&sample::report(1, 9), "day");
    let sheets = assert_page_of(&sample::nothing(), "nothing");
    assert!((1..=4).contains(&sheets), "{sheets} sheets of paper");
}

#[test]
fn the_page_that_the_program_writes_shows_the_numbers_that_it_prints() {
    let program = Program::new();
    let kinds = ["authn_requested", "authn_ok", "authz_requested", "authz_failed", "play_requested"];
    let line = |number: usize| {
        let fields = json!({
            "occurred_at": format!("2025-10-{:02}T{:02}:30:00Z", 1 + number % 30, number % 24),
            "event": kinds[number % kinds.len()], "requestor_id": "REF30", "mvpd": sample::HOSTILE[number / 5 % 5],
            "mvpd_user_id": format!("u{}", number % 17), "authz_error_type": "noAuthZ", "device_type": sample::HOSTILE[1],
        });
        format!("{fields}\n")
    };
    program.write("events.ndjson", &(0..300).map(line).collect::<String>());
    let (events, file) = (program.path("events.ndjson"), program.path("report.html"));
    assert_eq!(program.run(&["ingest", events.to_str().expect("UTF-8")]).code, 0);
    for period in ["2025-10", "2025-10-07"] {
        let path = file.to_str().expect("UTF-8");
        let args = ["report", "--period", period, "--by", "mvpd", "--by", "device_type", "--html", path];
        let (code, document) = program.json(&args);
        assert_eq!(
            (code, document["mvpds"].as_array().is_some_and(|mvpds| mvpds.len() > 2)),
            (0, true),
            "{document}"
        );
        assert_page(&file, &document);
    }
    let folder = program.path("");
    let refused = program.run(&["report", "--period", "2025-10", "--html", folder.to_str().expect("UTF-8")]);
    assert!(refused.code == 1 && refused.err.contains("cannot write"), "{refused:?}");
}

#[test]
fn the_page_of_a_sheet_has_every_event_and_evar_to_tick_off() {
    let program = Program::bare();
    let path = program.path("sheet.html");
    let sheet = path.to_str().expect("UTF-8");
    assert_eq!(program.run_bare(&["suite", "sheet", "--out", sheet]).code, 0);
    let mut browser = opened(&path);
    let read = |browser: &mut Browser, first: &str| {
        let cells = format!(
            "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].slice(0, 2).map(cell => cell.textContent))\
             .filter(cells => cells[0].match(/^{first}[0-9]+$/))"
        );
        browser.value(&cells)
    };
    let events = EventKind::ALL.map(|kind| json!([format!("event{}", kind.slot()), kind.label()]));
    assert_eq!(read(&mut browser, "event"), json!(events));
    let evars: Vec<Value> = (1..)
        .zip(Property::reported())
        .map(|(number, property)| json!([format!("eVar{number}"), property.label()]))
        .collect();
    assert_eq!(read(&mut browser, "eVar"), json!(evars));
    let unticked = "[...document.querySelectorAll('tbody tr')].filter(row => !row.querySelector('input[type=checkbox][aria-label]')).length";
    assert_eq!(browser.value(unticked), 0);
    let sheets = sheets_of_paper(&browser.printed());
    assert!((3..=8).contains(&sheets), "{sheets} sheets of paper");
}

#[test]
fn the_checks_of_a_page_see_what_they_look_for() {
    let program = Program::bare();
    let body = "<script>console.error('seen')</script><img src=\"http://127.0.0.1:9/x.png\">\
                <table><tr><td data-json=\"/x\" data-value=\"2\">2</td></tr></table>";
    program.write("open.html", &format!("<!DOCTYPE html><title>x</title>{body}"));
    let mut browser = Browser::start();
    let url = browser.open(&program.path("open.html"));
    assert_eq!(browser.requests(), [url.as_str(), "http://127.0.0.1:9/x.png"]);
    assert!(browser.stopped_by_policy() == 0 && !browser.complaints().is_empty());
    // The policy of a page stops both, and says so.
    program.write("closed.html", &document("x", "", &maud::PreEscaped(body.to_owned())));
    browser.open(&program.path("closed.html"));
    assert_eq!(browser.stopped_by_policy(), 1);
    let seen = browser.complaints().iter().any(|complaint| complaint.to_string().contains("seen"));
    assert!(!seen && browser.complaints().len() >= 2, "{:?}", browser.complaints());
    assert_numbers(&mut browser, &json!({"x": 2}));
    for wrong in [json!({"x": 3}), json!({"x": 2, "y": 1})] {
        let held = std::panic::catch_unwind(AssertUnwindSafe(|| assert_numbers(&mut browser, &wrong)));
        assert!(held.is_err(), "{wrong}");
    }
}
