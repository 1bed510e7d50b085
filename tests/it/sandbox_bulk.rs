//! The sandbox's bulk interface answers, counts, judges and fails as Adobe's published one does and as it is told to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use passbridge::sandbox::{
    AcceptedHit, BulkFault, BulkSettings, Handle, Sandbox, SandboxOptions, VisitorKind,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const RSID: &str = "examplersid";
const GROUP: &str = "examplersid_1";
const CLIENT_ID: &str = "client-one";
const HEADER: &str = "reportSuiteID,timestamp,visitorID,userAgent,pageName,linkType,linkName,events,eVar1,eVar3,eVar6,\
    eVar8,eVar9,eVar17\n";

/// A row that breaks no rule.
fn row(visitor: &str, timestamp: i64, events: &str) -> String {
    format!(
        "{RSID},{timestamp},{visitor},passbridge/1,Adobe Pass: AuthZ OK,o,AuthZ OK,{events},\"SPORT, \"\"1\"\"\",Direct,\
         {timestamp},normal,N/A,N/A\n"
    )
}

/// The same hit for the Data Insertion API.
fn document(visitor: &str, timestamp: i64, events: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><request><scXmlVer>1.0</scXmlVer><reportSuiteID>{RSID}</reportSuiteID>\
         <timestamp>{timestamp}</timestamp><visitorID>{visitor}</visitorID><pageName>Adobe Pass: AuthZ OK</pageName>\
         <linkType>o</linkType><linkName>AuthZ OK</linkName><events>{events}</events><eVar1>SPORT, \"1\"</eVar1>\
         <eVar3>Direct</eVar3><eVar6>{timestamp}</eVar6><eVar8>normal</eVar8><eVar9>N/A</eVar9><eVar17>N/A</eVar17>\
         </request>"
    )
}

fn file(rows: &[String]) -> Vec<u8> {
    packed(format!("{HEADER}{}", rows.concat()).as_bytes())
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

fn form(field: &str, file: &[u8]) -> Vec<u8> {
    let head = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"rows.gz\"\r\n\
         Content-Type: application/gzip\r\n\r\n"
    );
    [head.as_bytes(), file, b"\r\n--frontier--\r\n"].concat()
}

/// No limits, no faults.
fn unlimited() -> BulkSettings {
    BulkSettings {
        call_spacing_ms: 0,
        group_spacing_ms: 0,
        group_rows_per_second: u64::MAX,
        ..BulkSettings::default()
    }
}

/// A sandbox and a client with a token for it.
struct Bulk {
    sandbox: Handle,
    client: Client,
    token: String,
}

/// A reply: its status, and its body as JSON.
#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

impl Bulk {
    async fn start(settings: BulkSettings) -> Bulk {
        Bulk::with(SandboxOptions { bulk: settings, ..SandboxOptions::default() }).await
    }

    async fn with(options: SandboxOptions) -> Bulk {
        // Somebody may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let sandbox = Sandbox::start(options).expect("the sandbox starts");
        let mut bulk = Bulk { sandbox, client: Client::new(), token: String::new() };
        bulk.token = bulk.new_token().await;
        bulk
    }

    async fn new_token(&self) -> String {
        let reply = self
            .ims(&format!(
                "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret=secret-of-{CLIENT_ID}&scope=openid"
            ))
            .await;
        assert_eq!(reply.status, 200);
        reply.body["access_token"].as_str().expect("a token").to_owned()
    }

    async fn ims(&self, form: &str) -> Reply {
        let request = self
            .client
            .post(format!("{}/ims/token/v3", self.sandbox.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        read(request).await.expect("a reply")
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client
            .request(method, format!("{}/aa/collect/v1/{path}", self.sandbox.url()))
            .bearer_auth(&self.token)
            .header("x-api-key", CLIENT_ID)
    }

    fn post(&self, path: &str, group: &str, file: &[u8]) -> reqwest::RequestBuilder {
        self.request("POST", path)
            .header("x-adobe-vgid", group)
            .header("content-type", "multipart/form-data; boundary=frontier")
            .body(form("file", file))
    }

    /// The head of an upload, as it stands on the wire.
    fn raw_head(&self, token: &str, length: usize, more: &str) -> String {
        format!(
            "POST /aa/collect/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             x-api-key: {CLIENT_ID}\r\nx-adobe-vgid: {GROUP}\r\nx-adobe-idempotency-key: raw\r\n{more}\
             Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: {length}\r\n\r\n"
        )
    }

    /// Uploads a file; an error where the connection breaks.
    async fn try_upload(&self, group: &str, key: &str, file: &[u8]) -> Result<Reply, reqwest::Error> {
        read(self.post("events", group, file).header("x-adobe-idempotency-key", key)).await
    }

    async fn upload(&self, group: &str, key: &str, file: &[u8]) -> Reply {
        self.try_upload(group, key, file).await.expect("a reply")
    }

    async fn validate(&self, group: &str, file: &[u8]) -> Reply {
        read(self.post("events/validate", group, file)).await.expect("a reply")
    }

    async fn look_up(&self, key: &str) -> Reply {
        read(self.request("GET", &format!("events/key/{key}"))).await.expect("a reply")
    }

    /// Sends one hit by the Data Insertion API.
    async fn send(&self, document: String) {
        let request = self
            .client
            .post(format!("{}/b/ss//6", self.sandbox.url()))
            .header("content-type", "application/xml")
            .header("accept", "application/xml")
            .header("user-agent", "passbridge/1")
            .body(document);
        let reply = request.send().await.expect("a reply").text().await.expect("a body");
        assert!(reply.contains("<status>SUCCESS</status>"), "{reply}");
    }

    fn event5(&self) -> u64 {
        self.sandbox.counted(RSID)[4]
    }

    /// The rules that were broken, each time.
    fn broken(&self) -> Vec<&'static str> {
        self.sandbox.violations().iter().map(|violation| violation.rule.as_str()).collect()
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().expect("ASCII").to_owned());
    let body = response.bytes().await?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    Ok(Reply { status, retry_after, body })
}

#[tokio::test]
async fn rows_of_files_show_in_reports_beside_single_hits_each_event_id_once() {
    let bulk = Bulk::start(unlimited()).await;
    bulk.send(document("one", 1_790_000_000, "event5:a")).await;
    let rows = [row("one", 1_790_000_000, "event5:a"), row("two", 1_790_000_001, "event5:b")];
    assert_eq!(bulk.upload(GROUP, "key", &file(&rows)).await.status, 200);
    let body = json!({
        "rsid": RSID,
        "globalFilters": [{"type": "dateRange", "dateRange": "2026-09-21T00:00/2026-09-22T00:00"}],
        "metricContainer": {"metrics": [{"columnId": "5", "id": "metrics/event5"}]},
        "dimension": "variables/evar1",
    });
    let url = format!("{}/api/sandbo0/reports", bulk.sandbox.url());
    let request = bulk.client.post(url).bearer_auth(&bulk.token).header("x-api-key", CLIENT_ID);
    let report = read(request.body(body.to_string())).await.expect("a reply");
    let shown =
        (&report.body["rows"][0]["value"], &report.body["rows"][0]["data"], &report.body["totalElements"]);
    assert_eq!(shown, (&json!("SPORT, \"1\""), &json!([2.0]), &json!(1)), "{report:?}");
}

#[tokio::test]
async fn a_token_is_given_for_the_secret_of_any_client() {
    let bulk = Bulk::start(unlimited()).await;
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", "a%2Bb"),
        ("client_secret", "secret-of-a%2Bb"),
        ("scope", "openid,x"),
    ];
    let form = |change: &str, value: &str| {
        let pairs = good.map(|(name, old)| format!("{name}={}", if name == change { value } else { old }));
        pairs.join("&")
    };
    let reply = bulk.ims(&form("", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!((&reply.body["token_type"], &reply.body["expires_in"]), (&json!("bearer"), &json!(86_399)));
    for (name, value, status, error) in [
        ("grant_type", "password", 400, "unsupported_grant_type"),
        ("client_id", "", 400, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        ("scope", "", 400, "invalid_scope"),
    ] {
        let reply = bulk.ims(&form(name, value)).await;
        assert_eq!((reply.status, &reply.body), (status, &json!({ "error": error })), "{name}");
    }
    let url = bulk.sandbox.url();
    let status = |response: reqwest::Response| response.status();
    let got = bulk.client.get(format!("{url}/ims/token/v3")).send().await.map(status);
    assert_eq!(got.expect("a reply"), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_upload_is_counted_and_answered_with_what_became_of_its_rows() {
    let bulk = Bulk::start(unlimited()).await;
    let rows = file(&[row("abc", 1_790_000_000, "event5:a"), row("abc", 1_790_000_005, "event5=3:b")]);
    let reply = bulk.upload(GROUP, "key-1", &rows).await;
    assert_eq!(reply.status, 200);
    let received_date = reply.body["received_date"].as_i64().expect("a date");
    assert_eq!(
        reply.body,
        json!({
            "file_id": "00000000-0000-4000-8000-000000000001", "visitor_group_id": GROUP, "size": rows.len(),
            "received_date": received_date, "rows": 2, "invalid_rows": 0, "upload_name": "rows.gz",
            "status": "Ingest completed", "status_code": "UPLOADED", "processing_log": "", "idempotency_key": "key-1",
        })
    );
    assert_eq!(bulk.event5(), 4);
    let hits = bulk.sandbox.hits();
    let expected = AcceptedHit {
        receipt: 2,
        received_at: hits[1].received_at,
        rsid: RSID.to_owned(),
        visitor_kind: Some(VisitorKind::VisitorId),
        visitor: "abc".to_owned(),
        visitor_hash: hits[0].visitor_hash,
        timestamp: Some(1_790_000_005),
        slot: Some(5),
        count: 3,
        serial: Some("b".to_owned()),
        evars: [
            (1, "SPORT, \"1\""),
            (3, "Direct"),
            (6, "1790000005"),
            (8, "normal"),
            (9, "N/A"),
            (17, "N/A"),
        ]
        .map(|(number, value)| (number, value.to_owned()))
        .into(),
        connection: hits[1].connection,
        is_answered: true,
    };
    assert_eq!(hits[1], expected);
    let files = bulk.sandbox.bulk_files();
    assert_eq!((files.len(), files[0].key.as_str(), files[0].group.as_str()), (1, "key-1", GROUP));
    assert_eq!((files[0].rows, files[0].invalid_rows), (2, 0));
    assert_eq!(
        bulk.look_up("key-1").await.body,
        json!({
            "file_id": "00000000-0000-4000-8000-000000000001", "size": rows.len(), "received_date": received_date,
            "rows": 2, "idempotency_key": "key-1",
        })
    );
    let unknown = bulk.look_up("key-2").await;
    assert_eq!((unknown.status, unknown.body), (404, json!({ "error": "File not found" })));
    assert_eq!(bulk.broken(), [""; 0]);
}

#[tokio::test]
async fn an_event_counts_once_whichever_way_it_comes() {
    let bulk = Bulk::start(unlimited()).await;
    bulk.send(document("abc", 10, "event5:a")).await;
    let rows = [row("abc", 10, "event5:a"), row("abc", 20, "event5:b"), row("abc", 30, "event5")];
    assert_eq!(bulk.upload(GROUP, "key-1", &file(&rows)).await.status, 200);
    bulk.send(document("abc", 30, "event5:b").replace("30", "20")).await;
    assert_eq!(bulk.event5(), 3);
    let summary = bulk.sandbox.summary();
    let suite = &summary.suites[0];
    assert_eq!((suite.accepted, suite.duplicates, suite.unique_visitors), (5, 2, 1));
    assert_eq!((suite.page_views, suite.occurrences), (0, 5));
    // The repeats were the same hits in every value. The last hit is older than the last row.
    assert_eq!(bulk.broken(), [""; 0]);
    // Another value under the same event ID is seen, and so is a row behind a live hit.
    bulk.send(document("late", 50, "event5:c")).await;
    let rows = [row("late", 40, "event5:d"), row("late", 50, "event5:c").replace("Direct", "Hub")];
    bulk.upload(GROUP, "key-2", &file(&rows)).await;
    assert_eq!(bulk.broken(), ["DIA-41", "BDIA-39"]);
}

#[tokio::test]
async fn invalid_rows_are_skipped_and_named() {
    let bulk = Bulk::start(unlimited()).await;
    let mut rows: Vec<String> = (0..30).map(|at| row("abc", 100 + at, "event5")).collect();
    rows[0] = rows[0].replace("passbridge/1", "");
    rows[2] = rows[2].replace("normal", "normal,");
    let reply = bulk.upload(GROUP, "key-1", &file(&rows)).await;
    assert_eq!((&reply.body["status_code"], &reply.body["invalid_rows"]), (&json!("UPLOADED"), &json!(2)));
    assert_eq!(
        reply.body["processing_log"],
        "On row: 1, missing 'UserAgent'. This row will not be submitted. On row: 3, inconsistent column count. Expected 14 \
         columns, but found 15. Processing complete: 28 rows will be submitted. 2 rows were invalid."
    );
    assert_eq!(bulk.event5(), 28);
    assert_eq!(bulk.broken(), ["BDIA-03", "BDIA-06"]);
    for row in &mut rows {
        *row = row.replace("passbridge/1", "");
    }
    rows.push(row("abc", 200, "event5"));
    let reply = bulk.upload(GROUP, "key-2", &file(&rows)).await;
    let log = reply.body["processing_log"].as_str().expect("a log");
    assert_eq!(log.matches("missing 'UserAgent'. This").count(), 10);
    assert!(log.contains("missing 'UserAgent' on 19 more rows."), "{log}");
}

#[tokio::test]
async fn what_is_no_file_at_all_is_rejected_and_may_come_again() {
    let bulk = Bulk::start(unlimited()).await;
    let good = row("abc", 100, "event5");
    let text = format!("{HEADER}{good}");
    let twice = HEADER.replace("eVar6", "EVAR1");
    for (number, (file, status, log, error)) in [
        (
            text.clone().into_bytes(),
            400,
            "An error occurred: Not in GZIP format",
            "No hits were found in the file.",
        ),
        (
            packed(text.replace("visitorID", "eVar20").as_bytes()),
            400,
            "No visitor ID found in the file header.",
            "No valid rows",
        ),
        (
            packed(text.replace("timestamp", "eVar20").as_bytes()),
            400,
            "No timestamp field found in the file header. Processing complete: 0 rows will be submitted. 1 rows were",
            "No valid rows were found in the file.",
        ),
        (packed(format!("{twice}{good}").as_bytes()), 400, "Duplicate column", "No valid rows"),
        (
            packed(text.replace("abc", "").as_bytes()),
            200,
            "On row: 1, missing 'VisitorID'",
            "No valid rows were found in the file.",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let reply = bulk.upload(GROUP, &key, &file).await;
        assert_eq!((reply.status, &reply.body["status_code"]), (status, &json!("REJECTED")), "{reply:?}");
        let starts = |name: &str, start| reply.body[name].as_str().is_some_and(|text| text.starts_with(start));
        assert!(starts("processing_log", log) && starts("error", error), "{reply:?}");
        assert_eq!(reply.body["rows"], reply.body["invalid_rows"]);
        assert_eq!(bulk.look_up(&key).await.status, 404);
    }
    assert_eq!((bulk.event5(), bulk.sandbox.bulk_files().len()), (0, 0));
    bulk.sandbox.reset();
    assert_eq!(bulk.upload(GROUP, "key-9", &packed(text.as_bytes())).await.status, 200);
    assert_eq!((bulk.event5(), bulk.broken()), (1, vec![]));
}

#[tokio::test]
async fn a_call_that_is_wrong_at_the_door_counts_nothing() {
    let mut bulk =
        Bulk::start(BulkSettings { compressed_bytes_max: 1000, raw_bytes_max: 5000, ..unlimited() }).await;
    let rows = file(&[row("abc", 100, "event5")]);
    let without = |name: &str| {
        let mut request = bulk.post("events", GROUP, &rows).header("x-adobe-idempotency-key", "key").build();
        request.as_mut().expect("a request").headers_mut().remove(name);
        reqwest::RequestBuilder::from_parts(bulk.client.clone(), request.expect("a request"))
    };
    let missing = |name: &str| json!({ "error": format!("Request is missing required header '{name}'") });
    let invalid = json!({ "error": "Invalid token (1)" });
    for (name, status, body) in [
        ("x-adobe-vgid", 400, missing("x-adobe-vgid")),
        ("x-api-key", 400, missing("x-api-key")),
        ("authorization", 401, invalid.clone()),
    ] {
        let reply = read(without(name)).await.expect("a reply");
        assert_eq!((reply.status, reply.body), (status, body), "{name}");
    }
    assert_eq!(bulk.broken(), ["BDIA-17"; 3]);
    bulk.sandbox.reset();
    let wrong_key = without("x-api-key").header("x-api-key", "other");
    assert_eq!(read(wrong_key).await.expect("a reply").status, 401);
    let wrong_field = without("").body(form("data", &rows));
    assert_eq!(read(wrong_field).await.expect("a reply").status, 400);
    let wrong_type = without("content-type").header("content-type", "application/gzip");
    assert_eq!(read(wrong_type).await.expect("a reply").status, 400);
    assert_eq!(read(bulk.request("POST", "event")).await.expect("a reply").status, 404);
    assert_eq!(bulk.broken(), ["BDIA-17", "BDIA-16", "BDIA-16", "BDIA-16"]);
    bulk.sandbox.reset();
    let random: Vec<u8> = (0..2000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(bulk.upload(GROUP, "large", &random).await.status, 413);
    let long: Vec<String> = (0..100).map(|_| row("abc", 100, "event5")).collect();
    assert_eq!(bulk.upload(GROUP, "long", &file(&long)).await.status, 413);
    assert_eq!(bulk.broken(), ["BDIA-01", "BDIA-01"]);
    bulk.token = "stranger".to_owned();
    for reply in
        [bulk.upload(GROUP, "key", &rows).await, bulk.look_up("key").await, bulk.validate(GROUP, &rows).await]
    {
        assert_eq!((reply.status, reply.body), (401, invalid.clone()));
    }
    assert_eq!(bulk.sandbox.accepted_count(), 0);
}

#[tokio::test]
async fn each_rule_of_uploads_is_told_by_its_number() {
    let settings = BulkSettings { call_spacing_ms: 60_000, company: "refmedia".to_owned(), ..unlimited() };
    let bulk = Bulk::start(settings.clone()).await;
    let rows = |visitor: &str, at| file(&[row(visitor, at, "event5")]);
    assert_eq!(bulk.upload(GROUP, "a", &rows("v", 10)).await.status, 200);
    let early = bulk.upload("examplersid_2", "b", &rows("w", 10)).await;
    assert_eq!((early.status, early.retry_after.as_deref()), (429, Some("60")));
    assert_eq!(bulk.broken(), ["BDIA-19"]);
    let tell = async |settings: BulkSettings, group: &str, key: &str, file: &[u8]| {
        bulk.sandbox.set_bulk(settings);
        let before = bulk.broken().len();
        let reply = bulk.upload(group, key, file).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        bulk.broken().split_off(before)
    };
    let slow = BulkSettings { call_spacing_ms: 0, group_spacing_ms: 60_000, ..settings.clone() };
    assert_eq!(tell(slow.clone(), GROUP, "c", &rows("v", 20)).await, ["BDIA-20"]);
    assert_eq!(tell(slow, "refmedia_1", "d", &rows("x", 20)).await, [""; 0]);
    let open = BulkSettings { call_spacing_ms: 0, ..settings };
    let meagre = BulkSettings { group_rows_per_second: 0, ..open.clone() };
    assert_eq!(tell(meagre, GROUP, "e", &rows("v", 30)).await, ["BDIA-21"]);
    assert_eq!(tell(open.clone(), GROUP, "f", &rows("x", 30)).await, ["BDIA-22"]);
    assert_eq!(tell(open.clone(), "other_1", "g", &rows("y", 30)).await, ["BDIA-24"]);
    assert_eq!(tell(open.clone(), GROUP, "h", &rows("v", 5)).await, ["BDIA-09"]);
    let unsorted = file(&[row("z", 20, "event5"), row("z", 10, "event5")]);
    assert_eq!(tell(open.clone(), GROUP, "i", &unsorted).await, ["BDIA-08"]);
    assert_eq!(tell(open.clone(), GROUP, "", &rows("v", 40)).await, ["BDIA-18"]);
    assert_eq!(tell(open.clone(), GROUP, "h", &rows("v", 50)).await, ["BDIA-18"]);
    assert_eq!(tell(open.clone(), GROUP, "new", &rows("v", 50)).await, ["BDIA-18"]);
    let odd = packed(format!("{HEADER}{}", row("q", 1, "event5").replace('\n', "\r\n")).as_bytes());
    assert_eq!(tell(open.clone(), GROUP, "j", &odd).await, ["BDIA-02"]);
    let unknown = HEADER.replace("eVar6", "fallbackVisitorID");
    let unknown = packed(format!("{unknown}{}", row("r", 1, "event5")).as_bytes());
    assert_eq!(tell(open, GROUP, "k", &unknown).await, ["BDIA-04"]);
}

#[tokio::test]
async fn two_uploads_of_a_group_at_a_time_are_one_too_many() {
    let bulk = Bulk::start(unlimited()).await;
    let many = |visitor: &str| {
        let rows: Vec<String> = (0..20_000).map(|at| row(visitor, at, "event5")).collect();
        file(&rows)
    };
    let (one, two, other) = (many("v"), many("w"), many("x"));
    let (one, two, other) = tokio::join!(
        bulk.upload(GROUP, "a", &one),
        bulk.upload(GROUP, "b", &two),
        bulk.upload("examplersid_2", "c", &other)
    );
    assert_eq!((one.status, two.status, other.status), (200, 200, 200));
    assert_eq!(bulk.event5(), 60_000);
    assert_eq!(bulk.broken(), ["BDIA-20"]);
}

#[tokio::test]
async fn a_repeated_key_counts_again_but_for_its_event_ids() {
    let bulk = Bulk::start(BulkSettings { lookup_blind_ms: 3_600_000, ..unlimited() }).await;
    let rows = file(&[row("abc", 10, "event5"), row("abc", 20, "event5:a")]);
    for (uploads, counted, broken) in [(1, 2, 0), (2, 3, 1)] {
        assert_eq!(bulk.upload(GROUP, "key", &rows).await.body["status_code"], "UPLOADED");
        assert_eq!((bulk.event5(), bulk.sandbox.bulk_files().len()), (counted, uploads));
        assert_eq!(bulk.broken(), vec!["BDIA-31"; broken]);
    }
    // Nobody can know that it was received while the look-up does not.
    assert_eq!(bulk.look_up("key").await.status, 404);
    bulk.upload(GROUP, "key", &rows).await;
    assert_eq!(bulk.broken(), ["BDIA-31"]);
    bulk.sandbox.set_bulk(unlimited());
    assert_eq!(bulk.look_up("key").await.status, 200);
    bulk.upload(GROUP, "key", &rows).await;
    assert_eq!(bulk.broken(), ["BDIA-31", "BDIA-31"]);
    assert!(bulk.sandbox.violations()[1].detail.contains("was looked up"));
}

#[tokio::test]
async fn faults_do_what_their_names_say() {
    let bulk = Bulk::start(unlimited()).await;
    let rows = file(&[row("abc", 10, "event5:a")]);
    let cases: [(&str, Option<u16>, u64); 7] = [
        ("lose_answer", None, 1),
        ("break_before", None, 0),
        ("busy", Some(429), 0),
        ("server_error", Some(500), 0),
        ("server_error_after", Some(500), 1),
        ("too_large", Some(413), 0),
        ("reject", Some(200), 0),
    ];
    for (fault, status, counted) in cases {
        bulk.sandbox.reset();
        let mut settings = serde_json::to_value(unlimited()).expect("JSON");
        settings[fault] = json!(100);
        bulk.sandbox.set_bulk(serde_json::from_value(settings).expect("settings"));
        let reply = bulk.try_upload(GROUP, "key", &rows).await.ok();
        assert_eq!(reply.as_ref().map(|reply| reply.status), status, "{fault}");
        let retry_after = reply.as_ref().and_then(|reply| reply.retry_after.as_deref());
        assert_eq!(retry_after.is_some(), fault == "busy");
        assert_eq!((bulk.event5(), bulk.sandbox.accepted_count()), (counted, counted), "{fault}");
        assert_eq!(bulk.look_up("key").await.status == 200, counted == 1, "{fault}");
        if fault == "reject" {
            assert_eq!(reply.expect("a reply").body["status_code"], "REJECTED");
        }
        bulk.sandbox.set_bulk(unlimited());
        let again = bulk.upload(GROUP, "key", &rows).await;
        assert_eq!((again.status, bulk.event5()), (200, 1), "{fault}");
        let expected = if counted == 1 { vec!["BDIA-31"] } else { vec![] };
        assert_eq!(bulk.broken(), expected, "{fault}");
    }
}

#[tokio::test]
async fn after_a_lost_answer_nothing_is_sent_before_its_key_is_looked_up() {
    let bulk =
        Bulk::start(BulkSettings { faults: [(BulkFault::LoseAnswer, 100.0)].into(), ..unlimited() }).await;
    let rows = |at| file(&[row("abc", at, "event5")]);
    assert!(bulk.try_upload(GROUP, "a", &rows(10)).await.is_err());
    assert!(!bulk.sandbox.hits()[0].is_answered);
    assert!(bulk.try_upload(GROUP, "b", &rows(20)).await.is_err());
    assert_eq!(bulk.broken(), ["BDIA-30"]);
    bulk.sandbox.set_bulk(unlimited());
    assert_eq!(bulk.look_up("b").await.status, 200);
    assert_eq!(bulk.upload(GROUP, "c", &rows(30)).await.status, 200);
    assert_eq!(bulk.broken(), ["BDIA-30"]);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_has_lost_its_answer() {
    let bulk = Bulk::start(unlimited()).await;
    let rows = file(&[row("abc", 10, "event5")]);
    let mut socket = TcpStream::connect(bulk.sandbox.address()).expect("a connection");
    let body = form("file", &rows);
    socket.write_all(bulk.raw_head(&bulk.token, body.len(), "").as_bytes()).expect("a write");
    socket.write_all(&body[..body.len() / 2]).expect("a write");
    drop(socket);
    // Answered on a later turn of the server than the end of that connection.
    assert_eq!(bulk.look_up("another").await.status, 404);
    assert_eq!(bulk.upload(GROUP, "b", &rows).await.status, 200);
    assert_eq!((bulk.event5(), bulk.broken()), (1, vec!["BDIA-30"]));
}

#[tokio::test]
async fn a_client_that_waits_is_asked_for_its_file_once_its_headers_are_right() {
    let bulk = Bulk::start(unlimited()).await;
    let body = form("file", &file(&[row("abc", 10, "event5")]));
    for (token, first_line) in
        [(bulk.token.as_str(), "HTTP/1.1 100 Continue"), ("stranger", "HTTP/1.1 401 Unauthorized")]
    {
        let mut socket = TcpStream::connect(bulk.sandbox.address()).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let head = bulk.raw_head(token, body.len(), "Expect: 100-continue\r\n");
        socket.write_all(head.as_bytes()).expect("a write");
        let mut start = vec![0; first_line.len()];
        socket.read_exact(&mut start).expect("a reply before the body");
        assert_eq!(String::from_utf8_lossy(&start), first_line);
    }
}

#[tokio::test]
async fn the_share_of_a_fault_holds_and_its_seed_gives_the_same_again() {
    let settings = BulkSettings { faults: [(BulkFault::Busy, 30.0)].into(), seed: 5, ..unlimited() };
    let bulk = Bulk::start(settings.clone()).await;
    let draws = async || {
        let mut statuses = Vec::new();
        for number in 0..100 {
            let rows = file(&[row("abc", number, "event5")]);
            statuses.push(bulk.upload(GROUP, &format!("key-{number}"), &rows).await.status);
        }
        statuses
    };
    let first = draws().await;
    let busy = first.iter().filter(|status| **status == 429).count();
    assert!((15..45).contains(&busy), "{busy} of 100");
    bulk.sandbox.reset();
    assert_eq!(draws().await, first);
}

#[tokio::test]
async fn tokens_end_in_time_and_after_so_many_uploads() {
    let mut bulk = Bulk::start(BulkSettings { token_seconds: 2, ..unlimited() }).await;
    let rows = |at| file(&[row("abc", at, "event5")]);
    assert_eq!(bulk.upload(GROUP, "a", &rows(10)).await.status, 200);
    let started = Instant::now();
    while bulk.look_up("a").await.status == 200 {
        assert!(started.elapsed() < Duration::from_secs(10), "the token never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bulk.upload(GROUP, "b", &rows(20)).await.status, 401);
    bulk.sandbox.set_bulk(BulkSettings { forget_tokens_after: 2, ..unlimited() });
    bulk.token = bulk.new_token().await;
    for (key, status) in [("c", 200), ("d", 200), ("e", 401)] {
        assert_eq!(bulk.upload(GROUP, key, &file(&[row("abc", 30, key)])).await.status, status);
    }
    bulk.token = bulk.new_token().await;
    for key in ["f", "g", "h"] {
        assert_eq!(bulk.upload(GROUP, key, &file(&[row("abc", 40, key)])).await.status, 200, "only once");
    }
}

#[tokio::test]
async fn rows_that_are_declared_invalid_are_the_same_on_a_repeat() {
    let settings = BulkSettings {
        invalid_rows_per_100000: 10_000,
        name_all_invalid: true,
        seed: 3,
        call_spacing_ms: 0,
        ..unlimited()
    };
    let bulk = Bulk::start(settings).await;
    let rows: Vec<String> = (0..400).map(|at| row("abc", at, "event5")).collect();
    let first = bulk.upload(GROUP, "a", &file(&rows)).await.body;
    let invalid = first["invalid_rows"].as_u64().expect("a number");
    assert!((15..80).contains(&invalid), "{invalid} of 400");
    assert_eq!(bulk.event5(), 400 - invalid);
    let log = first["processing_log"].as_str().expect("a log");
    assert_eq!(log.matches("On row: ").count() as u64, invalid);
    assert_eq!(bulk.broken(), [""; 0]);
    assert_eq!(bulk.upload(GROUP, "a", &file(&rows)).await.body["processing_log"], log);
    assert_eq!(bulk.sandbox.bulk_files()[1].invalid_rows, invalid);
}

#[tokio::test]
async fn a_file_is_validated_without_being_counted_and_once_for_a_format() {
    let bulk = Bulk::start(unlimited()).await;
    let good = file(&[row("abc", 10, "event5")]);
    let bad = file(&[row("abc", 10, "event5"), row("abc", 10, "event5").replace("passbridge/1", "")]);
    let reply = bulk.validate(GROUP, &bad).await;
    let error = "File has 1 rows that do not conform to the required CSV format! (Ex: row #2)";
    assert_eq!((reply.status, reply.body), (400, json!({ "error": error })));
    assert_eq!(bulk.validate(GROUP, b"no gzip").await.status, 400);
    let reply = bulk.validate(GROUP, &good).await;
    assert_eq!((reply.status, reply.body), (200, json!({ "success": "File is valid" })));
    assert_eq!(bulk.broken(), [""; 0]);
    assert_eq!(bulk.validate("examplersid_2", &good).await.status, 200);
    assert_eq!(bulk.broken(), ["BDIA-37"]);
    assert_eq!((bulk.sandbox.accepted_count(), bulk.sandbox.bulk_files().len()), (0, 0));
}

#[tokio::test]
async fn settings_and_files_are_had_over_http() {
    let bulk = Bulk::start(BulkSettings::default()).await;
    let url = format!("{}/sandbox/bulk", bulk.sandbox.url());
    let put = |body: &str| read(bulk.client.put(&url).body(body.to_owned()));
    assert_eq!(put(r#"{"call_spacing":1}"#).await.expect("a reply").status, 400);
    let reply = put(r#"{"call_spacing_ms":0,"group_spacing_ms":0,"busy":0.5}"#).await.expect("a reply");
    assert_eq!((&reply.body["busy"], &reply.body["token_seconds"]), (&json!(0.5), &json!(86_399)));
    bulk.upload(GROUP, "key", &file(&[row("abc", 10, "event5")])).await;
    let files = read(bulk.client.get(&url)).await.expect("a reply").body;
    let received_at = &files["files"][0]["received_at"];
    assert!(received_at.is_string(), "{files}");
    let file =
        json!({ "key": "key", "group": GROUP, "rows": 1, "invalid_rows": 0, "received_at": received_at });
    assert_eq!(files, json!({ "files": [file] }));
}

#[tokio::test]
async fn a_strict_sandbox_rejects_a_file_that_breaks_a_rule() {
    let options = SandboxOptions { bulk: unlimited(), is_strict: true, ..SandboxOptions::default() };
    let bulk = Bulk::with(options).await;
    let reply = bulk.upload(GROUP, "a", &file(&[row("a-c", 10, "event5")])).await;
    assert_eq!((reply.status, &reply.body["status_code"]), (400, &json!("REJECTED")));
    assert!(reply.body["processing_log"].as_str().is_some_and(|log| log.starts_with("DIA-21: row 1: ")));
    assert_eq!(bulk.event5(), 0);
}

#[tokio::test]
async fn forty_thousand_rows_are_counted_while_other_connections_are_served() {
    let options = SandboxOptions { bulk: unlimited(), keeps_digests_only: true, ..SandboxOptions::default() };
    let bulk = Bulk::with(options).await;
    let rows: Vec<String> =
        (0..40_000).map(|at| row(&format!("v{}", at % 500), at, &format!("event5:{at}"))).collect();
    let rows = file(&rows);
    let started = Instant::now();
    let (reply, ()) = tokio::join!(bulk.upload(GROUP, "a", &rows), bulk.send(document("live", 10, "event5")));
    let elapsed = started.elapsed();
    assert_eq!((reply.status, bulk.event5()), (200, 40_001));
    assert_eq!(bulk.broken(), [""; 0]);
    assert!(elapsed < Duration::from_secs(60), "{elapsed:?}");
}
