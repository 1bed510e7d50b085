//! What no source counted is empty: the columns that an ESM report lacks, and accounts that ESM did not state for all.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::program::Program;

const DAY: [&str; 3] = ["report", "--period", "2025-10-07"];

/// Reads a report of ESM as CSV: a head of time, requestor, MVPD and these metrics, then these rows.
fn esm(program: &Program, metrics: &str, rows: &[&str]) {
    let rows = rows.iter().map(|row| format!("2025,10,7,{row}\n")).collect::<String>();
    program.write("esm.csv", &format!("year,month,day,hour,requestor-id,mvpd,{metrics}\n{rows}"));
    let path = program.path("esm.csv");
    let done = program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// Stores single events of requestor EVENTS at Cable, one of each of these kinds.
fn events(program: &Program, kinds: &[&str]) {
    let line = |kind: &&str| {
        let event = json!({"occurred_at": "2025-10-07T15:10:00Z", "event": kind, "requestor_id": "EVENTS", "mvpd": "Cable",
            "event_id": kind});
        format!("{event}\n")
    };
    program.write("events.ndjson", &kinds.iter().map(line).collect::<String>());
    let done = program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]);
    assert_eq!(done.code, 0, "{done:?}");
}

fn total(program: &Program, more: &[&str]) -> Value {
    program.json(&[&DAY[..], more].concat()).1["total"].clone()
}

/// The slots of the events that are not known.
fn unknown(figures: &Value) -> Vec<usize> {
    let events = figures["events"].as_array().expect("events");
    (1..).zip(events).filter(|(_, units)| units.is_null()).map(|(slot, _)| slot).collect()
}

const ALL_BUT_LOGINS: &str = "authn-successful,authz-attempts,authz-successful,media-tokens";

#[test]
fn a_count_of_which_an_esm_report_lacks_the_column_is_empty_in_every_form_and_the_report_names_it() {
    let program = Program::new();
    esm(&program, ALL_BUT_LOGINS, &["8,SUMS,Cable,10,20,15,40", "8,SUMS,Dish,5,0,0,0"]);
    let page = program.path("page.html");
    let (_, json) = program.json(&[&DAY[..], &["--html", page.to_str().expect("UTF-8")]].concat());
    for figures in [&json["total"], &json["mvpds"][0], &json["mvpds"][1]] {
        for name in ["attempted_authentications", "unsuccessful_authentications", "authentication_conversion"]
        {
            assert_eq!(figures[name], Value::Null, "{name} {figures}");
        }
        assert_eq!(unknown(figures)[..5], [1, 2, 6, 8, 9], "{figures}");
    }
    assert_eq!(
        (&json["total"]["successful_authentications"], &json["mvpds"][1]["attempted_authorizations"]),
        (&json!(15), &json!(0))
    );
    assert!(!json["notes"].to_string().contains("attempted authentications"), "{}", json["notes"]);
    let remarks = json["remarks"].to_string();
    let lacked =
        "authn-attempts, authn-pending, authz-failed, authn-failed, clientless-tokens, clientless-failures";
    assert!(remarks.contains(lacked) && remarks.contains("of SUMS in 1 hour"), "{remarks}");
    assert!(!remarks.contains("media-tokens"), "{remarks}");
    crate::pages::assert_page(&page, &json);
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("Authentication conversion: –") && !page.contains("no attempt"), "{page}");
    let text = program.run(&DAY).out;
    let line = |name: &str| text.lines().find(|line| line.contains(name)).expect(name).to_owned();
    assert!(line("Attempted Authentications").trim_end().ends_with('-'), "{text}");
    assert!(line("Attempted Authorizations").trim_end().ends_with("20"), "{text}");
    let csv = program.run(&[&DAY[..], &["--csv"]].concat()).out;
    let (head, row) = csv.split_once('\n').expect("lines");
    let cell = |name: &str| {
        let column = head.split(',').position(|known| known == name).expect("a column");
        row.lines().next().expect("the total").split(',').nth(column).expect("a cell").to_owned()
    };
    assert_eq!(
        [cell("attempted_authentications"), cell("authn_requested"), cell("attempted_authorizations")],
        ["", "", "20"]
    );
}

#[test]
fn sums_with_others_are_without_what_a_report_lacks_and_no_share_is_made_of_them() {
    let program = Program::new();
    esm(&program, ALL_BUT_LOGINS, &["8,SUMS,Cable,10,20,15,40"]);
    events(&program, &["authn_requested", "authn_ok", "authz_requested", "authz_ok"]);
    let both = total(&program, &[]);
    assert_eq!(
        (&both["attempted_authentications"], &both["successful_authentications"]),
        (&json!(1), &json!(11))
    );
    let derived = ["unsuccessful_authentications", "authentication_conversion", "authentication_ratio"];
    assert!(derived.iter().all(|name| both[name].is_null()), "{both}");
    assert_eq!(both["authorization_conversion"], json!(16.0 / 21.0));
    let (_, json) = program.json(&[&DAY[..], &["--by", "requestor"]].concat());
    assert!(!json["notes"].to_string().contains("attempted authentications"), "{}", json["notes"]);
    let attempts: Vec<&Value> =
        json["rows"].as_array().expect("rows").iter().map(|row| &row["attempted_authentications"]).collect();
    assert_eq!(attempts, [&json!(1), &Value::Null]);
    assert_eq!(json["rows"][0]["authentication_conversion"], json!(1.0), "of events all is known");
    assert!(json["remarks"].to_string().contains("are without them"), "{}", json["remarks"]);
    // The events of other hours of the requestor are in the sum of the day.
    esm(&program, "authn-attempts,authn-successful", &["9,SUMS,Cable,30,20"]);
    assert_eq!(total(&program, &["--requestor", "SUMS"])["attempted_authentications"], json!(30));
    let (_, hours) = program.json(&[&DAY[..], &["--requestor", "SUMS", "--by", "hour"]].concat());
    let hours = hours["rows"].as_array().expect("rows").iter();
    let told = |row: &Value| json!([row["attempted_authentications"], row["authentication_conversion"]]);
    assert_eq!(hours.map(told).collect::<Vec<_>>(), [json!([null, null]), json!([30, 20.0 / 30.0])]);
    // Who lacks both of two columns takes nothing from what is made of them.
    esm(&program, "media-tokens", &["11,PLAYS,Cable,7"]);
    let all = total(&program, &[]);
    assert_eq!(all["authorization_conversion"], json!(16.0 / 21.0));
    assert!(all["successful_play_requests"] == 47 && all["authentication_conversion"].is_null(), "{all}");
    let [one, other] = ["EVENTS", "PLAYS"];
    let both = total(&program, &["--requestor", one, "--requestor", other]);
    assert_eq!(
        (&both["authentication_conversion"], &both["authorization_ratio"]),
        (&json!(1.0), &json!(1.0))
    );
    // Rows of the events themselves say the same.
    let (_, left) = program.json(&[&DAY[..], &["--requestor", "SUMS", "--by", "token_type"]].concat());
    assert_eq!(left["rows"][0]["authentication_conversion"], Value::Null, "{left}");
}

#[test]
fn a_later_report_with_the_column_fills_it_and_one_without_takes_nothing_away() {
    let program = Program::new();
    let rows = ["8,SUMS,Cable,0,10", "8,SUMS,Dish,0,5"];
    esm(&program, "authn-successful", &["8,SUMS,Cable,10", "8,SUMS,Dish,5"]);
    let attempts = || total(&program, &[])["attempted_authentications"].clone();
    assert_eq!(attempts(), Value::Null);
    esm(&program, "authn-attempts,authn-successful", &rows);
    assert_eq!(attempts(), json!(0), "stated as 0");
    esm(&program, "authn-successful", &["8,SUMS,Cable,12", "8,SUMS,Dish,5"]);
    assert_eq!((attempts(), unknown(&total(&program, &[])).contains(&4)), (json!(0), true));
    // The other way round, in an hour of its own.
    esm(&program, "authn-attempts,authn-successful", &["9,LATER,Cable,0,10"]);
    esm(&program, "authn-successful,media-tokens", &["9,LATER,Cable,11,3"]);
    let later = total(&program, &["--requestor", "LATER"]);
    assert_eq!(
        (&later["attempted_authentications"], &later["successful_play_requests"]),
        (&json!(0), &json!(3))
    );
    // A blank cell is not known; the sum is of the other MVPD.
    esm(&program, "authn-attempts,authn-successful", &["10,BLANK,Cable,,4", "10,BLANK,Dish,2,3"]);
    assert_eq!(total(&program, &["--requestor", "BLANK"])["attempted_authentications"], json!(2));
    assert_eq!(program.run(&["status", "--verify"]).code, 0);
}

#[test]
fn what_the_records_of_one_mvpd_lack_is_empty_there_and_known_of_the_others_in_the_hour() {
    let told = |program: &Program| {
        let (_, json) = program.json(&DAY);
        let remarks = json["remarks"].to_string();
        assert!(remarks.contains("authz-attempts,") && remarks.contains("of SUMS in 1 hour"), "{remarks}");
        let json = program.json(&[&DAY[..], &["--requestor", "SUMS"]].concat()).1;
        assert!(json["total"]["authorization_conversion"].is_null(), "{}", json["total"]);
        let mvpds = json["mvpds"].as_array().expect("MVPDs").iter();
        let figures = |of: &Value| {
            let name = of["mvpd"].as_str().expect("a name").to_owned();
            (name, json!([of["attempted_authorizations"], of["authorization_conversion"]]))
        };
        mvpds.map(figures).collect::<std::collections::BTreeMap<_, _>>()
    };
    let all = "authn-attempts,authn-successful,authz-successful,media-tokens";
    let [with, without] = ["8,SUMS,Alpha,1,1,90,90,100", "8,SUMS,Beta,1,1,80,80"];
    let with_the_column = format!("{all},authz-attempts");
    let blank = format!("{without},");
    let one_file = |program: &Program| esm(program, &with_the_column, &[blank.as_str(), with]);
    let with_first = |program: &Program| {
        esm(program, &with_the_column, &[with]);
        esm(program, all, &[without]);
    };
    let with_last = |program: &Program| {
        esm(program, all, &[without]);
        esm(program, &with_the_column, &[with]);
    };
    let feeds: [&dyn Fn(&Program); 3] = [&one_file, &with_first, &with_last];
    for feed in feeds {
        let program = Program::new();
        esm(&program, &with_the_column, &["8,WHOLE,Alpha,1,1,90,90,100"]);
        // The same records again say nothing new.
        for _ in 0..2 {
            feed(&program);
            let found = told(&program);
            assert_eq!(found["Alpha"], json!([100, 0.9]));
            assert_eq!(found["Beta"], json!([null, null]));
        }
        let csv = program.run(&[&DAY[..], &["--requestor", "SUMS", "--csv"]].concat()).out;
        let is_noted: Vec<bool> =
            csv.lines().skip(1).map(|row| row.contains("partly without ESM columns")).collect();
        assert_eq!(is_noted, [true, false, false], "{csv}");
        let (_, json) = program
            .json(&[&DAY[..], &["--requestor", "SUMS", "--by", "mvpd", "--by", "token_type"]].concat());
        assert_eq!(json["rows"][3]["attempted_authorizations"], Value::Null, "{}", json["rows"]);
        // A later report says how many there were: none.
        esm(&program, &with_the_column, &[with, &format!("{without},0")]);
        let (_, json) = program.json(&[&DAY[..], &["--requestor", "SUMS"]].concat());
        assert_eq!(json["total"]["attempted_authorizations"], json!(100));
        assert!(!json["remarks"].to_string().contains("authz-attempts"), "{}", json["remarks"]);
    }
}

#[test]
fn minutes_that_lack_a_column_make_no_share_of_the_minutes_that_have_it() {
    let program = Program::new();
    let minutes = |metrics: &str, rows: &[&str]| {
        let rows = rows.iter().map(|row| format!("2025,10,7,8,{row}\n")).collect::<String>();
        let head = "year,month,day,hour,minute,requestor-id,mvpd";
        program.write("minutes.csv", &format!("{head},{metrics}\n{rows}"));
        let path = program.path("minutes.csv");
        assert_eq!(program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]).code, 0);
    };
    minutes("authz-successful", &["5,SUMS,Alpha,90", "6,SUMS,Alpha,90"]);
    for _ in 0..2 {
        minutes("authz-successful,authz-attempts", &["20,SUMS,Alpha,90,100"]);
        let total = total(&program, &[]);
        assert_eq!(
            (&total["attempted_authorizations"], &total["authorization_conversion"]),
            (&json!(100), &Value::Null)
        );
    }
}

#[test]
fn a_restored_buffer_knows_what_was_lacking_and_one_of_an_earlier_build_reports_as_it_did() {
    let program = Program::new();
    esm(&program, ALL_BUT_LOGINS, &["8,SUMS,Cable,10,20,15,40"]);
    let copy = program.path("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    let before = total(&program, &[]);
    assert_eq!(before["attempted_authentications"], Value::Null);
    assert_eq!(program.run(&["backup", copy]).code, 0);
    assert_eq!(program.run(&["restore", copy]).code, 0);
    assert_eq!(total(&program, &[]), before);
    assert_eq!(program.run(&["forget", "--mvpd", "Cable", "--mvpd-user-id", "1"]).code, 0);
    assert_eq!(total(&program, &[]), before);
    let database = Connection::open(program.path("passbridge.db")).expect("the buffer");
    // An earlier build noted the columns of an hour without the MVPDs, and one before it noted none.
    let kept = "UPDATE source_memory SET body = 'esm lacking 1' WHERE drops_at = 9223372036854775807";
    assert_eq!(database.execute(kept, []).expect("a note"), 1);
    assert_eq!(total(&program, &[])["attempted_authentications"], Value::Null);
    let kept = "DELETE FROM source_memory WHERE drops_at = 9223372036854775807";
    assert_eq!(database.execute(kept, []).expect("it forgets"), 1);
    drop(database);
    assert_eq!(total(&program, &[])["attempted_authentications"], json!(0));
    // Nobody knows what the earlier build read of this hour, so its columns are taken as they were.
    esm(&program, ALL_BUT_LOGINS, &["8,SUMS,Cable,11,20,15,40"]);
    assert_eq!(total(&program, &[])["attempted_authentications"], json!(0));
}

#[test]
fn accounts_of_some_mvpds_are_no_total_of_all() {
    let program = Program::new();
    let attempts = ["8,SUMS,Cable,5,", "8,SUMS,Dish,7,"];
    esm(&program, "authn-attempts,unique-accounts", &attempts);
    let month = |text: &str| {
        program.write("month.csv", text);
        let path = program.path("month.csv");
        assert_eq!(program.run(&["ingest", "--format", "esm", path.to_str().expect("UTF-8")]).code, 0);
        let (_, json) = program.json(&["report", "--period", "2025-10", "--by", "requestor", "--by", "mvpd"]);
        let rows = json["rows"].as_array().expect("rows").iter();
        let rows: Vec<Value> = rows.map(|row| row["stated_unique_accounts"].clone()).collect();
        (json["total"]["stated_unique_accounts"].clone(), rows, json["remarks"].to_string())
    };
    let (total, rows, remarks) =
        month("year,month,requestor-id,mvpd,unique-accounts\n2025,10,SUMS,Cable,3100\n");
    assert_eq!((total, rows), (Value::Null, vec![json!(3100), Value::Null]));
    assert!(
        remarks.contains("a total over several MVPDs only where it stated one of them together"),
        "{remarks}"
    );
    let (total, rows, _) = month("year,month,requestor-id,unique-accounts\n2025,10,SUMS,5000\n");
    assert_eq!((total, rows), (json!(5000), vec![json!(3100), Value::Null]));
    // Where there is one MVPD only, its figure is the total.
    let alone = Program::new();
    esm(
        &alone,
        "authn-attempts,unique-accounts",
        &["8,SUMS,Cable,5,4", "9,SUMS,Cable,5,3", "9,SUMS,CABLE,1,"],
    );
    let (_, json) = alone.json(&[&DAY[..], &["--by", "hour"]].concat());
    let rows = json["rows"].as_array().expect("rows").iter();
    assert_eq!(rows.map(|row| row["stated_unique_accounts"].clone()).collect::<Vec<_>>(), [4, 3]);
}

#[test]
fn the_remark_counts_hours_once_names_a_few_requestors_and_an_mvpd_is_known_in_every_spelling() {
    let program = Program::new();
    let long = "M".repeat(300);
    let names = ["Cable\u{2028}One", "D=v1", "ÜBER  Kabel", &long];
    for name in names {
        let rows: Vec<String> = (0..6).map(|index| format!("8,R{index},{name},9")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        esm(&program, "authz-successful", &rows);
        esm(&program, "authz-successful,authz-attempts", &["8,R0,Other,1,1"]);
    }
    let (_, json) = program.json(&DAY);
    let mvpds = json["mvpds"].as_array().expect("MVPDs");
    assert_eq!(mvpds.len(), names.len() + 1);
    for mvpd in mvpds {
        let attempts = if mvpd["mvpd"] == "Other" { json!(1) } else { Value::Null };
        assert_eq!(mvpd["attempted_authorizations"], attempts, "{mvpd}");
    }
    let remarks = json["remarks"].to_string();
    assert!(remarks.contains("of R0, R1, R2, and 3 others in 1 hour"), "{remarks}");
}
