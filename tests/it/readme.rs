//! What the README says to type works as written.

use std::fs;
use std::path::Path;

use crate::program::{Program, bare_command, done};
use crate::serve::Listening;
use crate::support::{sandbox, sandbox_with};

/// Where the README's stand-in listens.
const URL: &str = "http://127.0.0.1:8080";

/// The commands of the first `sh` block below a heading of a page.
fn commands_of(page: &str, heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("the page");
    let (_, section) = readme.split_once(heading).expect("the heading");
    let (_, block) = section.split_once("```sh\n").expect("a block of commands");
    let (block, _) = block.split_once("```").expect("the end of the block");
    block.lines().map(|line| line.split('#').next().unwrap_or("").trim().to_owned()).collect()
}

fn commands_below(heading: &str) -> Vec<String> {
    commands_of("README.md", heading)
}

#[test]
fn the_page_of_backfills_leads_to_a_finished_one() {
    let page = "docs/backfill.md";
    let sandbox = sandbox("");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::os::unix::fs::symlink(&fixtures, folder.path().join("fixtures")).expect("a link to the fixtures");
    std::os::unix::fs::symlink(fixtures.join("demo"), folder.path().join("archive")).expect("a link");
    let run = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "passbridge", "{line}");
        let mut command = bare_command(folder.path());
        command.args(&words[1..]);
        done(command)
    };
    for line in [
        "init",
        "suite add --requestor REF30 --requestor REF40 --rsid examplersid --event-ids on --collection-url URL",
    ] {
        assert_eq!(run(&format!("passbridge {}", line.replace("URL", &sandbox.url()))).code, 0);
    }
    for line in commands_of(page, "\n## From a folder of files") {
        let done = run(&line);
        assert_eq!(done.code, 0, "{line}: {done:?}");
    }
    assert_eq!(sandbox.accepted_count(), 40, "38 events, one of them counts three times");
    // The others, on a backfill that has nothing left: what they print matters less than that they are commands.
    for line in commands_of(page, "\n## Beside live traffic") {
        let done = run(&line.replace("archive/*.ndjson.gz", "archive/ref50.ndjson"));
        let is_expected = matches!(done.code, 0)
            || done.err.contains("there is a backfill y2025 already")
            || done.err.contains("nothing to pause")
            || done.err.contains("nothing to cancel");
        assert!(is_expected, "{line}: {done:?}");
    }
}

#[test]
fn the_page_of_reports_shows_commands_that_answer() {
    let program = Program::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/ref30.ndjson");
    assert_eq!(program.run(&["ingest", demo.to_str().expect("UTF-8")]).code, 0);
    let lines = commands_of("docs/reporting.md", "# Reports");
    assert!(lines.len() > 4);
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], "passbridge", "{line}");
        let done = program.run(&words[1..]);
        assert_eq!((done.code, done.out.is_empty()), (0, false), "{line}: {done:?}");
        let names_a_period = words.len() > 2;
        assert_eq!(done.out.contains("Nothing was counted"), !names_a_period, "{line}: {done:?}");
    }
}

#[test]
fn the_page_of_reconciling_finds_that_all_agree() {
    let page = "docs/reconcile.md";
    let sandbox = sandbox("");
    let url = sandbox.url();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::os::unix::fs::symlink(fixtures, folder.path().join("fixtures")).expect("a link to the fixtures");
    let config = format!(
        "[analytics]\nurl = \"{url}\"\nims_url = \"{url}/ims/token/v3\"\nclient_id = \"reader\"\n\
         client_secret_file = \"secret\"\n\
         [esm]\nurl = \"{url}/esm/v3\"\ndcr_url = \"{url}\"\nsoftware_statement_file = \"secret\"\n"
    );
    fs::write(folder.path().join("passbridge.toml"), config).expect("a configuration");
    fs::write(folder.path().join("secret"), "secret-of-reader\n").expect("a secret");
    let run = |line: &str| {
        let mut command = bare_command(folder.path());
        command.args(line.split_whitespace().skip(1));
        let done = done(command);
        assert_eq!(done.code, 0, "{line}: {done:?}");
        done.out
    };
    for line in [
        "passbridge init",
        "passbridge suite add --requestor REF30 --rsid examplersid --count-with-id --collection-url URL",
        "passbridge ingest fixtures/esm/hour.json",
        "passbridge pull esm --from 2026-11-12 --to 2026-11-13 --requestor REF30",
        "passbridge drain",
    ] {
        run(&line.replace("URL", &url));
    }
    for heading in ["\n## Every morning", "\n## With ESM"] {
        for line in commands_of(page, heading) {
            let told = run(&line);
            assert!(
                told.contains("they agree\n") || told.contains("\"verdict\":\"agrees\""),
                "{line}: {told}"
            );
        }
    }
}

#[test]
fn the_page_of_onboarding_leads_to_a_confirmed_suite_by_copy_and_paste() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/onboarding.md"));
    let page = page.expect("the page");
    let (_, section) = page.split_once("\n## Rehearse it").expect("the heading");
    let (_, block) = section.split_once("```sh\n").expect("a block of commands");
    let (script, _) = block.split_once("```").expect("its end");
    let sandbox = sandbox_with("", |options| options.analytics.calls_per_window = 1_000_000);
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let built = Path::new(env!("CARGO_BIN_EXE_passbridge")).parent().expect("its folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-e", "-c", &script.replace(URL, &sandbox.url())])
        .env_clear()
        .env("PATH", format!("{}:{path}", built.display()))
        // Adobe's pace is kept elsewhere; here it would only make the test wait.
        .env("PASSBRIDGE_ANALYTICS__CALLS_PER_WINDOW", "1000")
        .current_dir(folder.path());
    let done = done(shell);
    assert_eq!(done.code, 0, "{done:?}");
    for line in [
        "report suite devsports \"devsports\" of REF30: 1 to be warned of, 5 to confirm",
        "57 hits: everything was seen as it was sent",
        "report suite devsports \"devsports\" of REF30: all is as it should be",
        "confirmed        event-types by Ann Example on 20",
    ] {
        assert!(done.out.contains(line), "{line:?} is missing: {}", done.out);
    }
}

#[test]
fn the_steps_by_hand_work_as_written() {
    let sandbox = sandbox("");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::os::unix::fs::symlink(fixtures, folder.path().join("fixtures")).expect("a link to the fixtures");
    for line in commands_below("\n## By hand") {
        let line = line.replace(URL, &sandbox.url());
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "passbridge", "{line}");
        let mut command = bare_command(folder.path());
        command.args(&words[1..]);
        let done = done(command);
        assert_eq!(done.code, 0, "{line}: {done:?}");
    }
    assert_eq!(sandbox.accepted_count(), 22, "20 events, one of them counts three times");
}

#[test]
fn what_the_readme_posts_is_stored_as_it_says() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (_, section) = readme.split_once("\n## Posting events").expect("the heading");
    let (_, toml) = section.split_once("```toml\n").expect("a configuration");
    let (toml, _) = toml.split_once("```").expect("its end");
    let program = Program::with(&toml.replace("127.0.0.1:8090", "127.0.0.1:0"));
    program.write("tokens", "a-token-of-the-readme\n");
    let line = commands_below("\n## Posting events").join(" ");
    let (_, header) = line.split_once("-H \"").expect("a header");
    let (header, rest) = header.split_once("\" ").expect("its end");
    let header = header.replace("$(head -1 tokens)", "a-token-of-the-readme");
    let (_, rest) = rest.split_once("--data-binary @").expect("a body");
    let (body, url) = rest.split_once(' ').expect("an address");
    let body = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(body)).expect("the body");
    let path = url.trim().strip_prefix("http://127.0.0.1:8090").expect("the address of the configuration");
    let server = Listening::start(&program);
    let reply = server.ask(path, &format!("{header}\r\n"), &body);
    assert_eq!(reply.status, 202, "{reply:?}");
    let (_, shown) = section.split_once("`{\"read\"").expect("the receipt");
    let (shown, _) = shown.split_once('`').expect("its end");
    let shown: serde_json::Value = serde_json::from_str(&format!("{{\"read\"{shown}")).expect("JSON");
    assert_eq!(reply.document, shown);
}

#[test]
fn the_transcript_is_what_the_demo_prints() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (_, section) = readme.split_once("## What the demo shows").expect("the heading");
    let (_, block) = section.split_once("```text\n").expect("a transcript");
    let (transcript, _) = block.split_once("```").expect("the end of the transcript");
    let mut command = bare_command(Path::new("/"));
    command.arg("demo");
    let done = done(command);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.out.trim_end(), transcript.trim_end());
}
