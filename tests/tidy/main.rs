//! The rules of the house that a program can check: who may import whom, where things may stand, names and sizes.
//!
//! ```text
//! 4  cli
//! 3  ingest  drain  workers  backfill  schedule  explain  serve  report  onboarding  reconcile
//! 2  buffer  postgres  collection  analytics  esm  web  whole_file
//! 1  readers  mapping  encode  html
//! 0  event  hit  suite  word  harmless  confirmation  delivery  job  config  clock  meter
//! -  sandbox      imports floor 0; imported by cli and tests only
//! ```

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// A room and the floor that it stands on.
const FLOORS: [(&str, u8); 33] = [
    ("event", 0),
    ("hit", 0),
    ("suite", 0),
    ("word", 0),
    ("harmless", 0),
    ("confirmation", 0),
    ("delivery", 0),
    ("job", 0),
    ("config", 0),
    ("clock", 0),
    ("meter", 0),
    ("readers", 1),
    ("mapping", 1),
    ("encode", 1),
    ("html", 1),
    ("buffer", 2),
    ("postgres", 2),
    ("collection", 2),
    ("analytics", 2),
    ("esm", 2),
    ("web", 2),
    ("whole_file", 2),
    ("ingest", 3),
    ("drain", 3),
    ("workers", 3),
    ("backfill", 3),
    ("schedule", 3),
    ("explain", 3),
    ("onboarding", 3),
    ("serve", 3),
    ("report", 3),
    ("reconcile", 3),
    ("cli", 4),
];
/// The rooms that may import one of their own floor: the schedule drives the drain, the server hands over to
/// ingest, workers go by the rules of the drain, a buffer in a database stores what the one in a file does, a backfill loads by the one and sends by the other, the clients of Adobe's interfaces share what they have in
/// common, and one room writes the files of all.
const MATES: [(&str, &str); 13] = [
    ("schedule", "drain"),
    ("serve", "ingest"),
    ("workers", "drain"),
    ("postgres", "buffer"),
    ("backfill", "ingest"),
    ("backfill", "drain"),
    ("collection", "web"),
    ("analytics", "web"),
    ("esm", "web"),
    ("postgres", "web"),
    ("buffer", "whole_file"),
    ("postgres", "whole_file"),
    ("esm", "whole_file"),
];
/// The rooms that do not know one that stands below them: what the buffer must know of an event is handed in.
const STRANGERS: [(&str, &str); 2] = [("buffer", "mapping"), ("buffer", "encode")];
/// What may stand only in files whose path begins so.
const FENCES: [(&str, &[&str]); 16] = [
    ("rusqlite::", &["src/buffer/"]),
    ("tokio_postgres::", &["src/postgres/"]),
    ("httparse::", &["src/collection/"]),
    ("hyper::", &["src/sandbox/", "src/serve/"]),
    ("hyper_util::", &["src/sandbox/", "src/serve/", "src/web/proxy.rs"]),
    ("rustls::", &["src/collection/", "src/postgres/tls.rs", "src/sandbox/", "src/web/"]),
    ("reqwest::", &["src/analytics/", "src/esm/", "src/web/"]),
    ("clap::", &["src/cli/"]),
    ("indicatif::", &["src/cli/"]),
    ("rust_xlsxwriter::", &["src/onboarding/sheet/"]),
    ("tracing_subscriber::", &["src/cli/log.rs"]),
    ("cron::", &["src/schedule.rs"]),
    ("Utc::now", &["src/clock.rs"]),
    // collection reads the time for a date in Retry-After, against the very clock that the wait is counted by.
    ("SystemTime::now", &["src/clock.rs", "src/collection/connection.rs"]),
    ("io::stdout", &["src/cli/output.rs"]),
    ("println!", &["src/cli/output.rs"]),
];
/// What floors 0 and 1 never see.
const UNSEEN_BELOW_FLOOR_2: [&str; 5] = ["tokio::", "std::fs", "std::env", "fs::File", "async fn"];
/// Names that say nothing of what a file owns.
const EMPTY_NAMES: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "misc", "types", "models", "traits", "prelude"];
/// Lines of a file; tests are left out.
const FILE_LINES_MAX: usize = 500;
/// How long `src` may be without tests. The messages, bounds and records that tell an operator what is wrong took the last
/// seven hundred; what says that nothing was lost, and what no report covers, a hundred; what tells of backfills that were
/// cut off, and of a clock that was ahead, another hundred; what names spoilt inputs, and says why a
/// command failed in part, one and a half; lanes that take any visitor, on threads of their own, two hundred; files as a
/// way of live events, two and a half; what conceals parts of secrets, and refuses an answer to another question, two;
/// a breaker for each suite of a host, what exchanges lack, and secrets known by name, what was saved elsewhere. Maps and
/// contracts of inputs, taking back, tracing, inputs and exports took forty-five hundred, and the page, metrics, doctor, notices and the
/// spool twenty-six. Many workers on PostgreSQL took thirty-six hundred, and
/// what operators cannot do without there, dead and held events, run and serve with its figures, and retention, nine more; metrics of attempts, a look at one event and units that are
/// looked over four; the gate of live files, slices, made IDs and a person's export seven; ESM taken back and people found beside maps four. Suites that change
/// on PostgreSQL took one and a half, and so did keys that files lack and figures that are lower; attempts that are recorded ahead of
/// their lanes there, and buffers that come from another server, two; alarms on
/// PostgreSQL, two, and rates there, two; reports there, five: more than they were given, so this sinks before it rises again.
/// Locks of changed suites, outputs by one door and messages that name what an input is took one and a quarter.
/// Forgetting a person, traces and the look at the host on PostgreSQL took five, taking back there two and a half, and exports and
/// the search of events there three.
/// Identities of values as they are read, rows of change logs, and leftovers of dumps and encodings took three.
/// Sums in ESM reports, hours that come again under another spelling, name or clock, plans of ESM, sources of other programs and URLs
/// with odd signs took eleven.
/// Logs of two hops and of two gateways, wrapped headers, texts of members that name people and causes in messages took three and a
/// quarter.
/// Calls that come again in another form and input, masks that many devices share and answers to another request took two.
/// What was said twice, of terms, decisions on events and suites, gave two and a half back.
/// Totals of ESM reports by any name, reports that are not quite one, and hours that are looked up once took three and three quarters.
/// Comments that had to be read twice, said in more words, and totals among events took a third of one.
const SOURCE_LINES_MAX: usize = 74_830;
/// Where the unit tests of a file begin; they stand at its end.
const TESTS_BEGIN: &str = "\n#[cfg(test)]\nmod tests";

struct Source {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The code without comments and without the unit tests at its end.
    fn code(&self) -> String {
        let code = self.text.split(TESTS_BEGIN).next().unwrap_or("");
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The room that a file of `src` belongs to, where it is one of a room.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (!matches!(room, "main" | "lib")).then_some(room)
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(repository().join(folder)) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.map(|entry| entry.expect("a readable folder")) {
        let name = format!("{folder}/{}", entry.file_name().to_str().expect("a name in UTF-8"));
        if entry.path().is_dir() { found.extend(files_under(&name)) } else { found.push(PathBuf::from(name)) }
    }
    found.sort();
    found
}

fn sources(folder: &str) -> Vec<Source> {
    let rust =
        files_under(folder).into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "rs"));
    rust.map(|path| Source {
        text: fs::read_to_string(repository().join(&path)).expect("a source in UTF-8"),
        path: path.to_str().expect("a path in UTF-8").to_owned(),
    })
    .collect()
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The rooms that a piece of code names after `crate::`.
fn imports(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(first_names_of_group(group)),
            None => rooms.push(identifier(rest)),
        }
    }
    rooms
}

/// The first names of `a::b, c::{d, e}, f}`.
fn first_names_of_group(group: &str) -> Vec<&str> {
    let (mut depth, mut starts) = (0_i32, vec![0]);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let names = starts.into_iter().map(|start| identifier(group[start..].trim_start()));
    names.filter(|name| !name.is_empty()).collect()
}

fn identifier(text: &str) -> &str {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or("")
}

fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

#[test]
fn a_room_imports_only_from_the_floors_below_its_own() {
    let mut violations = Vec::new();
    for source in sources("src") {
        let Some(room) = source.room() else { continue };
        let code = source.code();
        for import in imports(&code).into_iter().filter(|import| *import != room) {
            let is_allowed = match (room, floor_of(room), import, floor_of(import)) {
                ("cli", _, _, _) => true,
                (_, _, "sandbox", _) => false,
                ("sandbox", _, _, below) => below == Some(0),
                (_, Some(0), _, below) => below == Some(0),
                (_, _, _, _) if STRANGERS.contains(&(room, import)) => false,
                (_, Some(own), _, Some(below)) => below < own || MATES.contains(&(room, import)),
                (_, _, _, _) => false,
            };
            if !is_allowed {
                violations.push(format!("{} imports crate::{import}", source.path));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn every_room_has_a_floor() {
    let rooms = sources("src");
    let homeless =
        rooms.iter().filter_map(Source::room).filter(|room| *room != "sandbox" && floor_of(room).is_none());
    assert_none(homeless.map(|room| format!("src/{room} has no floor in tests/tidy")).collect());
}

#[test]
fn what_has_a_fence_stays_behind_it() {
    let mut violations = Vec::new();
    for source in sources("src") {
        let code = source.code();
        for (word, homes) in FENCES {
            let is_home = homes.iter().any(|home| source.path.starts_with(home));
            if !is_home && contains_word(&code, word) {
                violations.push(format!("{}: {word} belongs to {homes:?}", source.path));
            }
        }
        let is_pure = source.room().and_then(floor_of).is_some_and(|floor| floor < 2);
        for word in UNSEEN_BELOW_FLOOR_2 {
            if is_pure && code.contains(word) {
                violations.push(format!("{}: {word} below floor 2", source.path));
            }
        }
    }
    assert_none(violations);
}

/// Whether the word stands in the code, not as the end of a longer name.
fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':')
    })
}

#[test]
fn files_are_short_and_named_for_what_they_own() {
    let mut violations = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let lines = source.text.split(TESTS_BEGIN).next().unwrap_or("").lines().count();
        if lines > FILE_LINES_MAX && !source.path.starts_with("tests/") {
            violations.push(format!("{} has {lines} lines, {FILE_LINES_MAX} are allowed", source.path));
        }
        let named = source.path.split('/').map(|part| part.trim_end_matches(".rs"));
        violations.extend(
            named
                .filter(|part| EMPTY_NAMES.contains(part))
                .map(|part| format!("{}: {part} names no owner", source.path)),
        );
    }
    assert_none(violations);
}

#[test]
fn no_files_import_each_other() {
    let code = |source: Source| Some((circles::module_of(&source.path)?, source.code()));
    let modules = sources("src").into_iter().filter_map(code).collect();
    let found = circles::circles(&modules);
    assert_none(found.iter().map(|circle| format!("{circle:?} import each other")).collect());
}

#[test]
fn a_circle_of_files_is_found_through_groups_paths_and_re_exports() {
    let modules = [
        (vec![], ""),
        (vec!["a"], "mod b;\nmod c;\nmod d;\npub use c::{C, D as E};\n"),
        (vec!["a", "b"], "use super::{E, d::X};\n"),
        (vec!["a", "c"], "fn f() { crate::a::b::g() }\n"),
        (vec!["a", "d"], "use std::fmt;\n"),
    ];
    let own =
        |(path, code): (Vec<&str>, &str)| (path.into_iter().map(str::to_owned).collect(), code.to_owned());
    let found = circles::circles(&modules.into_iter().map(own).collect());
    assert_eq!(found, [["a/b", "a/c"].map(str::to_owned).into()]);
}

#[test]
fn every_place_on_the_map_is_there() {
    let map = fs::read_to_string(repository().join("docs/architecture.md")).expect("the map");
    let quoted = map.split('`').skip(1).step_by(2).filter(|word| !word.contains(['"', ' ', '\n']));
    let places: Vec<&str> = quoted.filter(|word| word.contains('/') && !word.ends_with(".ndjson")).collect();
    assert!(places.len() > 30, "{places:?}");
    let is_there =
        |place: &str| repository().join(place).exists() || repository().join("src").join(place).exists();
    assert_none(places.iter().filter(|place| !is_there(place)).map(|place| format!("no {place}")).collect());
}

/// The house may only grow by a commit that says why.
#[test]
fn the_house_is_no_larger_than_it_must_be() {
    let lines = |source: &Source| source.text.split(TESTS_BEGIN).next().unwrap_or("").lines().count();
    let found: usize = sources("src").iter().map(lines).sum();
    assert!(found <= SOURCE_LINES_MAX, "src has {found} lines without tests, {SOURCE_LINES_MAX} are allowed");
}

/// Fields, variants and methods are documented where their names leave a question; what a room offers always is.
#[test]
fn what_other_rooms_call_is_documented() {
    let kinds = ["fn", "async", "const", "struct", "enum", "trait", "type", "static"];
    let mut violations = Vec::new();
    for source in sources("src") {
        let mut is_documented = false;
        for (number, line) in source.text.lines().enumerate() {
            let item = line.strip_prefix("pub ").and_then(|item| item.split(' ').next());
            if item.is_some_and(|item| kinds.contains(&item)) && !is_documented {
                violations.push(format!("{}:{}: {line}", source.path, number + 1));
            }
            let goes_on = line.starts_with("#[") || line.starts_with(' ') || line.starts_with(')');
            is_documented = line.starts_with("///") || (is_documented && goes_on);
        }
    }
    assert_none(violations);
}

#[test]
fn every_fixture_is_used_by_a_test() {
    let readers: Vec<Source> = ["src", "tests", "benches"].into_iter().flat_map(sources).collect();
    let is_named = |name: &str| readers.iter().any(|source| source.text.contains(name));
    let unused = files_under("fixtures").into_iter().filter(|fixture| {
        let name = fixture.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let mut folders = fixture.ancestors().skip(1).filter_map(Path::to_str);
        let walked = |folder: &str| match folder.strip_prefix("fixtures/") {
            Some(inside) => is_named(folder) || is_named(&format!("(\"{inside}\")")),
            None => false,
        };
        !is_named(name) && !folders.any(walked)
    });
    assert_none(unused.map(|fixture| format!("{} is read by no test", fixture.display())).collect());
}

#[test]
fn every_module_of_the_tests_is_built() {
    let sources = sources("tests/it");
    let main =
        sources.iter().find(|source| source.path == "tests/it/main.rs").expect("the binary of the tests");
    let modules =
        sources.iter().filter_map(|source| source.path.strip_prefix("tests/it/")?.strip_suffix(".rs"));
    let forgotten = modules
        .filter(|module| *module != "main" && !module.contains('/'))
        .filter(|module| !main.text.lines().any(|line| line == format!("mod {module};")));
    assert_none(forgotten.map(|module| format!("tests/it/{module}.rs is not in tests/it/main.rs")).collect());
}

#[test]
fn nothing_is_left_undone_or_tied_to_one_machine() {
    // Put together here, so that this file does not contain them.
    let left = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let skipped = format!("#[{}", "ignore");
    // Where this very clone lies is a place of one machine, wherever that is.
    let machines = ["/home/", "/Users/"].map(|folder| format!("\"{folder}")).into_iter();
    let machines: Vec<String> = machines.chain([env!("CARGO_MANIFEST_DIR").to_owned()]).collect();
    let mut violations = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let is_tidy = source.path == "tests/tidy/main.rs";
        for word in
            left.iter().chain([&skipped]).chain(&machines).filter(|word| source.text.contains(word.as_str()))
        {
            if !is_tidy {
                violations.push(format!("{}: {word}", source.path));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(
        imports("use crate::{buffer::{A, B}, event::C};\ncrate::drain::run()"),
        ["buffer", "event", "drain"]
    );
    assert!(contains_word("use hyper::body", "hyper::") && !contains_word("my_hyper::x", "hyper::"));
    let source =
        Source { path: "src/a.rs".to_owned(), text: "x\n// y\n#[cfg(test)]\nmod tests {}".to_owned() };
    assert_eq!(source.code(), "x");
}
