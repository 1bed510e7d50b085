//! `run` and `serve` on several hosts with one buffer in PostgreSQL.

use serde_json::{Value, json};

use super::server::{Database, wait_until};
use super::{CONFIG, assert_balanced, collector, map, plays};
use crate::program::Program;
use crate::serve::Listening;
use crate::support::{PATIENCE, counted};

const TOKEN: &str = "Authorization: Bearer token-of-the-tests\r\n";
const HERE: &str = "Host: localhost\r\n";

fn house(database: &Database, more: &str) -> Program {
    let program = database.program();
    let told = CONFIG.replace("\"warn\"", "\"info\"");
    let url = database.url();
    program.write(
        "c.toml",
        &format!("[buffer]\nurl = \"{url}\"\n{told}{more}[serve]\nlisten = \"127.0.0.1:0\"\ningest = true\ntokens_file = \"tokens\"\n"),
    );
    program.write("tokens", "token-of-the-tests\n");
    program
}

#[test]
fn two_runs_take_posts_in_drain_on_schedule_and_show_the_same_figures_and_one_goes_on_alone() {
    let Some(database) = Database::new("house") else { return };
    let sandbox = collector("");
    let program = house(&database, "[schedule]\ncron = \"* * * * * *\"\n");
    map(&program, &sandbox, &[]);
    let [first, second] = [(); 2].map(|()| Listening::of(program.command(&["run"])));
    let reply = first.ask("/v1/events", TOKEN, plays(0..20).as_bytes());
    assert_eq!((reply.status, &reply.document["stored"]), (202, &json!(20)), "{reply:?}");
    let reply = second.ask("/v1/events", TOKEN, plays(10..30).as_bytes());
    let expected =
        json!({"read": 20, "stored": 10, "duplicates": 10, "conflicts": 0, "rejected": 0, "errors": []});
    assert_eq!((reply.status, &reply.document), (202, &expected));
    let reply = second.ask("/v1/events", TOKEN, b"{\"event\":\"play_requested\"}\n");
    assert_eq!((reply.status, &reply.document["rejected"]), (400, &json!(1)), "{reply:?}");
    let reply = second.ask("/v1/exchanges", TOKEN, b"{}\n");
    assert!(reply.status == 400 && reply.document.to_string().contains("events alone"), "{reply:?}");
    assert!(sandbox.wait_accepted(30, PATIENCE));
    let shown = |server: &Listening, path: &str| server.look(path, HERE);
    wait_until("the deliveries are recorded", || {
        let status: Value = serde_json::from_str(&shown(&first, "/status").2).expect("a document");
        status["delivered"] == 30
    });
    for server in [&first, &second] {
        assert_eq!([server.get("/healthz").status, server.get("/readyz").status], [200, 200]);
        let (status, _, metrics) = shown(server, "/metrics");
        assert_eq!(status, 200);
        for line in [
            "passbridge_events_delivered_total{suite=\"examplersid\"} 30",
            "passbridge_account_balanced 1",
            "passbridge_slices{suite=\"examplersid\"} 16",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        let (status, _, page) = shown(server, "/");
        assert!(status == 200 && page.contains("delivered  30"), "{page}");
        let (status, _, checks) = shown(server, "/check");
        assert!(status == 200 && checks.contains("max_parked"), "{checks}");
        let (status, _, why) = shown(server, "/event?seq=1");
        assert!(status == 404 && why.contains("PostgreSQL"), "{why}");
    }
    first.kill();
    let reply = second.ask("/v1/events", TOKEN, plays(30..40).as_bytes());
    assert_eq!(reply.document["stored"], 10);
    assert!(sandbox.wait_accepted(40, PATIENCE), "the other goes on, and takes over what the dead one had");
    second.stop();
    assert_eq!(counted(&sandbox), 40);
    assert_balanced(&program, 40);
}

#[test]
fn serve_alone_stores_and_says_when_the_database_is_away() {
    let Some(cluster) = super::Cluster::start(&[]) else { return };
    let database = Database::on(&cluster.url(), "served");
    let program = house(&database, "");
    let server = Listening::of(program.command(&["serve"]));
    let reply = server.ask("/v1/events", TOKEN, plays(0..5).as_bytes());
    assert_eq!((reply.status, &reply.document["stored"]), (202, &json!(5)));
    cluster.pg_ctl(&["-w", "-m", "fast", "stop"]);
    assert_eq!(server.get("/healthz").status, 503);
    let reply = server.get("/readyz");
    assert!(
        reply.status == 503 && reply.document.to_string().contains("cannot use the database"),
        "{reply:?}"
    );
    cluster.pg_ctl(&["-w", "start"]);
    wait_until("it is healthy again", || server.get("/healthz").status == 200);
    let reply = server.ask("/v1/events", TOKEN, plays(0..7).as_bytes());
    assert_eq!((reply.status, &reply.document["stored"]), (202, &json!(2)), "{reply:?}");
    server.stop();
}
