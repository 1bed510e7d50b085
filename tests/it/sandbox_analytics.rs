//! The sandbox shows what Adobe Analytics would: suites, eVars, events and reports of the hits that it accepted, each wrong
//! setting with what it does to them.

use std::time::Duration;

use passbridge::clock::Clock;
use passbridge::event::Instant;
use passbridge::sandbox::{
    AnalyticsSettings, EventRecording, Handle, Sandbox, SandboxOptions, SuiteSettings, TimestampSetting,
    WrongSetting,
};
use reqwest::Client;
use serde_json::{Value, json};

pub(crate) const RSID: &str = "examplersid";
/// 2026-11-01T07:00:00Z: midnight in US/Pacific, the day on which summer time ends there.
pub(crate) const MIDNIGHT: i64 = 1_793_516_400;
const CLIENT_ID: &str = "client-one";

/// A hit for the Data Insertion API, by the tags that matter to reports.
#[derive(Clone, Copy)]
pub(crate) struct Hit<'h> {
    pub(crate) visitor: &'h str,
    /// None is sent where it is 0.
    pub(crate) timestamp: i64,
    pub(crate) events: &'h str,
    pub(crate) evars: &'h [(u16, &'h str)],
    pub(crate) agent: &'h str,
    pub(crate) address: &'h str,
}

pub(crate) const HIT: Hit<'static> =
    Hit { visitor: "abc", timestamp: MIDNIGHT, events: "event7", evars: &[], agent: "", address: "" };

impl Hit<'_> {
    fn body(&self) -> String {
        let tag = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!("<{name}>{value}</{name}>"),
        };
        let timestamp = if self.timestamp == 0 { String::new() } else { self.timestamp.to_string() };
        let evars: String =
            self.evars.iter().map(|(number, value)| tag(&format!("eVar{number}"), value)).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><request><reportSuiteID>{RSID}</reportSuiteID>{}{}{}{}{}{evars}\
             <pageName>p</pageName></request>",
            tag("timestamp", &timestamp),
            tag("visitorID", self.visitor),
            tag("events", self.events),
            tag("userAgent", self.agent),
            tag("ipAddress", self.address),
        )
    }
}

/// A sandbox and a client with a token for it.
pub(crate) struct Api {
    pub(crate) sandbox: Handle,
    client: Client,
    token: String,
}

impl Api {
    pub(crate) async fn start() -> Api {
        Api::with(SandboxOptions::default()).await
    }

    pub(crate) async fn with(options: SandboxOptions) -> Api {
        // Somebody may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = SandboxOptions {
            analytics: AnalyticsSettings { calls_per_window: 1_000_000, ..options.analytics.clone() },
            ..options
        };
        let sandbox = Sandbox::start(options).expect("the sandbox starts");
        let mut api = Api { sandbox, client: Client::new(), token: String::new() };
        let (status, answer) = api.ims("openid").await;
        assert_eq!(status, 200, "{answer}");
        api.token = answer["access_token"].as_str().expect("a token").to_owned();
        api
    }

    async fn ims(&self, scope: &str) -> (u16, Value) {
        let form = format!(
            "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret=secret-of-{CLIENT_ID}&scope={scope}"
        );
        let request = self
            .client
            .post(format!("{}/ims/token/v3", self.sandbox.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        read(request).await
    }

    /// Sends a hit, which is answered with SUCCESS.
    pub(crate) async fn hit(&self, hit: Hit<'_>) {
        let url = format!("{}/b/ss//6", self.sandbox.url());
        let sent =
            self.client.post(url).header("content-type", "application/xml").body(hit.body()).send().await;
        let text = sent.expect("a reply").text().await.expect("a body");
        assert!(text.contains("SUCCESS"), "{text}");
    }

    /// Spoils [`RSID`].
    pub(crate) fn wrong(&self, settings: &[&str]) {
        let wrong = settings.iter().map(|text| text.parse().expect("a wrong setting")).collect();
        self.sandbox.set_wrong(RSID, wrong);
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.sandbox.url());
        read(self.client.get(url).bearer_auth(&self.token).header("x-api-key", CLIENT_ID)).await
    }

    async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.client.put(format!("{}{path}", self.sandbox.url())).body(body.to_string())).await
    }

    async fn post_report(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/api/sandbo0/reports", self.sandbox.url());
        let request = self.client.post(url).bearer_auth(&self.token).header("x-api-key", CLIENT_ID);
        read(request.body(body.to_string())).await
    }

    /// A report of events by a dimension, over the days around [`MIDNIGHT`].
    async fn report(&self, slots: &[u16], dimension: &str, change: impl FnOnce(&mut Value)) -> (u16, Value) {
        let metrics: Vec<Value> = slots
            .iter()
            .map(|slot| json!({ "columnId": slot.to_string(), "id": format!("metrics/event{slot}") }))
            .collect();
        let mut body = json!({
            "rsid": RSID,
            "globalFilters": [{ "type": "dateRange", "dateRange": "2026-10-31T00:00:00.000/2026-11-03T00:00:00.000" }],
            "metricContainer": { "metrics": metrics },
            "settings": { "limit": 400, "dimensionSort": "asc" },
        });
        if !dimension.is_empty() {
            body["dimension"] = json!(dimension);
        }
        change(&mut body);
        self.post_report(&body).await
    }

    /// What event7 shows by an eVar, as `value=count`, in the order of the values.
    async fn plays_by(&self, evar: u16) -> Vec<String> {
        let (status, report) = self.report(&[7], &format!("variables/evar{evar}"), |_| {}).await;
        assert_eq!(status, 200, "{report}");
        shown(&report)
    }

    /// What event7 shows altogether.
    async fn plays(&self) -> f64 {
        let (status, report) = self.report(&[7], "", |_| {}).await;
        assert_eq!(status, 200, "{report}");
        report["summaryData"]["totals"][0].as_f64().expect("a number")
    }
}

fn shown(report: &Value) -> Vec<String> {
    let rows = report["rows"].as_array().expect("rows");
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| format!("{}={}", row["value"].as_str().expect("a value"), row["data"][0]))
        .collect();
    rows.sort();
    rows
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("a reply");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn numbers(list: &Value, prefix: &str) -> usize {
    let ids = list.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id"));
    ids.filter(|id| id.starts_with(prefix)).count()
}

#[tokio::test]
async fn a_suite_that_is_right_is_described_as_the_integration_needs_it() {
    let api = Api::start().await;
    let (_, me) = api.get("/discovery/me").await;
    assert_eq!(me["imsOrgs"][0]["companies"][0]["globalCompanyId"], "sandbo0");
    let suites = "/api/sandbo0/reportsuites/collections/suites";
    let (_, suite) =
        api.get(&format!("{suites}/{RSID}?expansion=name,parentRsid,currency,timezoneZoneinfo")).await;
    let expected =
        json!({"rsid": RSID, "id": RSID, "name": RSID, "currency": "USD", "timezoneZoneinfo": "US/Pacific"});
    assert_eq!(suite, expected);
    let (_, listed) = api.get(&format!("{suites}?rsids={RSID},other&limit=1")).await;
    assert_eq!(listed, json!([{"rsid": RSID, "id": RSID}]));

    let (_, dimensions) = api
        .get(&format!("/api/sandbo0/dimensions?rsid={RSID}&expansion=dataType,allocationType,expirationType"))
        .await;
    assert_eq!(numbers(&dimensions, "variables/evar"), 34);
    let evar2 = &dimensions.as_array().expect("a list")[2];
    assert_eq!((&evar2["id"], &evar2["name"]), (&json!("variables/evar2"), &json!("MVPD")));
    assert_eq!(
        (&evar2["dataType"], &evar2["allocationType"], &evar2["expirationType"]),
        (&json!("text"), &json!("most_recent_last"), &json!("page_view"))
    );
    let (_, metrics) = api.get(&format!("/api/sandbo0/metrics?rsid={RSID}")).await;
    assert_eq!(numbers(&metrics, "metrics/event"), 18);
    let event7 = &metrics.as_array().expect("a list")[7];
    assert_eq!(
        (&event7["name"], &event7["type"], &event7["precision"]),
        (&json!("Play request"), &json!("int"), &json!(0))
    );
}

#[tokio::test]
async fn a_report_counts_each_event_id_once_on_the_days_of_the_suite() {
    let api = Api::start().await;
    for (timestamp, events) in [
        (MIDNIGHT - 1, "event7:a"),
        (MIDNIGHT, "event7=3:b"),
        (MIDNIGHT, "event7=3:b"),
        (MIDNIGHT + 25 * 3600 - 1, "event7:c"),
        (MIDNIGHT + 25 * 3600, "event7:d"),
        (MIDNIGHT, "event5:b"),
    ] {
        api.hit(Hit { timestamp, events, ..HIT }).await;
    }
    let (status, report) = api.report(&[5, 7], "variables/daterangeday", |_| {}).await;
    let row = |id: &str, shown: &str, data: [f64; 2]| json!({"itemId": id, "value": shown, "data": data});
    let expected = json!([
        row("1260931", "Oct 31, 2026", [0.0, 1.0]),
        row("1261001", "Nov 1, 2026", [1.0, 4.0]),
        row("1261002", "Nov 2, 2026", [0.0, 1.0]),
    ]);
    assert_eq!((status, &report["rows"]), (200, &expected));
    assert_eq!(report["summaryData"]["totals"], json!([1.0, 6.0]));
    assert_eq!((&report["lastPage"], &report["totalElements"]), (&json!(true), &json!(3)));

    // The same hour in another zone is another day.
    api.wrong(&["timezone=UTC"]);
    let (_, report) = api.report(&[7], "variables/daterangeday", |_| {}).await;
    assert_eq!(report["summaryData"]["totals"], json!([6.0]));
    assert_eq!(report["rows"][0]["data"], json!([0.0]), "{report}");
    assert_eq!(report["rows"][1]["data"], json!([4.0]), "{report}");
}

#[tokio::test]
async fn values_are_one_in_any_case_and_broken_down_searched_and_paged() {
    let api = Api::start().await;
    for (visitor, evars) in [
        ("a", &[(1, "SPORT1"), (2, "Cableco")][..]),
        ("b", &[(1, "SPORT1"), (2, "CABLECO")]),
        ("c", &[(1, "SPORT1"), (2, "Smallco")]),
        ("d", &[(1, "SPORT2"), (2, "Cableco")]),
        ("e", &[(1, "SPORT2")]),
    ] {
        api.hit(Hit { visitor, evars, ..HIT }).await;
    }
    assert_eq!(api.plays_by(2).await, ["Cableco=3.0", "Smallco=1.0", "Unspecified=1.0"]);
    let (_, by_channel) = api.report(&[7], "variables/evar1", |_| {}).await;
    let rows = by_channel["rows"].as_array().expect("rows");
    let sport1 = rows.iter().find(|row| row["value"] == "SPORT1").expect("a row")["itemId"].clone();
    let within = |item: Value| {
        move |body: &mut Value| {
            body["metricContainer"]["metrics"][0]["filters"] = json!(["f"]);
            body["metricContainer"]["metricFilters"] =
                json!([{"id": "f", "type": "breakdown", "dimension": "variables/evar1", "itemId": item}]);
        }
    };
    let (_, inside) = api.report(&[7], "variables/evar2", within(sport1)).await;
    assert_eq!(
        (shown(&inside), &inside["summaryData"]["totals"]),
        (vec!["Cableco=2.0".to_owned(), "Smallco=1.0".to_owned()], &json!([3.0]))
    );
    let (_, nobody) = api.report(&[7], "variables/evar2", within(json!("0"))).await;
    assert_eq!(nobody["totalElements"], 0);

    let (_, found) = api
        .report(&[7], "variables/evar2", |body| body["search"] = json!({"clause": "CONTAINS 'SMALL'"}))
        .await;
    assert_eq!(shown(&found), ["Smallco=1.0"]);
    let page = |number: u64| {
        move |body: &mut Value| body["settings"] = json!({"limit": 2, "page": number, "dimensionSort": "asc"})
    };
    let (_, first) = api.report(&[7], "variables/evar2", page(0)).await;
    let (_, last) = api.report(&[7], "variables/evar2", page(1)).await;
    assert_eq!(
        (&first["lastPage"], &first["totalPages"], &last["lastPage"]),
        (&json!(false), &json!(2), &json!(true))
    );
    assert_eq!([shown(&first).len(), shown(&last).len()], [2, 1]);
    let (_, shy) = api
        .report(&[7], "variables/evar2", |body| body["settings"]["nonesBehavior"] = json!("exclude-nones"))
        .await;
    assert_eq!(shy["totalElements"], 2);
}

#[tokio::test]
async fn a_hit_shows_after_its_latency() {
    let clock = Clock::fixed(Instant::from_nanos(MIDNIGHT * 1_000_000_000));
    let options = SandboxOptions {
        clock: clock.clone(),
        analytics: AnalyticsSettings { latency_ms: 60_000, ..AnalyticsSettings::default() },
        ..SandboxOptions::default()
    };
    let api = Api::with(options).await;
    api.hit(Hit { timestamp: MIDNIGHT - 5, ..HIT }).await;
    clock.set(Instant::from_nanos((MIDNIGHT + 59) * 1_000_000_000));
    assert_eq!(api.plays().await, 0.0);
    clock.set(Instant::from_nanos((MIDNIGHT + 60) * 1_000_000_000));
    assert_eq!(api.plays().await, 1.0);
}

#[tokio::test]
async fn a_suite_may_be_missing_invisible_or_virtual() {
    let api = Api::start().await;
    let suite = format!("/api/sandbo0/reportsuites/collections/suites/{RSID}?expansion=parentRsid");
    let list = format!("/api/sandbo0/reportsuites/collections/suites?rsids={RSID}");
    for (wrong, status) in [("missing", 404), ("invisible", 403)] {
        api.wrong(&[wrong]);
        assert_eq!(api.get(&suite).await.0, status, "{wrong}");
        assert_eq!(api.get(&list).await.1, json!([]), "{wrong}");
        assert_eq!(api.report(&[7], "", |_| {}).await.0, status, "{wrong}");
    }
    api.wrong(&["missing"]);
    api.hit(HIT).await;
    api.wrong(&["virtual=parentrsid"]);
    assert_eq!(api.get(&suite).await.1["parentRsid"], "parentrsid");
    api.hit(HIT).await;
    api.wrong(&[]);
    api.hit(HIT).await;
    assert_eq!(api.plays().await, 1.0, "neither a missing nor a virtual suite collects");

    let listed = SandboxOptions { forgets_unknown_suites: true, ..SandboxOptions::default() };
    let api = Api::with(listed).await;
    assert_eq!(api.get(&suite).await.0, 404, "it was never listed");
}

#[tokio::test]
async fn what_the_timestamp_setting_or_an_exclusion_drops_is_in_no_report() {
    let api = Api::start().await;
    let other = Hit { agent: "Mozilla/5.0", address: "192.0.2.1", ..HIT };
    for (wrong, kept) in [
        ("timestamps=optional", 3.0),
        ("timestamps=not_allowed", 0.0),
        ("bot=MOZILLA", 2.0),
        ("ip=192.0.", 2.0),
    ] {
        api.sandbox.reset();
        api.wrong(&[wrong]);
        for hit in [HIT, HIT, other] {
            api.hit(hit).await;
        }
        assert_eq!(api.plays().await, kept, "{wrong}");
    }
    api.sandbox.reset();
    api.wrong(&["timestamps=required"]);
    api.hit(Hit { timestamp: 0, ..HIT }).await;
    assert_eq!(api.sandbox.summary().suites[0].dropped_by_timestamp, 1, "the summary knows it too");
    api.wrong(&[]);
    let settings = SuiteSettings { timestamps: TimestampSetting::NotAllowed, ..SuiteSettings::default() };
    api.sandbox.set_suite(RSID, settings);
    api.hit(HIT).await;
    assert_eq!(api.plays().await, 0.0, "the suite's own setting holds too");
}

#[tokio::test]
async fn disabled_and_forbidden_things_are_in_no_list_and_errors_of_their_columns() {
    let api = Api::start().await;
    api.hit(Hit { events: "event5,event7", evars: &[(1, "SPORT1")], ..HIT }).await;
    for (wrong, code) in
        [("event5=disabled", "not_enabled_metric"), ("event5=forbidden", "unauthorized_metric")]
    {
        api.wrong(&[wrong]);
        let (_, metrics) = api.get(&format!("/api/sandbo0/metrics?rsid={RSID}")).await;
        assert_eq!(numbers(&metrics, "metrics/event"), 17);
        let (status, report) = api.report(&[5, 7], "variables/evar1", |_| {}).await;
        let errors = &report["columns"]["columnErrors"];
        assert_eq!(
            (status, &errors[0]["columnId"], &errors[0]["errorCode"]),
            (206, &json!("5"), &json!(code))
        );
        assert_eq!(
            (errors.as_array().map(Vec::len), &report["rows"][0]["data"]),
            (Some(1), &json!([0.0, 1.0]))
        );
    }
    for (wrong, code) in [
        ("evar1=disabled", "not_enabled_dimension_global"),
        ("evar1=forbidden", "unauthorized_dimension_global"),
    ] {
        api.wrong(&[wrong]);
        let (_, dimensions) = api.get(&format!("/api/sandbo0/dimensions?rsid={RSID}")).await;
        assert_eq!(numbers(&dimensions, "variables/evar"), 33);
        let (status, report) = api.report(&[7], "variables/evar1", |_| {}).await;
        assert_eq!((status, &report["columns"]["columnErrors"][0]["errorCode"]), (206, &json!(code)));
        assert_eq!(report["totalElements"], 0);
    }
    // What came while it was disabled is lost for good.
    api.wrong(&["event5=disabled", "evar1=disabled"]);
    api.hit(Hit { events: "event5,event7", evars: &[(1, "SPORT1")], ..HIT }).await;
    api.wrong(&[]);
    let (_, report) = api.report(&[5], "", |_| {}).await;
    assert_eq!(report["summaryData"]["totals"], json!([1.0]));
    assert_eq!(api.plays_by(1).await, ["SPORT1=1.0", "Unspecified=1.0"]);
    assert_eq!(
        api.report(&[7], "variables/evar35", |_| {}).await.0,
        206,
        "no eVar beyond the integration's is enabled"
    );
    assert_eq!(api.report(&[19], "", |_| {}).await.0, 206, "no event either");
}

#[tokio::test]
async fn unique_event_recording_decides_what_a_repeat_counts() {
    let api = Api::start().await;
    // Two repeats within a visit, and another event an hour later.
    let hits = [("event7:a", 0), ("event7:a", 1), ("event7:b", 2), ("event7:c", 3600)];
    for (wrong, plays) in [
        ("event7.recording=use_event_id", 3.0),
        ("event7.recording=always_record", 4.0),
        ("event*.recording=once_per_visit", 2.0),
    ] {
        api.sandbox.reset();
        api.wrong(&[wrong]);
        for (events, seconds) in hits {
            api.hit(Hit { events, timestamp: MIDNIGHT + seconds, ..HIT }).await;
        }
        assert_eq!(api.plays().await, plays, "{wrong}");
    }
    api.sandbox.reset();
    api.wrong(&[]);
    let always = SuiteSettings { recording: EventRecording::AlwaysRecord, ..SuiteSettings::default() };
    api.sandbox.set_suite(RSID, always);
    for _ in 0..2 {
        api.hit(Hit { events: "event7:a", ..HIT }).await;
    }
    assert_eq!(api.plays().await, 2.0, "the suite's own setting holds where none is wrong");
}

#[tokio::test]
async fn evars_that_outlive_their_hit_are_credited_to_later_ones() {
    let api = Api::start().await;
    let hits: [(i64, &[(u16, &str)]); 4] =
        [(0, &[(2, "Cableco")]), (60, &[]), (120, &[(2, "Smallco")]), (120 + 1801, &[])];
    for (wrong, expected) in [
        (&[][..], &["Cableco=1.0", "Smallco=1.0", "Unspecified=2.0"][..]),
        (&["evar2.allocation=original_value_first"], &["Cableco=1.0", "Smallco=1.0", "Unspecified=2.0"]),
        (&["evar2.expiration=visit"], &["Cableco=2.0", "Smallco=1.0", "Unspecified=1.0"]),
        (&["evar2.expiration=day"], &["Cableco=2.0", "Smallco=2.0"]),
        (&["evar2.expiration=minute"], &["Cableco=1.0", "Smallco=1.0", "Unspecified=2.0"]),
        (&["evar2.expiration=never", "evar2.allocation=original_value_first"], &["Cableco=4.0"]),
        (&["evar2.merchandising=product"], &["Unspecified=4.0"]),
        (&["evar2.type=counter"], &["Unspecified=4.0"]),
    ] {
        api.sandbox.reset();
        api.wrong(wrong);
        for (seconds, evars) in hits {
            api.hit(Hit { timestamp: MIDNIGHT + seconds, evars, ..HIT }).await;
        }
        assert_eq!(api.plays_by(2).await, expected, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_suite_without_multi_byte_support_mangles_values() {
    let api = Api::start().await;
    api.wrong(&["single_byte"]);
    api.hit(Hit { evars: &[(2, "Télé")], ..HIT }).await;
    assert_eq!(api.plays_by(2).await, ["TÃ©lÃ©=1.0"]);
}

#[tokio::test]
async fn names_and_types_are_shown_as_they_are_set() {
    let api = Api::start().await;
    api.wrong(&[
        "event7.name=Starts",
        "event7.type=numeric",
        "event5.type=currency",
        "evar2.name=Network",
        "evar2.type=counter",
        "evar2.allocation=linear",
        "evar2.expiration=purchase",
        "evar2.merchandising=conversion_variable",
        "timestamps=not_allowed",
        "single_byte",
        "event5.recording=once_per_visit",
        "event6=disabled",
        "evar3=disabled",
    ]);
    let (_, metrics) = api.get(&format!("/api/sandbo0/metrics?rsid={RSID}")).await;
    let find = |list: &Value, id: &str| {
        list.as_array().expect("a list").iter().find(|one| one["id"] == id).cloned().expect("it is there")
    };
    let event7 = find(&metrics, "metrics/event7");
    assert_eq!(
        (&event7["name"], &event7["type"], &event7["precision"]),
        (&json!("Starts"), &json!("decimal"), &json!(2))
    );
    assert_eq!(find(&metrics, "metrics/event5")["type"], "currency");
    let expansion = "dataType,allocationType,expirationType,merchandisingSyntax";
    let (_, dimensions) =
        api.get(&format!("/api/sandbo0/dimensions?rsid={RSID}&expansion={expansion}")).await;
    let evar2 = find(&dimensions, "variables/evar2");
    let values: Vec<&Value> =
        ["name"].into_iter().chain(expansion.split(',')).map(|name| &evar2[name]).collect();
    assert_eq!(values, ["Network", "counter", "linear", "purchase", "conversion_variable"]);

    let (status, file) = api.get(&format!("/sandbox/suites/{RSID}/settings.tab")).await;
    let file = file.as_str().expect("a text").to_owned();
    assert_eq!((status, &file), (200, &api.sandbox.settings_file(RSID)));
    assert!(
        file.starts_with("\texamplersid\nReport Suite Title\texamplersid\nTime Zone\tUS/Pacific\n"),
        "{file}"
    );
    for line in [
        "Timestamps\tNot Allowed",
        "Multi-byte\tDisabled",
        "event1: Type\tCounter",
        "event1: Unique Event Recording\tUse Event ID",
        "event5: Type\tCurrency",
        "event5: Unique Event Recording\tRecord Once Per Visit",
        "event6: Type\tDisabled",
        "event7: Name\tStarts",
        "event7: Type\tNumeric",
        "eVar1: Name\tChannel",
        "eVar1: Status\tBasic Subrelations",
        "eVar1: Type\tText String",
        "eVar1: Allocation\tMost Recent (Last)",
        "eVar1: Expiration\tHit",
        "eVar1: Merchandising\tDisabled",
        "eVar2: Type\tCounter",
        "eVar2: Allocation\tLinear",
        "eVar2: Expiration\tPurchase",
        "eVar2: Merchandising\tConversion Variable Syntax",
        "eVar3: Status\tDisabled",
    ] {
        assert!(file.lines().any(|found| found == line), "{line:?} is not in\n{file}");
    }
    assert_eq!(file.lines().count(), 6 + 18 * 3 + 34 * 6);
}

#[tokio::test]
async fn tokens_companies_and_the_pace_are_checked_as_adobes_gateway_does() {
    let api = Api::start().await;
    let url = format!("{}/discovery/me", api.sandbox.url());
    let bare = read(api.client.get(&url).bearer_auth("x").header("x-api-key", CLIENT_ID)).await;
    assert_eq!((bare.0, &bare.1["error_code"]), (401, &json!("401013")));
    assert_eq!(read(api.client.get(&url).bearer_auth(&api.token).header("x-api-key", "other")).await.0, 403);
    assert_eq!(api.get(&format!("/api/other0/metrics?rsid={RSID}")).await.0, 403);
    assert_eq!(api.get("/api/sandbo0/segments").await.0, 404);

    let pace = AnalyticsSettings { calls_per_window: 2, window_ms: 600, ..AnalyticsSettings::default() };
    api.sandbox.set_analytics(pace);
    // Those of before fill the window.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(api.get("/discovery/me").await);
    }
    assert_eq!((statuses[0].0, statuses[1].0), (200, 200));
    assert_eq!(statuses[2], (429, json!({"error_code": "429050", "message": "Too many requests"})));
    assert_eq!(api.sandbox.analytics_calls().too_many, 1);

    for (settings, status) in [
        (json!({"calls_per_window": 99, "forbidden": true}), 403),
        (json!({"calls_per_window": 99, "busy_next": 1, "busy_status": 500}), 500),
        (json!({"calls_per_window": 99, "companies": ["a", "b"]}), 200),
    ] {
        assert_eq!(api.put("/sandbox/analytics", &settings).await.0, 200);
        assert_eq!(api.get("/discovery/me").await.0, status, "{settings}");
    }
    assert_eq!(api.put("/sandbox/analytics", &json!({"forbid": true})).await.0, 400);
    assert_eq!(api.put("/sandbox/analytics", &json!({"refuse_tokens": "invalid_scope"})).await.0, 200);
    assert_eq!(api.ims("openid").await, (400, json!({"error": "invalid_scope"})));
}

#[tokio::test]
async fn wrong_settings_are_set_and_told_as_json() {
    let api = Api::start().await;
    let wrong = json!({"wrong": ["event7=disabled", "evar*.expiration=visit"]});
    let path = format!("/sandbox/suites/{RSID}/wrong");
    assert_eq!(api.put(&path, &wrong).await, (200, wrong.clone()));
    assert_eq!(api.get(&path).await, (200, wrong));
    let (status, complaint) = api.put(&path, &json!({"wrong": ["event99=disabled"]})).await;
    assert_eq!(status, 400);
    assert!(complaint["error"].as_str().expect("a text").contains("numbers go from 1 to 18"), "{complaint}");
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_and_reports_need_the_hits() {
    let api = Api::start().await;
    for (pointer, value) in [
        ("/globalFilters/0/dateRange", json!("td-7d/td")),
        ("/globalFilters", json!([])),
        ("/metricContainer/metrics", json!([])),
        ("/metricContainer/metrics/0/id", json!("metrics/visits")),
        ("/metricContainer/metrics/0/filters", json!(["nowhere"])),
        ("/settings/limit", json!(0)),
    ] {
        let spoil = |body: &mut Value| {
            body["metricContainer"]["metrics"][0]["filters"] = json!([]);
            *body.pointer_mut(pointer).expect("it is there") = value.clone();
        };
        let (status, answer) = api.report(&[7], "variables/evar1", spoil).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!("invalid_parameters")), "{pointer}");
    }
    let digest = Api::with(SandboxOptions { keeps_digests_only: true, ..SandboxOptions::default() }).await;
    assert_eq!(digest.report(&[7], "", |_| {}).await.0, 501);
    let spoilt: Result<WrongSetting, _> = "evar2.expiration=hit".parse();
    assert!(spoilt.is_err(), "the API has no such word");
}
