//! What stood in the way of a run stands in its record, its report and its log, with the cause and since when.

use std::net::TcpListener;
use std::time::Duration;

use passbridge::delivery::TroubleKind;
use passbridge::drain::StopReason;

use crate::program::Program;
use crate::support::{House, plays, sandbox};

#[test]
fn a_host_that_refuses_connections_is_a_trouble_since_the_first_run_that_met_it_until_one_gets_through() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let house = House::new();
    let mut suite = house.suite(&format!("http://{address}"));
    house.store(plays(20));
    let first = house.drain();
    let [trouble] = &first.troubles[..] else { panic!("{:?}", first.troubles) };
    assert_eq!((trouble.kind, &trouble.rsid, trouble.stopped), (TroubleKind::Connect, &None, true));
    assert_eq!((trouble.since, first.stopped), (first.started_at, Some(StopReason::Host)));
    assert!(trouble.cause.contains("refused") && trouble.attempts >= 10, "{trouble}");
    let second = house.drain();
    assert_eq!(second.troubles[0].since, first.started_at);
    assert_eq!(house.buffer.runs(1).expect("a run")[0].troubles(), second.troubles);

    let sandbox = sandbox("429 first=1 retry-after=1");
    suite.collection_url = sandbox.url().parse().expect("a URL");
    house.buffer.set_suite(suite).expect("the suite moves");
    let third =
        house.drain_with(|options| options.retry.backoff_max = Duration::from_secs(5)).expect("a drain");
    let [trouble] = &third.troubles[..] else { panic!("{:?}", third.troubles) };
    assert_eq!((trouble.kind, trouble.stopped, third.delivered), (TroubleKind::Throttled, false, 20));
    assert!(trouble.cause.contains("429") && trouble.cause.contains("1 s"), "{trouble}");
    house.store(plays(21));
    assert_eq!(house.drain().troubles, []);
}

#[test]
fn a_run_names_twenty_dead_events_and_counts_the_rest() {
    let sandbox = sandbox("failure=\"Syntax Error\" only-evar2=bad");
    let program = Program::new();
    program.suite(&sandbox.url());
    let line = |number: usize| {
        let mvpd = if number.is_multiple_of(5) { "bad" } else { "good" };
        format!(
            "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"mvpd\":\"{mvpd}\",\"mvpd_user_id\":\"u{number}\"}}\n",
            1_793_491_200 + number
        )
    };
    program.write("events.ndjson", &(0..300).map(line).collect::<String>());
    assert_eq!(program.run(&["ingest", program.path("events.ndjson").to_str().expect("UTF-8")]).code, 0);
    let done = program.run(&["drain"]);
    assert_eq!(done.code, 3, "{}", done.err);
    assert_eq!(done.err.matches("event is dead").count(), 20, "{}", done.err);
    assert!(done.err.contains("more events are dead") && done.err.contains("events=40"), "{}", done.err);
}

#[test]
fn the_log_the_report_and_its_json_say_why_a_host_is_down() {
    let sandbox = sandbox("refuse");
    let program = Program::new();
    program.suite(&sandbox.url());
    program.ingest(30);
    drop(sandbox);
    let done = program.run(&["drain"]);
    assert_eq!(done.code, 4);
    let warned =
        done.err.lines().find(|line| line.contains("the collection host is down")).expect("a warning");
    assert!(warned.contains("refused"), "{warned}");
    assert!(done.out.contains("trouble: http://127.0.0.1:") && done.out.contains("since"), "{}", done.out);
    let (_, run) = program.json(&["drain"]);
    assert_eq!(
        (&run["troubles"][0]["kind"], &run["troubles"][0]["stopped"]),
        (&"connect".into(), &true.into())
    );
    assert!(run["troubles"][0]["since"].as_str() < run["started_at"].as_str(), "{run}");
}
