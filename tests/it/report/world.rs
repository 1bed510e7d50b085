//! Twelve requestors and two hundred MVPDs: what text, CSV, JSON and page say of them is the same, and can be read.

use serde_json::{Value, json};

use crate::program::Program;

/// Requestors; the last of them has its counts from ESM.
const REQUESTORS: usize = 12;
const MVPDS: usize = 200;

/// A line of an event, so often.
fn line(requestor: usize, mvpd: &str, kind: &str, day: usize, user: &str, count: u64) -> String {
    let mut event = json!({
        "occurred_at": format!("2025-10-{day:02}T12:00:00-07:00"), "event": kind, "requestor_id": format!("REF{requestor:02}"),
        "mvpd": mvpd, "count": count, "resource_id": "SPORT", "event_id": format!("{requestor} {mvpd} {kind} {day} {user}"),
    });
    if !user.is_empty() && kind != "authn_requested" {
        event["mvpd_user_id"] = user.into();
    }
    if kind == "authz_failed" {
        event["authz_error_type"] = "noAuthZ".into();
    }
    format!("{event}\n")
}

/// The world of October 2025, and what ESM counted of the last requestor.
fn world() -> Program {
    let program = Program::new();
    let mut lines = String::new();
    for mvpd in 0..MVPDS {
        let name = format!("Provider_{mvpd:03}");
        for number in 0..2 {
            let requestor = (mvpd + 5 * number) % (REQUESTORS - 1);
            let (weight, user) = (1 + (MVPDS - mvpd) as u64, format!("u{}", mvpd % 150));
            for (kind, share) in [
                ("authn_requested", 3),
                ("authn_ok", 2),
                ("authz_requested", 4),
                ("authz_ok", 3),
                ("play_requested", 9),
            ] {
                lines.push_str(&line(requestor, &name, kind, 1 + mvpd % 28, &user, share * weight));
            }
            lines.push_str(&line(requestor, &name, "authz_failed", 1 + mvpd % 28, &user, weight));
        }
    }
    // One MVPD in three spellings.
    for (spelling, user) in [("Cable Co", "a"), ("CABLE CO", "a"), ("cable co", "b")] {
        lines.push_str(&line(1, spelling, "play_requested", 3, user, 100_000));
    }
    for number in 0..100 {
        // A new ID for each login; one MVPD that authorizes at login, with users that come back; and Comcast.
        lines.push_str(&line(2, "Transient", "authn_ok", 1 + number % 28, &format!("t{number}"), 1));
        lines.push_str(&line(2, "AtLogin", "authn_ok", 1 + number % 28, &format!("l{}", number % 10), 1));
        lines.push_str(&line(2, "Comcast_SSO", "authn_requested", 1 + number % 28, &number.to_string(), 1));
    }
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let sums = "year,month,day,hour,requestor-id,mvpd,authn-attempts,authn-successful,unique-accounts\n\
                2025,10,7,8,REF11,Provider_000,20,10,7\n2025,10,7,8,REF11,Provider_001,30,20,9\n2025,10,7,9,REF11,Provider_000,5,4,3\n";
    program.write("esm.csv", sums);
    program.write("month.csv", "year,month,requestor-id,unique-accounts\n2025,10,REF11,15\n");
    for file in ["esm.csv", "month.csv"] {
        let done = program.run(&["ingest", "--format", "esm", program.path(file).to_str().expect("UTF-8")]);
        assert_eq!(done.code, 0, "{done:?}");
    }
    program
}

const OCTOBER: [&str; 3] = ["report", "--period", "2025-10"];

#[test]
fn two_hundred_mvpds_say_the_same_in_text_csv_json_and_page_and_can_be_read() {
    let program = world();
    let page = program.path("october.html");
    let args = [&OCTOBER[..], &["--html", page.to_str().expect("UTF-8")]].concat();
    let (code, json) = program.json(&args);
    let mvpds = json["mvpds"].as_array().expect("MVPDs");
    assert_eq!((code, mvpds.len()), (0, MVPDS + 4), "{json}");
    assert_eq!(
        (mvpds[0]["mvpd"].as_str(), &json["others"]["mvpds"]),
        (Some("Cable Co"), &json!(MVPDS + 4 - 12))
    );

    // The others together with those that are shown are the total, in units; users are counted once.
    let sum =
        |of: &Value| of["events"].as_array().expect("events").iter().filter_map(Value::as_u64).sum::<u64>();
    let shown: u64 = mvpds[..12].iter().map(sum).sum();
    assert_eq!(shown + sum(&json["others"]), sum(&json["total"]));

    let csv = program.run(&[&OCTOBER[..], &["--csv"]].concat()).out;
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().expect("a heading");
    let rows: Vec<Vec<&str>> = rows.collect();
    assert_eq!(rows.len(), 1 + mvpds.len());
    for (row, figures) in rows.iter().zip([&json["total"]].into_iter().chain(mvpds)) {
        for (name, cell) in head.iter().zip(row).skip(5).take(8) {
            let expected = &figures[*name];
            let read: Option<f64> = cell.parse().ok();
            let is_same = match expected.as_f64() {
                None => read.is_none(),
                Some(number) => read.is_some_and(|read| (read - number).abs() < 1e-5),
            };
            assert!(is_same, "{name}: {cell} instead of {expected} in {row:?}");
        }
    }

    let text = program.run(&OCTOBER).out;
    let plays: Vec<u64> = text
        .lines()
        .filter(|line| line.contains("Successful Play Requests"))
        .flat_map(|line| line.split_whitespace().filter_map(|cell| cell.parse().ok()).collect::<Vec<u64>>())
        .collect();
    let of = |figures: &Value| figures["successful_play_requests"].as_u64().expect("plays");
    let mut expected = Vec::new();
    let columns: Vec<u64> = mvpds[..12].iter().chain([&json["others"]]).map(of).collect();
    for block in columns.chunks(4) {
        expected.extend(block);
        expected.push(of(&json["total"]));
    }
    assert_eq!(plays, expected, "{text}");
    assert!(text.lines().count() < 140, "{} lines", text.lines().count());
    let is_left_out =
        |line: &str| ["Logout", "Preauthorization"].iter().all(|name| !line.trim_start().starts_with(name));
    assert!(text.lines().all(is_left_out), "what did not happen is left out: {text}");

    crate::pages::assert_page(&page, &json);
}

#[test]
fn one_mvpd_in_three_spellings_is_one_as_in_analytics_and_the_report_says_so() {
    let program = world();
    let (_, json) = program.json(&[&OCTOBER[..], &["--by", "mvpd"]].concat());
    let of = |list: &Value, name: &str| {
        let all = list.as_array().expect("a list").iter();
        all.filter(|each| each["mvpd"].as_str().or(each["key"][0].as_str()) == Some(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    for list in ["mvpds", "rows"] {
        let one = of(&json[list], "Cable Co");
        assert_eq!(
            (one.len(), &one[0]["successful_play_requests"], &one[0]["unique_users"]),
            (1, &json!(300_000), &json!(2))
        );
        assert!(of(&json[list], "CABLE CO").is_empty());
    }
    let remarks = json["remarks"].to_string();
    assert!(remarks.contains(r#"\"Cable Co\" is also spelled \"CABLE CO\", \"cable co\""#), "{remarks}");
}

#[test]
fn users_of_a_requestor_that_esm_counts_are_empty_and_what_esm_stated_stands_where_it_stated_it() {
    let program = world();
    let page = program.path("esm.html");
    let esm = [&OCTOBER[..], &["--requestor", "REF11"]].concat();
    let (_, json) = program.json(&[&esm[..], &["--html", page.to_str().expect("UTF-8")]].concat());
    let total = &json["total"];
    assert_eq!([&total["unique_users"], &total["synthetic_users"]], [&Value::Null; 2], "{total}");
    assert_eq!(
        (&total["stated_unique_accounts"], &total["attempted_authentications"]),
        (&json!(15), &json!(55))
    );
    // Seven and three are no month of anybody.
    assert_eq!(json["mvpds"][0]["stated_unique_accounts"], Value::Null);
    crate::pages::assert_page(&page, &json);
    let text = program.run(&esm).out;
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(
        line("Unique Users").ends_with('-') && line("Unique accounts (ESM stated)").ends_with("15"),
        "{text}"
    );
    assert!(text.contains("Unique users of REF11 are not known"), "{text}");

    let by_hour = [&esm[..], &["--by", "requestor", "--by", "mvpd", "--by", "hour"]].concat();
    let (_, json) = program.json(&by_hour);
    let stated: Vec<Value> = json["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| json!([row["key"][1], row["stated_unique_accounts"]]))
        .collect();
    assert_eq!(stated, [json!(["Provider_000", 7]), json!(["Provider_000", 3]), json!(["Provider_001", 9])]);
    let csv = program.run(&[&by_hour[..], &["--csv"]].concat()).out;
    assert!(csv.lines().nth(2).expect("a row").ends_with(",7,"), "{csv}");
    // Of an hour as a whole ESM stated two figures: their sum would mean nothing.
    let (_, json) = program.json(&[&esm[..], &["--by", "hour"]].concat());
    let stated: Vec<&Value> =
        json["rows"].as_array().expect("rows").iter().map(|row| &row["stated_unique_accounts"]).collect();
    assert_eq!(stated, [&Value::Null, &json!(3)]);

    // In the total of all requestors nobody knows them either; of the others alone everybody.
    let (_, all) = program.json(&OCTOBER);
    assert_eq!(all["total"]["unique_users"], Value::Null);
    let (_, one) = program.json(&[&OCTOBER[..], &["--requestor", "REF02"]].concat());
    assert!(one["total"]["unique_users"].as_u64().is_some_and(|users| users > 100), "{}", one["total"]);
    // A correction replaces what was stated; forgetting a person and the check of the account leave it alone.
    program.write("again.csv", "year,month,requestor-id,unique-accounts\n2025,10,REF11,14\n");
    assert_eq!(
        program.run(&["ingest", "--format", "esm", program.path("again.csv").to_str().expect("UTF-8")]).code,
        0
    );
    assert_eq!(program.run(&["forget", "--mvpd", "Provider_000", "--mvpd-user-id", "u0"]).code, 0);
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
    assert_eq!(program.json(&esm).1["total"]["stated_unique_accounts"], 14);
}

#[test]
fn events_that_esm_does_not_count_are_empty_and_what_it_did_not_state_leads_to_no_conclusion() {
    let program = world();
    let esm = [&OCTOBER[..], &["--requestor", "REF11"]].concat();
    let (_, one) = program.json(&esm);
    let known = |of: &Value| -> Vec<bool> {
        of["events"].as_array().expect("events").iter().map(Value::is_u64).collect()
    };
    // The report has two columns that are counted: event1 and event3.
    assert_eq!(known(&one["total"]), [vec![true, false, true], vec![false; 15]].concat(), "{one}");
    let (_, all) = program.json(&OCTOBER);
    assert_eq!(known(&all["total"]), [true; 18]);
    let remark = "Preflight denied either: of REF11 alone these are empty, and beside other requestors they are without REF11";
    assert!(all["remarks"].to_string().contains(remark), "{}", all["remarks"]);
    let csv = program.run(&[&esm[..], &["--csv"]].concat()).out;
    let (head, total) = csv.split_once('\n').expect("lines");
    let column = head.split(',').position(|name| name == "play_failed").expect("a column");
    assert_eq!(total.split(',').nth(column), Some(""), "{csv}");
    assert!(!one["notes"].to_string().contains("authoriz"), "{}", one["notes"]);
}

#[test]
fn what_the_metrics_page_says_of_single_mvpds_is_noted_where_it_shows() {
    let program = world();
    let (_, json) = program.json(&OCTOBER);
    let notes = json["notes"].as_array().expect("notes");
    let of = |mvpd: &str, words: &str| {
        notes.iter().any(|note| {
            note["mvpds"].as_array().expect("MVPDs").contains(&json!(mvpd))
                && note["found"].to_string().contains(words)
        })
    };
    assert!(of("Transient", "Transient 100 users of 100 logins"), "{notes:?}");
    assert!(
        of("Transient", "neither guaranteed nor validated") && !of("AtLogin", "neither guaranteed"),
        "{notes:?}"
    );
    assert!(of("AtLogin", "authorize at login") && !of("Provider_000", "authorize at login"), "{notes:?}");
    assert!(of("Comcast_SSO", "anew for each requestor"), "{notes:?}");
    // A note each, however many MVPDs it is of.
    assert!(notes.len() <= 4 + 4 + 3, "{} notes", notes.len());
    let csv = program.run(&[&OCTOBER[..], &["--csv"]].concat()).out;
    let mark = |csv: &str, mvpd: &str| {
        let row = csv.lines().find(|line| line.contains(&format!(",{mvpd},"))).expect("a row").to_owned();
        row.rsplit(',').next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        mark(&csv, "Transient"),
        "fewer AuthN attempts than successes; fewer AuthZ attempts than logins; \
        transient user IDs; authorizes at login"
            .replace("        ", "")
    );
    // Events and ESM count Provider_000, and ESM's reports lack columns.
    assert_eq!(
        [mark(&csv, "Provider_000"), mark(&csv, "Comcast_SSO")],
        ["partly without ESM columns", "passive logins"]
    );
    let csv = program.run(&[&OCTOBER[..], &["--by", "mvpd", "--csv"]].concat()).out;
    assert!(mark(&csv, "Transient").contains("transient user IDs"), "{csv}");
    // Of a week nobody can say that users are transient.
    let (_, week) = program.json(&["report", "--from", "2025-10-01", "--to", "2025-10-07"]);
    assert!(!week["notes"].to_string().contains("transient"), "{week}");
    let failure = &json["failures"][0];
    assert_eq!(
        (
            &failure["reason"],
            failure["meaning"].as_str().is_some_and(|meaning| meaning.contains("subscription"))
        ),
        (&json!("noAuthZ"), true)
    );
    assert!(program.run(&OCTOBER).out.contains("The MVPD says that the subscription does not include it."));
}

#[test]
fn rows_made_of_what_is_left_say_so_beside_them() {
    let program = world();
    let by = [&OCTOBER[..], &["--by", "resource_id"]].concat();
    let page = program.path("left.html");
    let (_, json) = program.json(&[&by[..], &["--html", page.to_str().expect("UTF-8")]].concat());
    let note = json["rows_note"].as_str().expect("a note");
    assert!(note.contains("made of the events that the buffer still has"), "{json}");
    assert!(program.run(&by).out.contains(note));
    let csv = program.run(&[&by[..], &["--csv"]].concat()).out;
    assert!(csv.lines().skip(2).all(|row| row.contains("events that the buffer still has")), "{csv}");
    assert!(
        std::fs::read_to_string(&page)
            .expect("a page")
            .contains("By resource_id</h2><p class=\"note\">These rows")
    );
}

#[test]
fn what_esm_stated_of_an_mvpd_stands_in_its_row_of_the_text() {
    let program = Program::new();
    program.write(
        "hours.csv",
        "year,month,day,hour,requestor-id,mvpd,authn-attempts\n2025,10,20,8,REF13,Cable,5\n2025,10,20,8,REF13,Dish,7\n",
    );
    program.write("month.csv", "year,month,requestor-id,mvpd,unique-accounts\n2025,10,REF13,Cable,3100\n");
    for file in ["hours.csv", "month.csv"] {
        let path = program.path(file);
        assert_eq!(program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]).code, 0);
    }
    let month = [&OCTOBER[..], &["--requestor", "REF13"]].concat();
    let (_, json) = program.json(&month);
    let stated: Vec<&Value> = json["mvpds"]
        .as_array()
        .expect("MVPDs")
        .iter()
        .map(|column| &column["stated_unique_accounts"])
        .collect();
    assert_eq!(stated, [&Value::Null, &json!(3100)]);
    let rows = program.run(&[&month[..], &["--by", "mvpd"]].concat()).out;
    let line =
        |start: &str| rows.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
    assert!(line("mvpd").ends_with("accounts (ESM)") && line("Cable").ends_with("3100"), "{rows}");
    assert!(line("Dish").ends_with('-'), "{rows}");
    let others = program.run(&[&OCTOBER[..], &["--by", "mvpd", "--requestor", "REF02"]].concat()).out;
    assert!(!others.contains("accounts (ESM)"), "only where ESM stated some: {others}");
}

#[test]
fn what_esm_stated_of_a_month_without_any_event_is_shown_and_never_0_users() {
    let program = Program::new();
    program.write(
        "month.csv",
        "year,month,requestor-id,mvpd,authn-attempts,unique-accounts\n2025,10,REF12,Cable,3,15\n2025,10,REF12,Dish,,4\n",
    );
    let path = program.path("month.csv");
    let ingest = ["ingest", "--format", "esm", path.to_str().expect("UTF-8")];
    let done = program.run(&ingest);
    assert!(done.err.contains("authn-attempts by month") && !done.err.contains("by day"), "{done:?}");
    assert!(done.out.contains("unique accounts of 2 records are kept as ESM stated them"), "{done:?}");
    let month = [&OCTOBER[..], &["--requestor", "REF12"]].concat();
    let (code, json) = program.json(&month);
    assert_eq!((code, &json["total"]["unique_users"]), (0, &Value::Null), "{json}");
    assert_eq!(json["total"]["stated_unique_accounts"], Value::Null, "15 and 4 are no sum");
    let stated =
        |column: &Value| json!([column["mvpd"], column["stated_unique_accounts"], column["unique_users"]]);
    let columns: Vec<Value> = json["mvpds"].as_array().expect("MVPDs").iter().map(stated).collect();
    assert_eq!(columns, [json!(["Cable", 15, null]), json!(["Dish", 4, null])]);
    let text = program.run(&month).out;
    assert!(text.contains("Unique users of REF12 are not known"), "{text}");
    assert!(text.lines().any(|line| line.contains("ESM stated") && line.contains("15")), "{text}");
    let (_, rows) = program.json(&[&month[..], &["--by", "requestor", "--by", "mvpd"]].concat());
    assert_eq!(rows["rows"][0]["stated_unique_accounts"], 15, "{rows}");

    program.write("all.csv", "year,month,requestor-id,unique-accounts\n2025,10,REF12,17\n");
    let path = program.path("all.csv");
    assert_eq!(program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]).code, 0);
    let (_, json) = program.json(&OCTOBER);
    assert_eq!(json["total"]["stated_unique_accounts"], 17);
    let (_, days) = program.json(&[&month[..], &["--by", "day"]].concat());
    let (_, day) = program.json(&["report", "--period", "2025-10-05"]);
    assert_eq!(day["total"]["unique_users"], Value::Null, "nor by itself");
    let users = |row: &Value| row["unique_users"].is_null();
    assert!(days["trend"].as_array().expect("days").iter().all(users), "nobody knows those of a day: {days}");
}

#[test]
fn a_period_that_has_not_begun_is_refused_instead_of_counted_as_0() {
    let program = world();
    for by in [&[][..], &["--by", "mvpd"]] {
        let asked = [&["report", "--period", "2199-03"], by].concat();
        let (code, refused) = program.json(&asked);
        assert_eq!((code, &refused["code"]), (2, &"refused".into()), "{refused}");
        assert!(refused["error"].as_str().is_some_and(|why| why.contains("2199-03-01")), "{refused}");
    }
}

#[test]
fn mvpds_that_begin_alike_can_be_told_apart() {
    let program = Program::new();
    let long =
        |end: &str| format!("A cable company with many subsidiaries all over the country and one {end}");
    let mvpds =
        ["Comcast Xfinity East", "Comcast Xfinity West", "Comcast Xfinity", "Dish", &long("a"), &long("b")];
    let lines: String = mvpds.iter().map(|mvpd| line(1, mvpd, "play_requested", 3, "u", 1)).collect();
    program.write("events.ndjson", &lines);
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let page = program.path("alike.html");
    let asked = [&OCTOBER[..], &["--html", page.to_str().expect("UTF-8")]].concat();
    let text = program.run(&asked).out;
    let heads = text.lines().filter(|line| line.trim_start().starts_with("Metric"));
    let heads: Vec<&str> =
        heads.flat_map(|line| line.split("  ")).map(str::trim).filter(|head| !head.is_empty()).collect();
    for head in heads.iter().filter(|head| !["Metric", "Total"].contains(head)) {
        assert_eq!(heads.iter().filter(|other| *other == head).count(), 1, "{heads:?}");
    }
    let html = std::fs::read_to_string(&page).expect("a page");
    for drawn in html.split("class=\"name\"").skip(1).filter_map(|text| text.split(['>', '<']).nth(1)) {
        assert_eq!(html.matches(&format!(">{drawn}<title>")).count(), 1, "{drawn}");
    }
}

#[test]
fn what_is_still_to_come_is_no_data_and_today_is_partial() {
    let program = Program::new();
    let now = chrono::Utc::now();
    let event = json!({"occurred_at": now.to_rfc3339(), "event": "play_requested", "requestor_id": "REF30", "mvpd": "M"});
    program.write("now.ndjson", &format!("{event}\n"));
    assert_eq!(program.run(&["ingest", program.path("now.ndjson").to_str().expect("UTF-8")]).code, 0);
    let page = program.path("now.html");
    for (period, by) in [("this-month", "day"), ("today", "hour")] {
        let args = [
            "report",
            "--timezone",
            "UTC",
            "--period",
            period,
            "--by",
            by,
            "--html",
            page.to_str().expect("UTF-8"),
        ];
        let (_, json) = program.json(&args);
        let trend = json["trend"].as_array().expect("a trend");
        let last = trend.last().expect("a point");
        let begun = if by == "day" { chrono::Datelike::day(&now) } else { chrono::Timelike::hour(&now) + 1 };
        // The clock may pass into the next hour while this runs.
        assert!((begun as usize..=begun as usize + 1).contains(&trend.len()), "{trend:?}");
        assert_eq!(
            (&last["partial"], trend.iter().filter(|row| row["partial"] == true).count()),
            (&json!(true), 1)
        );
        assert!(json["rows"][0]["partial"] == true || json["rows"][0]["key"] != last["key"]);
        crate::pages::assert_page(&page, &json);
        let html = std::fs::read_to_string(&page).expect("a page");
        assert!(html.contains("so far</title>") && html.contains("<small>so far</small>"));
        let text = program.run(&args[..7]).out;
        assert!(text.contains("(so far)") && text.contains("what is still to come is no data"), "{text}");
        let csv = program.run(&[&args[..7], &["--csv"]].concat()).out;
        assert!(csv.trim_end().ends_with(",partial"), "{csv}");
        for by in [&[][..], &["--by", "mvpd"]] {
            let csv = program.run(&[&args[..5], by, &["--csv"]].concat()).out;
            let is_marked = |line: &str| line.ends_with(",partial");
            assert_eq!((csv.lines().count(), csv.lines().skip(1).all(is_marked)), (3, true), "{csv}");
        }
    }
}

#[test]
fn user_ids_look_transient_only_where_four_weeks_of_logins_are_there() {
    let notes = |month: &str, days: &[usize]| {
        let program = Program::new();
        let login = |number: usize| {
            line(2, "M", "authn_ok", days[number % days.len()], &format!("t{number}"), 1)
                .replace("2025-10", month)
        };
        program.write("logins.ndjson", &(0..40).map(login).collect::<String>());
        assert_eq!(program.run(&["ingest", program.path("logins.ndjson").to_str().expect("UTF-8")]).code, 0);
        let (_, json) = program.json(&["report", "--period", month]);
        assert_eq!((&json["total"]["unique_users"], &json["partial"]), (&json!(40), &Value::Null), "{json}");
        json["notes"].to_string()
    };
    // Half an hour of data in a whole month, four weeks less a day, and four weeks of which two are missing.
    let all: Vec<usize> = (1..=28).collect();
    for days in [&[9][..], &all[..27], &[1, 2, 3, 27, 28]] {
        assert!(!notes("2025-10", days).contains("transient"), "{days:?}");
    }
    assert!(notes("2025-10", &all).contains("transient user IDs"));
    // A day without a login at either edge makes no month too short; two days do.
    for (days, is_month) in [(&all[..27], true), (&all[1..], true), (&all[1..27], true), (&all[2..], false)] {
        assert_eq!(notes("2025-02", days).contains("transient"), is_month, "{days:?}");
    }
}
