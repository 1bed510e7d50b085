//! What a running house shows of itself: readiness, broken limits, metrics and the status page, all from the same values.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use passbridge::clock::Clock;
use passbridge::delivery::TroubleKind;
use rusqlite::{Connection, params_from_iter};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pages::browser::Browser;
use crate::program::{Program, Running, lines, send};
use crate::serve::Listening;
use crate::support::{PATIENCE, sandbox};

const HOST: &str = "Host: localhost\r\n";
const TOKEN: &str = "a-token-of-those-who-look";

fn program(serve: &str) -> Program {
    let program = Program::with(&format!(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[ingest]\nmin_free_bytes = 0\n[serve]\nlisten = \"127.0.0.1:0\"\n{serve}"
    ));
    program.ingest(40);
    program
}

fn serve(program: &Program) -> Listening {
    Listening::of(program.command(&["serve"]))
}

fn json_at(server: &Listening, path: &str) -> (u16, Value) {
    let (status, _, text) = server.look(path, HOST);
    (status, serde_json::from_str(&text).expect("JSON"))
}

/// The samples of a text of metrics: name and labels, and the value.
fn samples(text: &str) -> Vec<(String, f64)> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
    };
    samples.map(|line| split(line).expect("a sample")).collect()
}

fn sample(samples: &[(String, f64)], name: &str) -> f64 {
    samples
        .iter()
        .find(|(found, _)| found == name)
        .unwrap_or_else(|| panic!("{name} is missing: {samples:?}"))
        .1
}

#[test]
fn every_view_says_what_status_says() {
    let program = program("");
    let server = serve(&program);
    assert_eq!(json_at(&server, "/readyz"), (200, json!({"status": "ready"})));
    let (status, version) = json_at(&server, "/version");
    assert_eq!((status, &version["version"]), (200, &json!(env!("CARGO_PKG_VERSION"))));
    let buffer = rusqlite::Connection::open(program.path("passbridge.db")).expect("the buffer");
    let schema = buffer.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).expect("a number");
    let built_from = option_env!("PASSBRIDGE_COMMIT").filter(|commit| !commit.is_empty());
    assert_eq!((version["schema"].as_i64(), version["commit"].as_str()), (Some(schema), built_from));
    let told = program.run_bare(&["--version"]).out;
    let commit = version["commit"].as_str().map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    assert_eq!(
        told,
        format!("passbridge {} ({commit}schema {})\n", env!("CARGO_PKG_VERSION"), version["schema"])
    );
    let (_, shown) = json_at(&server, "/status");
    let (_, told) = program.json(&["status"]);
    for key in ["pending", "parked", "dead", "held", "accounting", "dead_by_reason", "runs", "in_doubt"] {
        assert_eq!(shown[key], told[key], "{key}");
    }
    let (status, checks) = json_at(&server, "/check");
    assert_eq!(status, 200, "{checks}");

    let (status, head, text) = server.look("/metrics", HOST);
    assert_eq!(status, 200);
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let found = samples(&text);
    assert_eq!(sample(&found, "passbridge_events{suite=\"\",state=\"pending\"}"), 40.0);
    assert_eq!(sample(&found, "passbridge_events_ingested_total{suite=\"\"}"), 40.0);
    assert_eq!(sample(&found, "passbridge_parked_events"), 40.0);
    // A textfile collector gets the same series.
    let written = program.run(&["status", "--prometheus"]);
    let names =
        |samples: &[(String, f64)]| samples.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(&samples(&written.out)), names(&found));
    server.stop();
}

#[test]
fn a_broken_limit_is_503_at_check_and_nowhere_else() {
    let program = program("[monitor]\nmax_parked = 39\n");
    let server = serve(&program);
    let (status, checks) = json_at(&server, "/check");
    assert_eq!(status, 503);
    let broken: Vec<&Value> =
        checks["checks"].as_array().expect("checks").iter().filter(|check| check["broken"] == true).collect();
    assert_eq!(broken.len(), 1, "{checks}");
    assert_eq!(broken[0]["check"], "max_parked");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(json_at(&server, path).0, 200, "an orchestrator must not restart it for that: {path}");
    }
    let (_, _, text) = server.look("/metrics", HOST);
    assert_eq!(sample(&samples(&text), "passbridge_checks_broken{check=\"max_parked\"}"), 1.0);
    let (_, _, page) = server.look("/", HOST);
    assert!(page.contains("1 limit is broken") && page.contains("max_parked"), "{page}");
    server.stop();
}

#[test]
fn a_disk_without_room_is_not_ready_and_says_so() {
    let program = program("");
    program.write(
        "c.toml",
        "[ingest]\nmin_free_bytes = 9000000000000000000\n[serve]\nlisten = \"127.0.0.1:0\"\n",
    );
    let server = serve(&program);
    let (status, said) = json_at(&server, "/readyz");
    assert_eq!(status, 503);
    assert!(said["status"].as_str().expect("a reason").contains("ingest.min_free_bytes"), "{said}");
    assert_eq!(json_at(&server, "/healthz").0, 200);
    server.stop();
}

#[test]
fn pages_answer_to_their_own_names_only_or_to_whoever_has_a_token() {
    let open = program("hosts = [\"bridge.example\"]\n");
    let server = serve(&open);
    for (headers, expected) in [
        ("Host: bridge.example\r\n", 200),
        ("Host: 127.0.0.1:8090\r\n", 200),
        ("Host: attacker.example\r\n", 421),
    ] {
        for path in ["/", "/status", "/check", "/metrics"] {
            assert_eq!(server.look(path, headers).0, expected, "{path} {headers}");
        }
        assert_eq!(server.look("/readyz", headers).0, 200);
    }
    assert_eq!(server.ask("/metrics", "", b"").status, 405);
    server.stop();

    let guarded = program("pages_tokens_file = \"lookers\"\n");
    guarded.write("lookers", &format!("{TOKEN}\n"));
    let server = serve(&guarded);
    for (headers, expected) in [
        (format!("Host: attacker.example\r\nAuthorization: Bearer {TOKEN}\r\n"), 200),
        (format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}x\r\n"), 401),
        (HOST.to_owned(), 401),
    ] {
        assert_eq!(server.look("/metrics", &headers).0, expected, "{headers}");
    }
    let log = server.stop();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn pages_have_a_listener_of_their_own_where_one_is_named() {
    let program = program("ingest = true\ntokens_file = \"tokens\"\npages_listen = \"127.0.0.1:0\"\n");
    program.write("tokens", &format!("{TOKEN}\n"));
    let server = serve(&program);
    // The first listener takes events and shows nothing.
    assert_eq!(server.look("/metrics", HOST).0, 404);
    for path in ["/healthz", "/readyz", "/version"] {
        assert_eq!(server.look(path, HOST).0, 200, "{path}");
    }
    let posted =
        server.ask("/v1/events", &format!("Authorization: Bearer {TOKEN}\r\n"), lines(41).as_bytes());
    assert_eq!(posted.status, 202);
    server.stop();
    let refused = Program::with("").run(&["serve"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("serve.pages_listen"), "{}", refused.err);
}

#[test]
fn the_status_page_reads_well_in_a_browser_and_brings_itself_up_to_date() {
    let program = program("[delivery]\ngive_up_seconds = 1\nbackoff_base_ms = 5\n");
    // The longest names that there may be, and a host that is down.
    let (long, rsid) = ("R".repeat(60), "s".repeat(40));
    program.write("long.ndjson", &lines(1).replace("REF30", &long).replace("\"e0\"", "\"long\""));
    assert_eq!(program.run(&["ingest", program.path("long.ndjson").to_str().expect("UTF-8")]).code, 0);
    let add =
        ["suite", "add", "--requestor", &long, "--rsid", &rsid, "--collection-url", "http://127.0.0.1:9"];
    assert_eq!(program.run(&add).code, 0);
    assert_eq!(program.run(&["drain"]).code, 4);
    let server = serve(&program);
    let mut browser = Browser::start();
    let url = browser.open_url(format!("http://{}/", server.address()));
    let (_, document) = json_at(&server, "/status");
    let read = "[...document.querySelectorAll('[data-json]')].map(one => [one.dataset.json, one.dataset.value, one.textContent])";
    let figures = browser.value(read);
    let figures = figures.as_array().expect("figures");
    assert!(figures.len() > 20, "{figures:?}");
    for figure in figures {
        let [place, exact, text] = [0, 1, 2].map(|index| figure[index].as_str().expect("text"));
        let expected = document.pointer(place).unwrap_or_else(|| panic!("{place} is not in the document"));
        assert_eq!(&serde_json::from_str::<Value>(exact).expect("a number"), expected, "{place}");
        assert_eq!(text.replace(',', ""), exact, "{place}");
    }
    for (width, height) in [(375, 800), (1400, 900)] {
        browser.resize(width, height);
        let wide = browser.value("document.documentElement.scrollWidth").as_u64().expect("a width");
        assert!(wide <= u64::from(width), "{wide} pixels on a screen of {width}");
        let clipped = "[...document.querySelectorAll('[data-json], dd, td, tbody th')].filter(one => one.scrollWidth > one.clientWidth + 1 && \
                       getComputedStyle(one).display !== 'inline').map(one => one.textContent)";
        assert_eq!(browser.value(clipped), json!([]), "at {width}");
        let hidden = "[...document.querySelectorAll('.frame')].filter(frame => frame.scrollWidth > frame.clientWidth + 1).map(frame => frame.ariaLabel)";
        assert_eq!(browser.value(hidden), json!([]), "no chart has to be scrolled for, at {width}");
        let broken = "[...document.querySelectorAll('td time')].filter(time => time.getClientRects().length > 1).length";
        assert_eq!(browser.value(broken), 0, "a time stands on one line, at {width}");
    }
    assert_eq!(browser.requests(), [url.as_str()], "nothing but the page itself is asked for");

    // What comes in meanwhile appears without a reload, and the page says so where its house is gone.
    program.ingest(60);
    browser.until("document.querySelector('[data-json=\"/pending\"]').dataset.value", &json!("61"));
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
    server.stop();
    browser.until("document.getElementById('stale').hidden", &json!(false));
}

#[test]
fn a_host_that_is_stopped_is_named_once_and_no_suite_of_it_flows() {
    let program =
        program("[delivery]\ngive_up_seconds = 1\nbackoff_base_ms = 5\n[monitor]\nmax_trouble = \"1s\"\n");
    program.suite("http://127.0.0.1:9");
    assert_eq!(program.run(&["drain"]).code, 4);
    let server = serve(&program);
    let page = until("the limit is broken", || {
        let page = server.look("/", HOST).2;
        page.contains("<b>max_trouble (http://127.0.0.1:9)</b>").then_some(page)
    });
    assert!(page.contains("stopped: connect") && !page.contains("flowing"), "{page}");
    assert_eq!(page.matches("cannot connect").count(), 1, "{page}");
    server.stop();
}

#[test]
fn one_dead_or_held_event_can_be_looked_at_and_its_viewer_only_with_a_token() {
    let sandbox = sandbox("failure=\"eVar2 is bad\" only-visitor=u1; malformed only-visitor=u2");
    let program = program("pages_tokens_file = \"lookers\"\n[delivery]\nlanes = 1\n");
    program.write("lookers", &format!("{TOKEN}\n"));
    program.suite(&sandbox.url());
    assert_eq!(program.run(&["suite", "set", "examplersid", "--on-ambiguous", "hold"]).code, 0);
    assert_eq!(program.run(&["drain"]).code, 3);
    let server = serve(&program);
    let bearer = format!("{HOST}Authorization: Bearer {TOKEN}\r\n");
    let (_, document) = program.json(&["status"]);
    assert_eq!(document["held_by_cause"][0]["events"], 1, "{document}");
    let (_, _, page) = server.look("/", &bearer);
    assert!(page.contains("200 without a readable status") && page.contains("eVar2 is bad"), "{page}");
    for (list, key, user, cause) in [
        ("dead-letter", "dead_letters", "u1", "eVar2 is bad"),
        ("held", "held", "u2", "without a readable status"),
    ] {
        let (_, listed) = program.json(&[list, "list"]);
        let seq = &listed[key][0]["seq"];
        assert!(page.contains(&format!("<a href=\"event?seq={seq}\">{seq}</a>")), "{page}");
        let (status, _, masked) = server.look(&format!("/event?seq={seq}"), &bearer);
        assert_eq!(status, 200, "{masked}");
        assert!(
            masked.contains(cause) && masked.contains(&format!("passbridge {list} requeue {seq}")),
            "{masked}"
        );
        assert!(masked.contains("play_requested") && !masked.contains(&format!(">{user}<")), "{masked}");
        let (_, _, whole) = server.look(&format!("/event?seq={seq}&personal"), &bearer);
        assert!(whole.contains(&format!(">{user}<")), "{whole}");
    }
    assert_eq!(server.look("/event?seq=1", &bearer).0, 404, "the first event was delivered");
    assert_eq!(server.look("/event?seq=x", &bearer).0, 400);

    // A browser asks for a password, which is a token; nobody may post by one.
    let basic = |password: &str| {
        format!("{HOST}Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("anybody:{password}")))
    };
    assert_eq!(server.look("/event?seq=2&personal", &basic(TOKEN)).0, 200);
    let (status, head, _) = server.look("/", &basic("a-wrong-password-of-one"));
    assert!(status == 401 && head.contains("www-authenticate: basic realm=\"passbridge\", bearer"), "{head}");
    server.stop();

    // Without tokens whoever is near may look, but at no viewer.
    let config = fs::read_to_string(program.path("c.toml")).expect("a configuration");
    program.write(
        "c.toml",
        &config.replace("pages_tokens_file = \"lookers\"\n", "ingest = true\ntokens_file = \"lookers\"\n"),
    );
    let server = serve(&program);
    assert_eq!(server.look("/event?seq=2", HOST).0, 200);
    assert_eq!(server.look("/event?seq=2&personal", HOST).0, 403);
    assert_eq!(server.ask("/v1/events", &basic(TOKEN), lines(1).as_bytes()).status, 401);
    server.stop();
}

/// The paragraph "Near real time" of docs/operating.md, with seconds in the place of minutes.
#[test]
fn an_event_of_a_house_with_ecids_goes_with_the_first_drain_after_it_was_stored() {
    let sandbox = sandbox("");
    let program = Program::with("[schedule]\ncron = \"* * * * * *\"\n[ingest]\nmin_free_bytes = 0\n");
    let url = sandbox.url();
    let suite = ["suite", "add", "--requestor", "REF30", "--rsid", "examplersid", "--collection-url", &url];
    let ecid = ["--identity", "ecid", "--org-id", "0123456789ABCDEF01234567@AdobeOrg"];
    assert_eq!(program.run(&[&suite[..], &ecid].concat()).code, 0);
    let run = Running::start(program.command(&["run"]));
    run.wait_for_log("started");
    let mut stored_at = Vec::new();
    for number in 0..5_u64 {
        let event = lines(1).replace("\"e0\"", &format!("\"e{number}\""));
        let ecid = "\"visitor_id\":\"12345678901234567890123456789012345678\",\"mvpd\"";
        program.write("event.ndjson", &event.replace("\"mvpd\"", ecid));
        assert_eq!(program.run(&["ingest", program.path("event.ndjson").to_str().expect("UTF-8")]).code, 0);
        stored_at.push(Clock::system().now().nanos());
        assert!(sandbox.wait_accepted(number + 1, PATIENCE));
    }
    send(run.child(), Signal::TERM);
    assert_eq!(run.wait().code, 0);
    // Drains that began after an event was stored, and before the one that took it.
    let passed_over =
        "SELECT count(*) FROM events e JOIN delivered d USING (seq) JOIN runs r ON r.run < d.run
         WHERE e.seq = ?1 AND r.started_at > ?2";
    let buffer = Connection::open(program.path("passbridge.db")).expect("the buffer");
    for (seq, at) in (1_i64..).zip(stored_at) {
        let taken = "SELECT count(*) FROM delivered WHERE seq = ?1";
        let count = |sql, values: &[i64]| {
            buffer.query_row(sql, params_from_iter(values), |row| row.get::<_, i64>(0)).expect("a count")
        };
        assert_eq!([count(taken, &[seq]), count(passed_over, &[seq, at])], [1, 0], "event {seq}");
    }
}

#[test]
fn the_page_of_the_night_shift_has_every_alert_and_every_check_with_what_to_do() {
    let page = text_of("docs/night-shift.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| alert"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.iter().all(|row| row.len() == 4 && row.iter().all(|cell| !cell.is_empty())), "{rows:?}");
    let has = |word: &str| rows.iter().any(|row| row[0].contains(word));
    let rules = text_of("deploy/prometheus/passbridge.rules.yml");
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let (_, report) = program("[monitor]\nmax_silence = \"1d\"\n").json(&["status", "--check"]);
    let checks = report["checks"].as_array().expect("checks").iter().filter_map(|one| one["check"].as_str());
    let more = ["max_trouble", "blocked", "backfill", "inbox"];
    let missing: Vec<&str> = alerts.chain(checks).chain(more).filter(|word| !has(word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    // One sheet of paper.
    assert!(page.lines().count() <= 50, "{} lines", page.lines().count());
}

/// Asks until there is an answer.
fn until<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of metrics in a text, without the endings of counters and histograms.
fn names_in(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit()));
    let endings = ["_bucket", "_total"];
    let of_metric =
        |word: &str| endings.iter().fold(word, |word, ending| word.trim_end_matches(ending)).to_owned();
    words.filter(|word| word.starts_with("passbridge_")).map(of_metric).collect()
}

/// Runs Prometheus' own tool. Where it is missing, the test fails: rules that nobody read are not known to work.
fn promtool(args: &[&str]) {
    let run = Command::new("promtool").args(args).current_dir(file("deploy/prometheus")).output();
    let run =
        run.expect("promtool is missing: install the Debian package prometheus (.ci/run does where it may)");
    assert!(
        run.status.success(),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}

#[test]
fn every_metric_is_documented_and_every_alert_and_panel_uses_metrics_that_exist() {
    // A family without a sample is not in the text of a small house, so the names are those of the source.
    let source = text_of("src/cli/status/metrics.rs");
    // Each is registered by its name and what it means, one text after the other.
    let texts: Vec<&str> = source.split('"').collect();
    let is_name = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let pairs = texts.windows(3).filter(|three| three[1].trim() == "," && !three[2].is_empty());
    let named = pairs.filter(|three| {
        is_name(&three[0]) && three[2].starts_with(|letter: char| !letter.is_ascii_lowercase())
    });
    let known: BTreeSet<String> = named.map(|three| format!("passbridge_{}", three[0])).collect();
    assert!(known.len() > 35, "{known:?}");
    let text = program("").run(&["status", "--prometheus"]).out;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let shown: BTreeSet<String> =
        samples.flat_map(|line| names_in(line.split(['{', ' ']).next().expect("a name"))).collect();
    assert!(shown.len() > 20 && shown.is_subset(&known), "{shown:?}");
    assert_eq!(names_in(&text_of("docs/watching.md")), known, "docs/watching.md");
    for path in ["deploy/prometheus/passbridge.rules.yml", "deploy/grafana/passbridge.json"] {
        let unknown: Vec<_> =
            names_in(&text_of(path)).into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(unknown, Vec::<String>::new(), "{path}");
    }
}

#[test]
fn every_alert_fires_in_its_test_and_has_its_part_of_the_manual() {
    let (rules, manual) = (text_of("deploy/prometheus/passbridge.rules.yml"), text_of("docs/watching.md"));
    let tests = text_of("deploy/prometheus/passbridge.rules.test.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(manual.contains(&format!("\n### {alert}\n")), "{alert} is not in the manual");
        assert!(rules.contains(&format!("page: docs/watching.md#{}\n", alert.to_lowercase())), "{alert}");
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} is not tested");
    }
    // Who is woken reads on a telephone what to do about each kind of trouble and each limit.
    let (_, report) = program("[monitor]\nmax_silence = \"1d\"\n").json(&["status", "--check"]);
    let checks = report["checks"].as_array().expect("checks").iter().filter_map(|one| one["check"].as_str());
    let more = ["max_trouble", "blocked", "backfill", "inbox"];
    for (label, words) in [
        ("kind", TroubleKind::ALL.map(TroubleKind::as_str).to_vec()),
        ("check", checks.chain(more).collect()),
    ] {
        for word in words {
            assert!(rules.contains(&format!("eq $labels.{label} \"{word}\" }}}}")), "{label} {word}");
        }
    }
    // The part of a configuration that the manual shows.
    let shown =
        manual.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = folder.path().join("prometheus.yml");
    fs::write(&path, shown).expect("a file");
    promtool(&["check", "config", "--syntax-only", path.to_str().expect("UTF-8")]);
    promtool(&["check", "rules", "passbridge.rules.yml"]);
    promtool(&["test", "rules", "passbridge.rules.test.yml"]);
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let dashboard: Value = serde_json::from_str(&text_of("deploy/grafana/passbridge.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let expressions: Vec<&str> =
        targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() >= panels.len(), "{expressions:?}");
    // As rules, which Prometheus' tool can check.
    let rules: Vec<Value> = expressions
        .iter()
        .map(|expr| json!({"record": "one", "expr": expr, "labels": {"of": expr}}))
        .collect();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = folder.path().join("rules.json");
    fs::write(&path, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).expect("a file");
    promtool(&["check", "rules", path.to_str().expect("UTF-8")]);
}

#[test]
fn the_published_interface_is_what_the_program_answers() {
    let program = program("ingest = true\ntokens_file = \"tokens\"\n");
    program.write("tokens", &format!("{TOKEN}\n"));
    let server = serve(&program);
    let (status, document) = json_at(&server, "/openapi.json");
    assert_eq!(status, 200);
    let sender = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut paths = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        paths.insert(path.as_str());
        for (method, described) in methods.as_object().expect("methods") {
            let (status, head) = match method.as_str() {
                "post" => (server.ask(path, &sender, lines(1).as_bytes()).status, String::new()),
                _ => {
                    let (status, head, _) = server.look(path, HOST);
                    (status, head)
                }
            };
            let reply = &described["responses"][status.to_string()];
            assert!(reply.is_object(), "{method} {path}: {status} is not in the document");
            let content = reply["content"].as_object().and_then(|content| content.keys().next());
            if let Some(content) = content {
                assert!(head.contains(content.as_str()), "{path}: {content}\n{head}");
            }
        }
        let other = if methods["get"].is_object() {
            server.ask(path, &sender, b"").status
        } else {
            server.look(path, &format!("{HOST}{sender}")).0
        };
        assert_eq!(other, 405, "{path}: a method that is not in the document");
    }
    // Every path of the program is in the document.
    let source = text_of("src/serve/routes.rs");
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix("\"/")?.split_once("\" =>"));
    let routes: BTreeSet<String> = arms.map(|(path, _)| format!("/{path}")).collect();
    assert_eq!(routes.iter().map(String::as_str).collect::<BTreeSet<_>>(), paths);
    // What is promised of a receipt and of a check holds.
    for (path, name) in [("/check", "Check"), ("/version", "")] {
        let (_, found) = json_at(&server, path);
        let required = if name.is_empty() {
            &document["paths"]["/version"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                ["required"]
        } else {
            &document["components"]["schemas"][name]["required"]
        };
        let one = found["checks"].get(0).unwrap_or(&found);
        for key in required.as_array().expect("keys") {
            assert!(one.get(key.as_str().expect("a key")).is_some(), "{path}: {key} is missing in {one}");
        }
    }
    server.stop();
}

#[test]
fn what_a_process_does_is_counted_by_host_word_and_status_alone() {
    let sandbox = sandbox("429 first=3");
    let program = program("ingest = true\ntokens_file = \"tokens\"\n");
    program.write("tokens", &format!("{TOKEN}\n"));
    program.suite(&sandbox.url());
    // A cause of death that each event has for itself has one series all the same.
    let countless = |number: u32| {
        let line = lines(1).replace("\"e0\"", &format!("\"many{number}\""));
        line.replace("\"mvpd\"", &format!("\"count\":{number},\"mvpd\""))
    };
    program.write("counts.ndjson", &[200, 300].map(countless).concat());
    assert_eq!(program.run(&["ingest", program.path("counts.ndjson").to_str().expect("UTF-8")]).code, 0);
    let config = fs::read_to_string(program.path("c.toml")).expect("a configuration");
    let quick = "\n[delivery]\nlanes = 4\nbackoff_base_ms = 5\n";
    program.write("c.toml", &(config.replace("0 0 1 1 *", "* * * * * *") + quick));
    let server = Listening::start(&program);
    for (token, expected) in [(TOKEN, 202), ("another-token-of-others", 401)] {
        let reply =
            server.ask("/v1/events", &format!("Authorization: Bearer {token}\r\n"), lines(1).as_bytes());
        assert_eq!(reply.status, expected);
    }
    let delivered =
        format!("passbridge_attempts_total{{host=\"{}\",outcome=\"delivered\",cause=\"\"}}", sandbox.url());
    let found = until("40 hits are delivered", || {
        let found = samples(&server.look("/metrics", HOST).2);
        let is_done = found.iter().any(|(name, value)| *name == delivered && *value == 40.0);
        let is_counted = found.iter().any(|(name, _)| name.starts_with("passbridge_dead_letters"));
        (is_done && is_counted).then_some(found)
    });
    let of_host = |name: &str, more: &str| {
        sample(&found, &format!("passbridge_{name}{{{more}host=\"{}\"}}", sandbox.url()))
    };
    let throttled =
        delivered.replace("delivered", "not_received").replace("cause=\"\"", "cause=\"throttled\"");
    assert_eq!(sample(&found, &throttled), 3.0);
    assert_eq!(of_host("attempt_seconds_count", ""), 43.0);
    assert_eq!(of_host("lanes_busy", ""), 0.0);
    assert_eq!(sample(&found, "passbridge_dead_letters{reason=\"count_too_large\"}"), 2.0);
    for status in ["202", "401"] {
        let requests =
            format!("passbridge_collector_requests_total{{path=\"/v1/events\",status=\"{status}\"}}");
        assert_eq!(sample(&found, &requests), 1.0);
    }
    assert_eq!(sample(&found, "passbridge_collector_group_submissions_count"), 1.0);
    assert_eq!(sample(&found, "passbridge_collector_waiting"), 0.0);
    server.stop();
}
