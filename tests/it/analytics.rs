//! The client of Adobe Analytics against the sandbox: pages, tokens, the pace, refusals, and answers that are none.

use std::time::{Duration, Instant};

use chrono::{NaiveDate, NaiveDateTime};
use passbridge::analytics::{
    AnalyticsClient, EvarFacts, EventFacts, Fractions, ReportAnswer, ReportRequest, ReportRow, SuiteFacts,
};
use passbridge::config::AnalyticsConfig;
use passbridge::sandbox::{AnalyticsSettings, BulkSettings};
use passbridge::suite::Rsid;
use passbridge::web::{ApiOptions, Cause, ProxySettings, SetupError};

use crate::sandbox_analytics::{Api, HIT, Hit, MIDNIGHT, RSID};

fn rsid() -> Rsid {
    RSID.parse().expect("an rsid")
}

/// What a client of the tests is made of.
struct Options {
    api: ApiOptions,
    config: AnalyticsConfig,
}

impl Options {
    fn client(self) -> Result<AnalyticsClient, SetupError> {
        AnalyticsClient::new(self.api, &self.config)
    }
}

/// Options that suit a test: pauses of milliseconds.
fn options(api: &Api) -> Options {
    let url = api.sandbox.url();
    Options {
        api: ApiOptions {
            ims_url: format!("{url}/ims/token/v3"),
            client_id: "client-one".to_owned(),
            client_secret: "secret-of-client-one".to_owned(),
            scopes: "openid".to_owned(),
            url,
            request_timeout: Duration::from_secs(30),
            proxy: ProxySettings::default(),
        },
        config: AnalyticsConfig { calls_per_window: 1000, window_ms: 60, ..AnalyticsConfig::default() },
    }
}

/// Options with this address.
fn at(url: &str, options: Options) -> Options {
    Options { api: ApiOptions { url: url.to_owned(), ..options.api }, ..options }
}

fn client(api: &Api) -> AnalyticsClient {
    options(api).client().expect("a client")
}

fn day(day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 11, day).and_then(|date| date.and_hms_opt(0, 0, 0)).expect("a day")
}

/// event7 and event5 of two days.
fn request(evar: u16) -> ReportRequest {
    ReportRequest {
        rsid: rsid(),
        from: day(1),
        to: day(3),
        metrics: vec![7, 5],
        evar,
        within: None,
        search: None,
        fractions: Fractions::Refused,
    }
}

/// The rows of a report as `value=event7/event5`, sorted.
fn shown(answer: &ReportAnswer) -> Vec<String> {
    let row = |row: &ReportRow| format!("{}={}/{}", row.value, row.counts[0], row.counts[1]);
    let mut rows: Vec<String> = answer.rows.iter().map(row).collect();
    rows.sort();
    rows
}

fn set(api: &Api, change: impl FnOnce(&mut AnalyticsSettings)) {
    let mut settings = AnalyticsSettings { calls_per_window: 1_000_000, ..AnalyticsSettings::default() };
    change(&mut settings);
    api.sandbox.set_analytics(settings);
}

#[tokio::test]
async fn a_suite_is_read_with_its_evars_and_events() {
    let api = Api::start().await;
    let client = client(&api);
    let facts = SuiteFacts { name: RSID.to_owned(), parent: None, timezone: "US/Pacific".to_owned() };
    assert_eq!(client.suite(&rsid()).await.expect("a suite"), Some(facts.clone()));
    api.wrong(&["evar3=disabled", "event6=disabled", "evar2.merchandising=product", "event5.type=currency"]);
    let evars = client.evars(&rsid()).await.expect("eVars");
    let expected = EvarFacts {
        name: "MVPD".to_owned(),
        data_type: "text".to_owned(),
        allocation: "most_recent_last".to_owned(),
        expiration: "page_view".to_owned(),
        merchandising: "product".to_owned(),
    };
    assert_eq!((evars.len(), evars.get(&2), evars.get(&3)), (33, Some(&expected), None));
    let events = client.events(&rsid()).await.expect("events");
    let expected =
        EventFacts { name: "AuthZ OK".to_owned(), kind: "currency".to_owned(), precision: Some(2) };
    assert_eq!((events.len(), events.get(&5), events.get(&6)), (17, Some(&expected), None));

    api.wrong(&["virtual=parentrsid", "timezone=Europe/Berlin"]);
    let parent = Some("parentrsid".parse().expect("an rsid"));
    let virtual_suite = SuiteFacts { parent, timezone: "Europe/Berlin".to_owned(), ..facts };
    assert_eq!(client.suite(&rsid()).await.expect("a suite"), Some(virtual_suite));
    for wrong in ["missing", "invisible"] {
        api.wrong(&[wrong]);
        assert_eq!(client.suite(&rsid()).await.expect("an answer"), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_report_is_read_to_its_last_page_and_broken_down() {
    let api = Api::start().await;
    set(&api, |settings| settings.rows_per_page_max = 7);
    let names: Vec<String> = (0..20).map(|number| format!("mvpd{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let channel = if number % 2 == 0 { "SPORT1" } else { "it's *" };
        let evars = [(1, channel), (2, name.as_str())];
        api.hit(Hit { visitor: name, evars: &evars, ..HIT }).await;
    }
    api.hit(Hit { events: "event5=9", timestamp: MIDNIGHT + 90_000, ..HIT }).await;
    let client = client(&api);
    let by_mvpd = client.report(&request(2)).await.expect("a report");
    assert_eq!(by_mvpd.rows.len(), 21);
    assert_eq!(by_mvpd.refused, []);
    assert!(shown(&by_mvpd).contains(&"Unspecified=0/9".to_owned()), "{by_mvpd:?}");
    let calls = api.sandbox.analytics_calls().calls;
    assert_eq!(calls, 1 + 3, "the company, and three pages");

    let by_channel = client.report(&request(1)).await.expect("a report");
    assert_eq!(shown(&by_channel), ["SPORT1=10/0", "Unspecified=0/9", "it's *=10/0"]);
    let quoted = by_channel.rows.iter().find(|row| row.value == "it's *").expect("a row").item_id.clone();
    let within = ReportRequest { within: Some((1, quoted)), ..request(2) };
    let inside = client.report(&within).await.expect("a report");
    assert_eq!((inside.rows.len(), inside.rows[0].counts.clone()), (10, vec![1.0, 0.0]));
    let searched = ReportRequest { search: Some("IT'S *".to_owned()), ..request(1) };
    assert_eq!(shown(&client.report(&searched).await.expect("a report")), ["it's *=10/0"]);

    let later = ReportRequest { from: day(4), to: day(5), ..request(2) };
    assert_eq!(client.report(&later).await.expect("a report").rows, []);
}

#[tokio::test]
async fn a_column_that_adobe_refuses_is_never_zero() {
    let api = Api::start().await;
    api.hit(Hit { evars: &[(2, "Cableco")], ..HIT }).await;
    let client = client(&api);
    api.wrong(&["event5=forbidden"]);
    for evar in [2, 1] {
        let answer = client.report(&request(evar)).await.expect("a report");
        assert_eq!(answer.refused, [(5, "unauthorized_metric".to_owned())]);
        assert!(answer.rows[0].counts[0] == 1.0 && answer.rows[0].counts[1].is_nan(), "{answer:?}");
    }
    api.wrong(&["evar2=disabled"]);
    let answer = client.report(&request(2)).await.expect("a report");
    let code = "not_enabled_dimension_global".to_owned();
    assert_eq!((answer.rows, answer.refused), (Vec::new(), vec![(7, code.clone()), (5, code)]));
}

#[tokio::test]
async fn a_token_that_is_said_to_last_for_ever_is_taken_for_a_day() {
    let api = Api::start().await;
    api.sandbox.set_bulk(BulkSettings { token_seconds: u64::MAX, ..BulkSettings::default() });
    assert!(client(&api).suite(&rsid()).await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let api = Api::start().await;
    let client = client(&api);
    set(&api, |settings| settings.forget_tokens_after = 1);
    // The first call has the tokens forgotten, so the second one needs another.
    assert!(client.suite(&rsid()).await.expect("an answer").is_some());
    assert_eq!(client.events(&rsid()).await.expect("events").len(), 18);

    let mut wrong = options(&api);
    wrong.api.client_secret = "topsecret".to_owned();
    let error = wrong.client().expect("a client").suite(&rsid()).await.expect_err("no token");
    let place = format!("{}/ims/token/v3", api.sandbox.address());
    assert_eq!(error.to_string(), format!("{place} refuses an access token with status 401: invalid_client"));
    set(&api, |settings| settings.refuse_tokens = "invalid_scope".to_owned());
    let error = options(&api).client().expect("a client").suite(&rsid()).await.expect_err("no token");
    assert_eq!(error.to_string(), format!("{place} refuses an access token with status 400: invalid_scope"));
}

#[tokio::test]
async fn what_is_for_the_moment_is_asked_again_within_bounds() {
    let api = Api::start().await;
    let client = client(&api);
    for busy_status in [429, 500, 503] {
        set(&api, |settings| (settings.busy_next, settings.busy_status) = (3, busy_status));
        assert!(client.suite(&rsid()).await.expect("an answer").is_some(), "{busy_status}");
    }
    // 150 windows are the longest that a server is given.
    set(&api, |settings| (settings.busy_next, settings.retry_after_seconds) = (1, Some(86_400)));
    let began = Instant::now();
    assert!(client.suite(&rsid()).await.expect("an answer").is_some());
    assert!((Duration::from_secs(9)..Duration::from_secs(30)).contains(&began.elapsed()));
    set(&api, |settings| settings.busy_next = 99);
    let before = api.sandbox.analytics_calls().calls;
    let error = client.suite(&rsid()).await.expect_err("it stays busy");
    assert_eq!(error.status(), Some(503), "{error}");
    assert_eq!(api.sandbox.analytics_calls().calls - before, 5);

    let nobody = at("http://127.0.0.1:1", options(&api));
    let error = nobody.client().expect("a client").suite(&rsid()).await.expect_err("nobody");
    let text = "the companies of these credentials cannot be had from 127.0.0.1:1/discovery/me: ";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[tokio::test]
async fn the_client_keeps_adobes_pace_itself() {
    let api = Api::start().await;
    // Calls take different times to arrive, on a busy machine much different ones: the client's window is the longer one.
    const WINDOW_MS: u64 = 1_500;
    set(&api, |settings| (settings.calls_per_window, settings.window_ms) = (3, 300));
    // The start has called nothing yet that counts.
    let config = AnalyticsConfig {
        calls_per_window: 3,
        window_ms: WINDOW_MS,
        company: "sandbo0".to_owned(),
        ..AnalyticsConfig::default()
    };
    let options = Options { config, ..options(&api) };
    let client = options.client().expect("a client");
    let began = Instant::now();
    for _ in 0..10 {
        client.events(&rsid()).await.expect("events");
    }
    let calls = api.sandbox.analytics_calls();
    assert_eq!((calls.calls, calls.too_many), (10, 0));
    assert!(began.elapsed() >= Duration::from_millis(3 * WINDOW_MS), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_company_is_the_only_one_or_must_be_named() {
    let api = Api::start().await;
    set(&api, |settings| settings.companies = vec!["b0".to_owned(), "a0".to_owned()]);
    let error = client(&api).suite(&rsid()).await.expect_err("which one");
    assert!(matches!(&error.cause, Cause::SeveralCompanies(ids) if *ids == ["a0", "b0"]), "{error}");
    let named = |company: &str| {
        let Options { api, config } = options(&api);
        Options { api, config: AnalyticsConfig { company: company.to_owned(), ..config } }
    };
    let client_of = |company: &str| named(company).client().expect("a client");
    assert!(client_of("b0").suite(&rsid()).await.expect("an answer").is_some());
    let error = client_of("c0").suite(&rsid()).await.expect_err("not ours");
    assert_eq!(error.status(), Some(403), "{error}");
    set(&api, |settings| settings.companies = Vec::new());
    let error = client(&api).suite(&rsid()).await.expect_err("none");
    assert!(matches!(error.cause, Cause::NoCompany), "{error}");
    set(&api, |settings| settings.forbidden = true);
    let error = client_of("sandbo0").events(&rsid()).await.expect_err("no profile");
    let text = "/metrics refuses the events of the suite with status 403: 403025, Profile is not valid";
    assert!(error.to_string().ends_with(text), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_report() {
    let api = Api::start().await;
    api.hit(HIT).await;
    let client = client(&api);
    assert!(client.suite(&rsid()).await.expect("an answer").is_some());
    set(&api, |settings| settings.break_next = 1);
    let error = client.report(&request(1)).await.expect_err("half a report");
    assert!(
        error.to_string().contains("/reports about a report cannot be read: its JSON breaks at line 1"),
        "{error}"
    );
    assert_eq!(client.report(&request(1)).await.expect("a report").rows.len(), 1);
}

#[tokio::test]
async fn secrets_go_out_in_clear_to_this_host_only() {
    let api = Api::start().await;
    let url = at("http://analytics.adobe.io", options(&api));
    let mut ims_url = options(&api);
    ims_url.api.ims_url = "ftp://127.0.0.1/".to_owned();
    for (options, key) in [(url, "analytics.url"), (ims_url, "analytics.ims_url")] {
        let error = options.client().err().expect("no client");
        assert!(error.to_string().starts_with(key), "{error}");
    }
}
