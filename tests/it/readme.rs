//! What the README says to type works as written.

use std::fs;
use std::path::Path;

use crate::program::{bare_command, done};
use crate::support::sandbox;

/// Where the README's stand-in listens.
const URL: &str = "http://127.0.0.1:8080";

/// The commands of the first `sh` block below a heading.
fn commands_below(heading: &str) -> Vec<String> {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (_, section) = readme.split_once(heading).expect("the heading");
    let (_, block) = section.split_once("```sh\n").expect("a block of commands");
    let (block, _) = block.split_once("```").expect("the end of the block");
    block.lines().map(|line| line.split('#').next().unwrap_or("").trim().to_owned()).collect()
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
