//! What an exchange lacks, so that events lack a viewer, a device, a time or a count: each is told with its first line and counted.

use super::*;

/// What a log gives after a change to each of its exchanges. The log has a login, two authorizations and a logout.
fn changed_log(change: impl Fn(usize, &mut Value)) -> Read {
    let lines = text("rest-v2/login-authorize-logout.ndjson");
    let lines = lines.lines().enumerate().map(|(index, line)| {
        let mut exchange: Value = serde_json::from_str(line).expect("JSON");
        change(index + 1, &mut exchange);
        format!("{exchange}\n")
    });
    read_text("log.ndjson", lines.collect::<String>())
}

/// What a log gives after a change to the text of the answers of some lines.
fn answered(lines: &[usize], change: impl Fn(&str) -> String) -> Read {
    changed_log(|line, exchange| {
        if lines.contains(&line) {
            let body = &mut exchange["response"]["body"];
            let new = change(body.as_str().expect("a body"));
            assert_ne!(*body, json!(new), "nothing was changed");
            *body = json!(new);
        }
    })
}

fn replaced(lines: &[usize], old: &str, new: &str) -> Read {
    answered(lines, |body| body.replace(old, new))
}

impl Read {
    /// How many exchanges the document counts under a key, and the first line that the only note names.
    fn gap(&self, key: &str, note: &str) -> (u64, u64) {
        let document = serde_json::to_value(self.exchanges()).expect("JSON");
        let notes: Vec<String> = self.summary.warnings.iter().map(ToString::to_string).collect();
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:#?}");
        let line = notes[0].split(':').nth(1).and_then(|line| line.parse().ok());
        (document[key].as_u64().unwrap_or(0), line.unwrap_or_else(|| panic!("no line: {notes:?}")))
    }

    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["event"].as_str().expect("a kind")).collect()
    }

    fn rules(&self) -> Vec<(u8, u64)> {
        self.exchanges().rules.iter().map(|((_, rule), (_, events))| (rule.number, *events)).collect()
    }

    fn assert_silent(&self) {
        assert_eq!(self.summary.warnings, [], "an exchange that lacks nothing is told");
    }
}

#[test]
fn exchanges_without_a_device_identifier_are_told_because_their_events_have_no_user() {
    let header = "AP-Device-Identifier";
    changed_log(|_, _| ()).assert_silent();
    for identifier in [Value::Null, json!("***"), json!("fingerprint "), json!("fingerprint bnVsbA==")] {
        let read = changed_log(|_, exchange| {
            if let Some(value) = exchange["request"]["headers"].get_mut(header) {
                *value = identifier.clone();
            }
        });
        assert_eq!((read.events.len(), read.with("mvpd_user_id")), (10, 3), "{identifier}");
        assert_eq!(read.gap("without_device", header), (4, 1), "{identifier}");
    }
    let read = changed_log(|line, exchange| {
        if line > 4 {
            exchange["request"]["headers"] = json!({});
        }
    });
    assert_eq!(read.gap("without_device", header), (3, 5));
    // What Adobe refused before it looked counts nothing, and so lacks nothing.
    let read = changed_log(|line, exchange| {
        if line > 4 {
            exchange["request"]["headers"] = json!({});
            exchange["response"] = json!({"status": 401, "body": ""});
        }
    });
    assert_eq!((read.events.len(), read.summary.warnings.len()), (4, 0), "{:?}", read.summary.warnings);
}

#[test]
fn what_exchanges_lack_is_in_the_report_of_the_program_and_in_a_receipt() {
    let program = Program::with(
        "[schedule]\ncron = \"0 0 1 1 *\"\n[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n",
    );
    program.write("tokens", "a-token-of-the-senders\n");
    let log = changed(authorize(), "/request/headers", json!({"AP-Device-Identifier": "***"})).to_string();
    program.write("log.ndjson", &log);
    let path = program.path("log.ndjson");
    let path = path.to_str().expect("UTF-8");
    let told = "1 exchanges have no AP-Device-Identifier that names a device";
    let (code, document) = program.json(&["ingest", path]);
    assert_eq!((code, &document["exchanges"]["without_device"]), (0, &json!(1)), "{document}");
    let done = program.run(&["ingest", "--dry-run", "--summary", path]);
    assert!(done.err.contains(&format!("log.ndjson:1: {told}")), "{done:?}");
    let server = Listening::start(&program);
    let headers = "Authorization: Bearer a-token-of-the-senders\r\n";
    let other = log.replace("08:00:01", "08:00:02");
    let reply = server.ask("/v1/exchanges", headers, other.as_bytes());
    let notes = reply.document["notes"].to_string();
    assert!(notes.contains(&format!("line 1: {told}")), "{reply:?}");
    server.kill();
}

#[test]
fn an_action_that_no_rule_knows_is_told_and_counts_no_failure() {
    for action in ["\"actionName\": \"brandNew\"", "\"actionName\": \"Complete\"", "\"a\": 1"] {
        let read = replaced(&[7], "\"actionName\": \"complete\"", action);
        assert_eq!(read.kinds().last(), Some(&"logout_requested"), "{action}");
        assert_eq!(read.gap("unknown_actions", "actionName"), (1, 7), "{action}");
        assert!(read.rules().contains(&(44, 1)), "{:?}", read.rules());
    }
    for action in ["\"actionName\": \"somethingNew\"", "\"actionName\": \"Authenticate\"", "\"a\": 1"] {
        let read = replaced(&[1], "\"actionName\": \"authenticate\"", action);
        assert_eq!((read.events.len(), read.kinds()[0]), (9, "authn_ok"), "{action}: {:?}", read.kinds());
        assert_eq!(read.gap("unknown_actions", "actionName"), (1, 1), "{action}");
        assert!(read.rules().contains(&(44, 0)), "{:?}", read.rules());
    }
    let partner = text("rest-v2/partner-sso-apple.ndjson").replace("partner_profile\\\"", "partner_new\\\"");
    let read = read_text("log.ndjson", partner);
    assert_eq!(read.gap("unknown_actions", "actionName"), (1, 1), "{:?}", read.rules());
}

#[test]
fn a_logout_that_an_earlier_release_took_for_failed_is_not_requested_once_more() {
    // That release derived it under another rule, whose number is a part of the identity of its events.
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("passbridge.db");
    fs::copy(fixture::path("buffers/logout-of-unknown-action.sqlite"), &path).expect("a copy");
    let clock = Clock::fixed(Instant::from_nanos(NOW_NANOS));
    let buffer = Buffer::open(&buffer_options(path, &clock)).expect("it opens");
    // As after the days for which exchanges are remembered.
    let database = rusqlite::Connection::open(buffer.path()).expect("the database opens");
    database.execute("DELETE FROM source_memory", []).expect("it forgets");
    let line = text("rest-v2/logout-variants.ndjson").lines().nth(2).expect("a logout").to_owned();
    let log = dir.path().join("log.ndjson");
    fs::write(&log, line.replace("invalid", "brandNew")).expect("a log");
    let summary = load(&buffer, &[InputPath::new(&log)], &options(dir.path()), &mut ()).expect("an ingest");
    assert_eq!((summary.total.read, summary.total.stored, summary.total.duplicates), (1, 0, 1));
}

#[test]
fn a_profile_without_a_user_id_that_can_be_used_is_told() {
    for (name, user_id) in [
        ("userID", json!({"value": "abc", "state": "enc"})),
        ("userID", json!({"value": {"a": 1}})),
        ("userID", json!({"value": "***", "state": "plain"})),
        ("userId", json!({"value": "viewer-7", "state": "plain"})),
        ("other", Value::Null),
    ] {
        let read = answered(&[3, 4], |body| {
            let mut answer: Value = serde_json::from_str(body).expect("JSON");
            answer["profiles"]["Cablevision"]["attributes"] = json!({ name: user_id.clone() });
            answer.to_string()
        });
        assert_eq!(read.events.len(), 10, "{name} {user_id}: {:?}", read.summary.warnings);
        assert_eq!(read.gap("missing_user_ids", "attributes.userID"), (2, 3), "{name} {user_id}");
    }
}

#[test]
fn a_profile_or_a_logout_that_stands_twice_in_an_answer_is_never_chosen_from() {
    for (line, map) in [(3, "profiles"), (7, "logouts")] {
        let read = answered(&[line], |body| {
            let (before, members) = body.split_once("\"Cablevision\": ").expect("an MVPD");
            let member = &members[..members.len() - 2];
            format!("{before}\"Cablevision\": {member}, \"Cablevision\": {member}}}}}")
        });
        let rejected = read.rejected();
        assert!(rejected.len() == 1 && rejected[0].0 == line as u64, "{map}: {rejected:?}");
        assert!(rejected[0].1.contains("cannot be read from its column"), "{map}: {rejected:?}");
    }
}

#[test]
fn device_information_is_read_in_any_case_and_never_chosen_from_two() {
    let told = |json: &str| {
        let header = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, json);
        let read = changed(authorize(), "/request/headers/X-Device-Info", json!(header)).to_string();
        read_text("log.ndjson", read)
    };
    for json in [r#"{"MODEL":"AFTM","OSNAME":"Android"}"#, r#"{"Model":"AFTM","os_name":"Android"}"#] {
        let read = told(json);
        assert_eq!(read.events[0]["device_model"], json!("AFTM"), "{json}");
        assert_eq!(read.events[0]["device_os_name"], json!("Android"), "{json}");
        read.assert_silent();
        let plain = changed(authorize(), "/request/headers/X-Device-Info", json!(json)).to_string();
        let read = read_text("log.ndjson", plain);
        assert_eq!(read.events[0]["device_model"], json!("AFTM"), "a logger decoded it: {json}");
        read.assert_silent();
    }
    for json in [r#"{"model":"AFTM","model":"OTHER"}"#, r#"{"model":"AFTM","Model":"OTHER"}"#] {
        let read = told(json);
        assert_eq!((read.events.len(), read.with("device_model")), (2, 0), "{json}");
        assert_eq!(read.gap("broken_device_infos", "X-Device-Info does not decode"), (1, 1), "{json}");
    }
}

#[test]
fn a_resource_without_a_decision_is_told_and_counts_as_nothing() {
    let exchange = |resources: Value, decided: &[&str], kind: &str| {
        let decision = |resource: &&str| json!({"resource": resource, "mvpd": "M", "source": "mvpd", "authorized": true, "token": {}});
        let answer = json!({"decisions": decided.iter().map(decision).collect::<Vec<_>>()}).to_string();
        let url = format!("https://h/api/v2/REF30/decisions/{kind}/M");
        let asked = changed(authorize(), "/request/body", json!(json!({"resources": resources}).to_string()));
        let answered = changed(changed(asked, "/request/url", json!(url)), "/response/status", json!(200));
        read_text("log.ndjson", changed(answered, "/response/body", json!(answer)).to_string())
    };
    let read = exchange(json!(["A"]), &[], "authorize");
    assert_eq!(read.gap("missing_decisions", "decision"), (1, 1));
    assert_eq!((read.events.len(), read.rules()), (0, vec![(45, 0)]));
    let read = exchange(json!(["A", "B"]), &["A"], "authorize");
    assert_eq!(read.gap("missing_decisions", "decision"), (1, 1));
    assert_eq!((read.events.len(), read.rules()), (3, vec![(27, 3)]));
    let read = exchange(json!(["A", "B"]), &["A"], "preauthorize");
    assert_eq!(read.gap("missing_decisions", "decision"), (1, 1));
    for resources in [json!(["A"]), json!(["A", "A"])] {
        exchange(resources, &["A"], "authorize").assert_silent();
    }
    let read = exchange(json!(["A"]), &["A", "B"], "authorize");
    assert_eq!(
        read.gap(
            "unasked_decisions",
            "about a resource, an MVPD or a requestor that the request does not name"
        ),
        (1, 1)
    );
    assert_eq!(read.events.len(), 6);
    for (resources, decided) in [(json!(["A"]), ["A", "A"]), (json!(["A", "B"]), ["B", "B"])] {
        for kind in ["authorize", "preauthorize"] {
            let read = exchange(resources.clone(), &decided, kind);
            let [(1, reason)] = &read.rejected()[..] else { panic!("{:?}", read.summary.warnings) };
            assert!(reason.contains("has two decisions on one resource"), "{reason}");
            assert_eq!(read.events.len(), 0);
        }
    }
}

#[test]
fn an_instant_before_2000_in_an_answer_is_no_instant_and_is_told() {
    for (old, new) in [
        // Seconds: such a decision is older than its token, so it would count as one of the cache.
        (
            "\"notBefore\": 1794297670100, \"notAfter\": 1794301270100",
            "\"notBefore\": 1794297670, \"notAfter\": 1794301270",
        ),
        ("1794297670100", "\"2026-11-10T08:01:10.1Z\""),
        ("1794301270100", "0"),
    ] {
        let read = replaced(&[5], old, new);
        assert_eq!(read.events.len(), 10, "{new}: {:?}", read.kinds());
        let found = read.events.iter().find(|event| event["event"] == "authz_ok").expect("an authorization");
        assert_eq!(found["ttl"], Value::Null, "{new}");
        assert_eq!(read.gap("unread_instants", "notBefore or notAfter"), (1, 5), "{new}");
    }
    let read = replaced(
        &[3, 4],
        "1794297660000, \"notAfter\": 1794384060000",
        "1794297660, \"notAfter\": 1794384060",
    );
    assert_eq!((read.events.len(), read.with("mvpd_user_id")), (10, 9));
    assert_eq!(read.gap("unread_instants", "notBefore or notAfter"), (2, 3));
    let read = replaced(&[1], "\"1794297600000\"", "\"1794297600\"");
    assert_eq!((read.events.len(), read.gap("unread_instants", "notBefore or notAfter")), (10, (1, 1)));
    // Null and no member at all say that there is no such instant.
    replaced(&[5], "\"notAfter\": 1794301270100", "\"notAfter\": null").assert_silent();
    replaced(&[5], "\"notAfter\": 1794301270100, ", "").assert_silent();
}

/// The logins of three viewers in the same minute, each on a device of its own, with these codes and session IDs.
fn three_logins(code: impl Fn(usize) -> String, session: impl Fn(usize) -> String, more: &[Value]) -> Read {
    let fixture = text("rest-v2/login-authorize-logout.ndjson");
    let own = fixture.lines().map(str::to_owned).chain(more.iter().map(Value::to_string));
    let lines: Vec<String> = own.collect();
    let of_viewer = |viewer: usize| {
        let device = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, viewer.to_string());
        let log = lines.join("\n").replace("K7Q2ZP", &code(viewer)).replace("s-1", &session(viewer));
        let log = log.replace("viewer-7", &viewer.to_string()).replace("bGl2aW5nLXJvb20tMQ==", &device);
        log.replace(".000Z", &format!(".{viewer}00Z"))
    };
    read_text("log.ndjson", [1, 2, 3].map(of_viewer).join("\n"))
}

/// How many events name a device and its own viewer.
fn joined(read: &Read) -> usize {
    let pair = |event: &Value| {
        Some((event["device_id"].as_str()?.to_owned(), event["mvpd_user_id"].as_str()?.to_owned()))
    };
    let pairs: Vec<_> = read.events.iter().filter_map(pair).collect();
    for (device, viewer) in &pairs {
        let is_other = |(other, owner): &&(String, String)| (other == device) != (owner == viewer);
        assert_eq!(pairs.iter().find(is_other), None, "a viewer is joined with another device");
    }
    pairs.len()
}

#[test]
fn a_masked_code_joins_nobody_and_each_of_its_logins_counts() {
    let expected = three_logins(|viewer| format!("K7Q2Z{viewer}"), |viewer| format!("s-{viewer}"), &[]);
    let sorted = |read: &Read| {
        let mut kinds: Vec<String> = read.kinds().into_iter().map(str::to_owned).collect();
        kinds.sort();
        kinds
    };
    assert_eq!((expected.events.len(), joined(&expected)), (30, 27));
    expected.assert_silent();
    for mask in [
        "***",
        "[REDACTED]",
        "REDACTED",
        "{code}",
        "%7Bcode%7D",
        "<code>",
        ":code",
        "xxxxxx",
        "K7****",
        "K7…",
        "undefined",
        "null",
        "0",
        "${code}",
    ] {
        let read = three_logins(|_| mask.to_owned(), |_| mask.to_owned(), &[]);
        assert_eq!((sorted(&read), joined(&read)), (sorted(&expected), 0), "{mask}");
        assert_eq!(read.gap("without_code", "have no code that tells"), (12, 1), "{mask}");
    }
    // A code is enough to join a login, and so is a session ID, as far as answers have it.
    let read = three_logins(|viewer| format!("K7Q2Z{viewer}"), |_| "***".to_owned(), &[]);
    assert_eq!((sorted(&read), joined(&read)), (sorted(&expected), 27));
    read.assert_silent();
}

#[test]
fn a_login_with_a_masked_code_counts_once_and_gives_its_device_the_viewer_of_a_later_profile() {
    let lines = text("rest-v2/login-authorize-logout.ndjson");
    let line = |number: usize| {
        serde_json::from_str::<Value>(lines.lines().nth(number - 1).expect("a line")).expect("JSON")
    };
    let profile = |at: &str| {
        let mut profile = line(4);
        profile["started_at"] = json!(at);
        profile["request"]["url"] = json!("https://sp.auth.adobe.com/api/v2/REF30/profiles/Cablevision");
        profile["request"]["headers"] = line(5)["request"]["headers"].clone();
        profile
    };
    let mut browser: Value =
        serde_json::from_str(text("rest-v2/user-agent-first.ndjson").lines().next().expect("a line"))
            .expect("JSON");
    browser["started_at"] = json!("2026-11-10T08:00:03.000Z");
    browser["response"]["headers"] = json!({"Location": "https://login.example.com/?mso_id=Cablevision"});
    browser["request"]["url"] = json!("https://sp.auth.adobe.com/api/v2/authenticate/REF30/K7Q2ZP");
    // The profile of the device is asked for after the one of the code, and before.
    for at in ["2026-11-10T08:01:06.000Z", "2026-11-10T08:01:00.000Z"] {
        let more = [profile(at), browser.clone()];
        let named = three_logins(|viewer| format!("K7Q2Z{viewer}"), |viewer| format!("s-{viewer}"), &more);
        assert_eq!((named.events.len(), joined(&named)), (30, 27), "{at}");
        for session in ["***", "s-"] {
            let session = |viewer| if session == "s-" { format!("s-{viewer}") } else { session.to_owned() };
            let read = three_logins(|_| "***".to_owned(), session, &more);
            assert_eq!(read.events.len(), 30, "{at}: {:?}", read.kinds());
            assert!(joined(&read) >= 12, "{at}: {}", joined(&read));
            read.gap("without_code", "have no code that tells");
        }
    }
}

#[test]
fn no_endpoint_that_takes_no_device_identifier_is_told_to_lack_it() {
    for name in ["code-errors", "user-agent-first", "resume-then-authenticate"] {
        read_fixture(&format!("rest-v2/{name}.ndjson")).assert_silent();
    }
    // The session of the code was not seen.
    let read = changed_log(|line, exchange| {
        if line == 1 {
            exchange["response"]["status"] = json!(307);
        }
    });
    assert_eq!(read.kinds()[0], "authn_ok");
    read.assert_silent();
}

#[test]
fn an_mvpd_that_says_there_is_none_is_told_of_exchanges_too() {
    let url = json!("https://h/api/v2/REF30/decisions/authorize/undefined");
    let read = read_text("log.ndjson", changed(authorize(), "/request/url", url).to_string());
    assert_eq!(read.gap("nameless_mvpds", "of an MVPD whose name says that there is none"), (1, 1));
}

#[test]
fn an_identifier_with_letters_that_a_program_could_not_read_is_told_of_exchanges_too() {
    let url = json!("https://h/api/v2/REF30/decisions/authorize/T%EF%BF%BDl");
    let read = read_text("log.ndjson", changed(authorize(), "/request/url", url).to_string());
    assert_eq!(read.gap("lost_letters", "with U+FFFD in an identifier"), (1, 1));
}

/// The log again, as another hop writes it: each call starts a little later and ends a little sooner.
fn of_another_hop(exchange: &mut Value) {
    let start = exchange["started_at"].as_str().expect("a start").replace(".000Z", ".003Z");
    exchange["started_at"] = json!(start);
    let took = exchange["duration_ms"].as_u64().expect("a duration");
    exchange["duration_ms"] = json!(took - 5);
}

#[test]
fn a_call_in_the_logs_of_two_hops_plays_once_and_what_has_no_token_is_told() {
    let lines = text("rest-v2/login-authorize-logout.ndjson");
    let both = |lines: &[usize]| {
        let exchanges = text("rest-v2/login-authorize-logout.ndjson");
        let of = exchanges.lines().enumerate().flat_map(|(index, line)| {
            let mut other: Value = serde_json::from_str(line).expect("JSON");
            of_another_hop(&mut other);
            let other = lines.contains(&(index + 1)).then(|| other.to_string());
            [Some(line.to_owned()), other].into_iter().flatten()
        });
        read_text("log.ndjson", of.collect::<Vec<_>>().join("\n"))
    };
    let tokens = both(&[5, 6]);
    assert_eq!((tokens.events.len(), tokens.exchanges().again), (10, 2));
    assert_eq!(tokens.gap("tokens_seen_before", "have the media token of an earlier one"), (2, 6));
    let logout = both(&[7]);
    assert_eq!(logout.gap("twins", "if both are logs of the same calls"), (1, 8));
    assert_eq!(
        both(&[1, 2, 3, 4]).summary.warnings,
        [],
        "what counts once whatever the log has is no matter"
    );
    // The log of the other hop may come as a file of its own, in a later run.
    let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
    let other = lines.lines().map(|line| {
        let mut other = serde_json::from_str(line).expect("JSON");
        of_another_hop(&mut other);
        other.to_string()
    });
    let other = other.collect::<Vec<_>>().join("\n");
    let taken = [("edge.ndjson", &lines), ("origin.ndjson", &other)].map(|(name, content)| {
        let path = house.dir.path().join(name);
        fs::write(&path, content).expect("a log");
        let options = options(house.dir.path());
        let taken = load(&*house.buffer, &[InputPath::new(&path)], &options, &mut ()).expect("an ingest");
        (taken.total.stored, taken.exchanges.expect("exchanges").gaps[Gap::Token as usize].exchanges)
    });
    assert_eq!(taken, [(10, 0), (2, 2)], "only the logout is counted again");
}

#[test]
fn a_call_in_two_forms_from_two_inputs_counts_twice_and_is_told_as_taken_back_by_hand() {
    let fixture = text("rest-v2/authorize-denied-and-errors.ndjson");
    let denied: Value = serde_json::from_str(fixture.lines().next().expect("a line")).expect("JSON");
    let body = denied["response"]["body"].as_str().expect("a body");
    let compact = serde_json::from_str::<Value>(body).expect("JSON").to_string();
    let told = |pointer: &str, value: Value| {
        let house = House::at(Clock::fixed(Instant::from_nanos(NOW_NANOS)));
        let other = changed(denied.clone(), pointer, value);
        let paths = [("a.ndjson", &denied), ("b.ndjson", &other)].map(|(name, exchange)| {
            fs::write(house.dir.path().join(name), exchange.to_string()).expect("a log");
            InputPath::new(house.dir.path().join(name))
        });
        let options = options(house.dir.path());
        let runs = paths.each_ref().map(|path| {
            load(&*house.buffer, std::slice::from_ref(path), &options, &mut ()).expect("an ingest")
        });
        assert_eq!(runs.each_ref().map(|run| run.total.stored), [2, 2], "{pointer}");
        let passing = preview(&paths, &options, &mut |_, _| ControlFlow::Continue(()));
        let of = |summary: &IngestSummary| {
            let notes: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
            let is_told = notes.iter().any(|note| {
                note.contains("b.ndjson:1: 1 calls were counted though") && note.contains("pending take-back")
            });
            (summary.exchanges.as_ref().expect("exchanges").gaps[Gap::Twin as usize].exchanges, is_told)
        };
        assert_eq!(of(&passing), of(&runs[1]), "{pointer}");
        of(&runs[1])
    };
    let place = "/request/url";
    for (pointer, value) in [
        ("/response/body", json!(format!("{body}\n"))),
        ("/response/body", json!(compact)),
        ("/started_at", json!("2026-11-10T08:00:01.000417Z")),
        ("/started_at", json!("2026-11-10T08:00:01.005Z")),
        ("/started_at", json!("2026-11-10T08:00:00.996Z")),
        ("/duration_ms", json!(131)),
        ("/request/body", Value::Null),
        ("/request/headers/X-Device-Info", json!("eyJtb2RlbCI6IkFGVE0ifQ==")),
        (place, json!("https://origin/api/v2/REF30/decisions/authorize/Cablevision?a=1")),
    ] {
        assert_eq!(told(pointer, value.clone()), (1, true), "{pointer} {value}");
    }
    for (pointer, value) in [
        ("/started_at", json!("2026-11-10T08:00:01.150Z")),
        ("/response/body", json!(body.replace("SPORTS", "NEWS"))),
        ("/request/headers/AP-Device-Identifier", json!("fingerprint YWJj")),
        (place, json!("https://origin/api/v2/REF30/decisions/authorize/Altice")),
    ] {
        assert_eq!(told(pointer, value.clone()), (0, false), "{pointer} {value}");
    }
}

#[test]
fn a_device_identifier_that_many_share_is_told_whatever_its_text() {
    let shared = |masked: usize| {
        let fixture = text("rest-v2/login-authorize-logout.ndjson");
        let fixture = fixture.lines().take(4).collect::<Vec<_>>().join("\n");
        let log = (1..4).map(|viewer| {
            let log =
                fixture.replace("K7Q2ZP", &format!("K7Q2Z{viewer}")).replace("s-1", &format!("s-{viewer}"));
            let device = if viewer > masked { viewer.to_string() } else { "Kg".to_owned() };
            let log = log
                .replace("viewer-7", &format!("viewer-{viewer}"))
                .replace(".000Z", &format!(".{viewer}00Z"));
            log.replace("bGl2aW5nLXJvb20tMQ==", &format!("bWFzaw{device}"))
        });
        read_text("log.ndjson", log.collect::<Vec<_>>().join("\n"))
    };
    let note = "device identifiers have three or more users of one MVPD who log in";
    assert_eq!(shared(3).gap("shared_devices", note), (1, 11));
    shared(2).assert_silent();
    // An identifier under which nobody logs in, as most of a large input has.
    let calls = |count: u32| {
        let call = |number: u32| {
            let at = json!(format!("2026-11-10T08:{:02}:{:02}Z", number / 60, number % 60));
            let device = if number % 5 < 2 { number } else { 7 };
            let device = json!(format!("fingerprint {device:04}"));
            changed(changed(authorize(), "/started_at", at), "/request/headers/AP-Device-Identifier", device)
        };
        read_text("log.ndjson", (0..count).map(|number| format!("{}\n", call(number))).collect::<String>())
    };
    assert_eq!(calls(1_000).gap("shared_devices", note), (1, 3));
    calls(999).assert_silent();
}

#[test]
fn an_answer_about_another_mvpd_or_requestor_than_its_request_is_told() {
    let note = "about a resource, an MVPD or a requestor that the request does not name";
    for (lines, old, new, count, first) in [
        (&[5][..], "\"mvpd\": \"Cablevision\"", "\"mvpd\": \"Altice\"", 1, 5),
        (&[5, 6], "\"mvpd\": \"Cablevision\"", "\"mvpd\": \"CABLEVISION\"", 2, 5),
        (&[6], "\"serviceProvider\": \"REF30\"", "\"serviceProvider\": \"REF99\"", 1, 6),
        (&[7], "\"Cablevision\": {", "\"Altice\": {", 1, 7),
        (&[1], "\"mvpd\": \"Cablevision\"", "\"mvpd\": \"Altice\"", 1, 1),
    ] {
        assert_eq!(replaced(lines, old, new).gap("unasked_decisions", note), (count, first), "{new}");
    }
    let preflight = text("rest-v2/preflight.ndjson");
    let other = preflight.lines().next().expect("a line").replacen("/preauthorize/", "/preauthorize/x", 1);
    assert_eq!(read_text("log.ndjson", other).gap("unasked_decisions", note), (1, 1));
    read_text("log.ndjson", preflight).assert_silent();
}

#[test]
fn inputs_that_overlap_in_time_are_told_because_their_logins_fall_apart() {
    let lines = text("rest-v2/login-authorize-logout.ndjson");
    let dir = TempDir::new().expect("a temporary folder");
    let told = |parts: [&dyn Fn(usize) -> bool; 2]| {
        let inputs = ["a.ndjson", "b.ndjson"].into_iter().zip(parts).map(|(name, is_in)| {
            let of = lines.lines().enumerate().filter(|(index, _)| is_in(index + 1));
            let path = dir.path().join(name);
            fs::write(&path, of.map(|(_, line)| format!("{line}\n")).collect::<String>()).expect("a log");
            InputPath::new(path)
        });
        let inputs: Vec<_> = inputs.collect();
        let summary = preview(&inputs, &options(dir.path()), &mut |_, _| ControlFlow::Continue(()));
        summary.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told([&|line| line < 5, &|line| line > 4]), [""; 0]);
    let overlapping = told([&|line| line % 2 == 1, &|line| line % 2 == 0]);
    assert_eq!(overlapping.len(), 1, "{overlapping:?}");
    let expected = "b.ndjson:1: 2 exchanges start before an earlier input ends";
    assert!(overlapping[0].contains(expected), "{overlapping:?}");
}

#[test]
fn a_redirect_to_the_same_call_and_an_answer_not_modified_log_nobody_out() {
    let all = changed_log(|_, _| ());
    for (status, location) in [
        (304, None),
        (304, Some("https://sp.auth.adobe.com/elsewhere")),
        (301, Some("https://sp.auth.adobe.com/api/v2/REF30/logout/Cablevision/?redirectUrl=x")),
        (307, Some("https://other.example/api/v2/REF30/logout/Cablevision")),
        (308, Some("/api/v2/REF30/logout/Cablevision/")),
    ] {
        let lines = text("rest-v2/login-authorize-logout.ndjson");
        let mut lines: Vec<&str> = lines.lines().collect();
        let mut redirect: Value = serde_json::from_str(lines[6]).expect("JSON");
        redirect["started_at"] = json!("2026-11-10T08:01:38.990Z");
        redirect["duration_ms"] = json!(3);
        redirect["response"] = json!({"status": status, "headers": {}, "body": ""});
        if let Some(location) = location {
            redirect["response"]["headers"]["Location"] = json!(location);
        }
        let redirect = redirect.to_string();
        lines.insert(6, &redirect);
        let read = read_text("log.ndjson", lines.join("\n"));
        assert_eq!(read.events, all.events, "{status} {location:?}");
        assert_eq!(read.exchanges().uncounted, [(status, 1)].into(), "{location:?}");
    }
    let elsewhere = changed_log(|line, exchange| {
        if line == 7 {
            let headers = json!({"Location": "https://mvpd.example/logout"});
            exchange["response"] = json!({"status": 302, "headers": headers, "body": ""});
        }
    });
    assert_eq!((elsewhere.events.len(), elsewhere.exchanges().uncounted.len()), (9, 0));
}

#[test]
fn a_device_identifier_in_brackets_or_joined_with_itself_is_one() {
    let one = "fingerprint bGl2aW5nLXJvb20tMQ==";
    let read = |identifier: &str| {
        changed_log(|_, exchange| {
            let info = exchange["request"]["headers"].get_mut("X-Device-Info");
            let info =
                info.map(|info| *info = json!(identifier.replace(one, info.as_str().expect("Base64"))));
            if info.is_some() {
                exchange["request"]["headers"]["AP-Device-Identifier"] = json!(identifier);
            }
        })
    };
    let plain = read(one);
    assert_eq!((plain.events.len(), plain.with("mvpd_user_id"), plain.with("device_model")), (10, 9, 10));
    for form in ["#, #", "#,#", "[#]", "\"#\"", "[\"#\"]", "[#, #]", "\"#\", \"#\"", " [ # ] "] {
        let other = read(&form.replace('#', one));
        assert_eq!(other.events, plain.events, "{form}");
    }
    for form in ["#, fingerprint YWJj", "[#,fingerprint YWJj]"] {
        let other = changed_log(|line, exchange| {
            if line == 5 {
                exchange["request"]["headers"]["AP-Device-Identifier"] = json!(form.replace('#', one));
            }
        });
        let expected = "is no exchange: AP-Device-Identifier is given twice".to_owned();
        assert_eq!(other.rejected(), [(5, expected)], "{form}");
    }
}
