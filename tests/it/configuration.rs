//! `config` names each mistake, and shows where each value comes from.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Program, done};

#[test]
fn each_mistake_is_named_and_not_only_the_first() {
    let program = Program::bare();
    program.write("c.toml", "[delivery]\nlane = 8\nlanes = 0\n[delivry]\n[schedule]\ncron = \"never\"\n");
    let mut command = program.command(&["config", "check", "--json"]);
    command.env("PASSBRIDGE_DELIVERY__MAX_ATTEMPTS", "many");
    let checked = done(command);
    assert_eq!(checked.code, 2, "{checked:?}");
    let report: Value = serde_json::from_str(&checked.out).expect("a document");
    let says: Vec<&str> = report["mistakes"]
        .as_array()
        .expect("mistakes")
        .iter()
        .filter_map(|one| one["says"].as_str())
        .collect();
    for part in ["\"lane\"", "delivery.lanes: 0", "\"delivry\"", "max_attempts: \"many\"", "schedule.cron"] {
        assert!(says.iter().any(|says| says.contains(part)), "{part} in {says:?}");
    }
    assert_eq!(says.len(), 5, "{says:?}");

    program.write("c.toml", "[serve]\ningest = true\n");
    let checked = program.run(&["config", "check"]);
    assert!(checked.code == 2 && checked.out.contains("serve.listen is off"), "{checked:?}");
    for (section, key, url, why) in [
        ("analytics", "url", "analytics.adobe.io", "relative URL without a base"),
        ("analytics", "ims_url", "http://ims.example.com", "use https"),
        ("bulk", "url", "ftp://h/", "neither https nor http"),
        ("bulk", "ims_url", "https://h:port/", "invalid port number"),
        ("esm", "url", "https://bob:very-secret%40h/v1", "invalid port number"),
        ("esm", "dcr_url", "https://", "empty host"),
    ] {
        program.write("c.toml", &format!("[{section}]\n{key} = \"{url}\"\n"));
        let checked = program.run(&["config", "check"]);
        let place = format!("c.toml:2: {section}.{key} ");
        assert!(checked.code == 2 && checked.out.contains(&place), "{checked:?}");
        assert!(checked.out.contains(why) && !checked.out.contains("very-secret"), "{checked:?}");
    }
    program.write("c.toml", "");
    let checked = program.run(&["config", "check"]);
    assert!(checked.code == 0 && checked.out.ends_with("c.toml: ok\n"), "{checked:?}");
}

#[test]
fn a_warning_about_the_configuration_comes_once() {
    let program = Program::new();
    let add = "suite add --requestor REF30 --rsid s --collection-url http://127.0.0.1:9";
    for line in [add, "suite list", "suite pause s", "suite export -", "status", "drain"] {
        let mut command = program.command(&line.split(' ').collect::<Vec<&str>>());
        command.env("PASSBRIDGE_LANES", "8");
        let told = done(command).err.matches("PASSBRIDGE_LANES is not read").count();
        assert_eq!(told, 1, "{line}");
    }
}

#[test]
fn each_value_is_shown_with_its_source_and_secrets_are_not() {
    let program = Program::bare();
    program.write("c.toml", "[delivery]\nlanes = 8\n\n[bulk]\nclient_secret = \"very-secret\"\n[map.m]\nkeys = { mvpd = \"idp\" }\n");
    let shown = |args: &[&str]| {
        let mut command = program.command(args);
        command.env("PASSBRIDGE_LOG__LEVEL", "debug");
        // A URL without its colon, and one without a scheme.
        command.env("PASSBRIDGE_ANALYTICS__URL", "https//bob:very-secret@h");
        command.env("PASSBRIDGE_ESM__URL", "bob:very-secret@h");
        command.env("PASSBRIDGE_BULK__URL", "https://bob:very-secret@h/v1");
        command.env("PASSBRIDGE_BULK__IMS_URL", "https://bob:a very-secret@h/v1");
        command.env("PASSBRIDGE_ESM__DCR_URL", "https://bob:very-secret%40h/v1");
        command.env("PASSBRIDGE_ANALYTICS__IMS_URL", "https://h/v1;token=very-secret");
        done(command)
    };
    let text = shown(&["config", "show", "--json"]);
    assert!(text.code == 0 && !text.out.contains("very-secret"), "{text:?}");
    assert!(!shown(&["config", "show"]).out.contains("very-secret"));
    let report: Value = serde_json::from_str(&text.out).expect("a document");
    let of = |key: &str| {
        let found = report["keys"].as_array().expect("keys").iter().find(|one| one["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key}"));
        let from = found["from"].as_str().expect("a text");
        json!([found["value"], from.rsplit('/').next()])
    };
    assert_eq!(of("delivery.lanes"), json!([8, "c.toml:2"]));
    assert_eq!(of("delivery.max_attempts"), json!([8, "default"]));
    assert_eq!(of("log.level"), json!(["debug", "PASSBRIDGE_LOG__LEVEL"]));
    assert_eq!(of("bulk.client_secret"), json!(["...", "c.toml:5"]));
    assert_eq!(of("analytics.client_secret"), json!(["", "default"]));
    assert_eq!(of("map.m")[1], "c.toml:6");
    let given = shown(&["config", "show", "--given"]);
    assert!(given.out.contains("delivery.lanes") && !given.out.contains("max_attempts"), "{given:?}");
}

#[test]
fn no_command_echoes_a_password_of_a_url_with_odd_signs() {
    let odd = [
        "https://bob:very-secret%40h/v1",
        "https://127.0.0.1:1/v1;token=very-secret",
        "https://bob:a very-secret@h",
    ];
    for url in odd {
        let program = Program::new();
        program.write("statement", "statement");
        let text = format!(
            "[esm]\nsoftware_statement_file = \"statement\"\nurl = {url:?}\ndcr_url = {url:?}\n\
             [analytics]\nclient_id = \"c\"\nclient_secret = \"0123456789abcdef\"\nurl = {url:?}\nims_url = {url:?}\n\
             [bulk]\nclient_id = \"c\"\nclient_secret = \"0123456789abcdef\"\nurl = {url:?}\nims_url = {url:?}\n\
             [notify]\nping_url = {url:?}\n"
        );
        program.map("R", "s", "http://127.0.0.1:9", &[]);
        program.write("c.toml", &text);
        let hours = ["--from", "2026-11-10", "--to", "2026-11-11"];
        let commands = [
            &["suite", "add", "--requestor", "REF30", "--rsid", "t", "--collection-url", url][..],
            &["suite", "set", "s", "--collection-url", url],
            &[&["pull", "esm"][..], &hours].concat(),
            &["doctor"],
            &["config", "check"],
            &["config", "show"],
            &["suite", "check", "s"],
            &[&["reconcile", "--suite", "s", "--esm", "live"][..], &hours].concat(),
            &["drain"],
        ];
        // Most of them wait between their tries, so they run together.
        let running = commands.map(|command| {
            let mut child = program.command(&[command, &["--json"]].concat());
            (
                command.join(" "),
                child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts"),
            )
        });
        for (command, child) in running {
            let done = child.wait_with_output().expect("it ends");
            let said =
                [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(!said.contains("very-secret"), "{url} {command}: {said}");
        }
    }
}
