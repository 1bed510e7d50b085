//! Reads Adobe Analytics with its 2.0 API: the settings of a report suite, and reports.
//!
//! - In: a report suite, and the request of a report. Out: Adobe's answer in our types.
//! - Guarantees: calls stay below Adobe's limit. If a token is refused, one new token is requested. Calls
//!   that fail for the moment are retried, with limits. An incomplete report is an error. A column that Adobe
//!   refused is never taken for zeros. Unknown members are ignored. The size of an answer is limited. No
//!   message has a secret.
//! - Does not know: which settings are right, which hits were sent, how a report is compared with other counts.
//! - Rules: "Analytics 2.0 APIs" on developer.adobe.com.

mod answers;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::config::AnalyticsConfig;
use crate::suite::Rsid;
use crate::web::{self, Answer, ApiError, ApiOptions, Cause, Endpoint, Ims, Pace, Patience, SetupError};
use answers::{Dimension, Discovery, Metric, Suite};

pub use answers::{EvarFacts, EventFacts, SuiteFacts};
pub use report::{Fractions, ReportAnswer, ReportRequest, ReportRow};

/// The configuration key of the address, for messages.
const KEY: &str = "analytics.url";
const JSON: &str = "application/json";
/// The longest answer, in bytes. The settings of all 250 eVars of a suite take about 300 KB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Our window is longer than Adobe's by 1/`WINDOW_SLACK_PART` of it, because calls need different times to arrive.
const WINDOW_SLACK_PART: u32 = 20;
/// The members of a report suite, and those of an eVar, to request.
const SUITE_EXPANSION: &str = "name,parentRsid,currency,calendarType,timezoneZoneinfo";
const EVAR_EXPANSION: &str =
    "allocationType,expirationType,expirationCustomDays,dataType,merchandisingSyntax";

/// A client for Analytics. All its calls together stay below the limit, so a command should have one client.
pub struct AnalyticsClient {
    ims: Ims,
    company: OnceCell<String>,
}

/// The endpoint of a URL, for messages; `what` names the answer.
fn endpoint(what: &'static str, url: &Url) -> Endpoint {
    Endpoint::new(what, KEY, url)
}

impl AnalyticsClient {
    /// Makes a client, which sends no request yet. If no company is configured, the client uses that of the
    /// credentials, which must be the only one.
    pub fn new(api: ApiOptions, config: &AnalyticsConfig) -> Result<AnalyticsClient, SetupError> {
        let window = Duration::from_millis(config.window_ms);
        let pace = Pace::new((window + window / WINDOW_SLACK_PART) / config.calls_per_window.max(1));
        let ims = Ims::new((KEY, "analytics.ims_url"), api, Patience::analytics(window), Some(pace))?;
        let company = Some(config.company.clone()).filter(|company| !company.is_empty());
        Ok(AnalyticsClient { ims, company: OnceCell::new_with(company) })
    }

    /// The settings of a suite. `None`: there is no such suite, or these credentials may not see it.
    pub async fn suite(&self, rsid: &Rsid) -> Result<Option<SuiteFacts>, ApiError> {
        let suites = ["reportsuites", "collections", "suites"];
        let mut url = self.beneath(&[&suites[..], &[rsid.as_str()]].concat()).await?;
        url.query_pairs_mut().append_pair("expansion", SUITE_EXPANSION);
        let endpoint = endpoint("the report suite", &url);
        let answer = self.get(&endpoint, &url).await?;
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            let suite: Suite = answer.json(&endpoint)?;
            let other = || endpoint.unreadable("it is about another report suite");
            return if suite.is(rsid) { suite.facts(&endpoint).map(Some) } else { Err(other()) };
        }
        // With a wrong company, or a profile without Analytics, Adobe refuses this list too. That is an error.
        let mut url = self.beneath(&suites).await?;
        url.query_pairs_mut()
            .append_pair("rsids", rsid.as_str())
            .append_pair("expansion", SUITE_EXPANSION)
            .append_pair("limit", "10")
            .append_pair("page", "0");
        let listed: Vec<Suite> = self.get_json("the list of report suites", &url).await?;
        let found = listed.into_iter().find(|suite| suite.is(rsid));
        found.map(|suite| suite.facts(&endpoint)).transpose()
    }

    /// The enabled eVars by number. An absent eVar is disabled, or these credentials may not see it.
    pub async fn evars(&self, rsid: &Rsid) -> Result<BTreeMap<u16, EvarFacts>, ApiError> {
        let dimensions: Vec<Dimension> =
            self.list("the eVars of the suite", "dimensions", rsid, EVAR_EXPANSION).await?;
        Ok(dimensions.into_iter().filter_map(Dimension::evar).collect())
    }

    /// The enabled success events by number. An absent event is disabled, or these credentials may not see it.
    pub async fn events(&self, rsid: &Rsid) -> Result<BTreeMap<u16, EventFacts>, ApiError> {
        let metrics: Vec<Metric> =
            self.list("the events of the suite", "metrics", rsid, "allowedForReporting").await?;
        Ok(metrics.into_iter().filter_map(Metric::event).collect())
    }

    async fn list<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        rsid: &Rsid,
        expansion: &str,
    ) -> Result<Vec<T>, ApiError> {
        let mut url = self.beneath(&[path]).await?;
        url.query_pairs_mut()
            .append_pair("rsid", rsid.as_str())
            .append_pair("locale", "en_US")
            .append_pair("expansion", expansion);
        self.get_json(what, &url).await
    }

    async fn beneath(&self, names: &[&str]) -> Result<Url, ApiError> {
        let company = self.company.get_or_try_init(|| self.discover()).await?;
        Ok(web::beneath(&self.ims.url, [&["api", company][..], names].concat()))
    }

    /// The company of these credentials; an error if there are none or several.
    async fn discover(&self) -> Result<String, ApiError> {
        let url = web::beneath(&self.ims.url, ["discovery", "me"]);
        let what = "the companies of these credentials";
        let found: Discovery = self.get_json(what, &url).await?;
        // Several organisations may list the same company.
        let companies: BTreeSet<String> = found.companies().collect();
        let cause = match Vec::from_iter(companies).as_slice() {
            [company] => return Ok(company.clone()),
            [] => Cause::NoCompany,
            several => Cause::SeveralCompanies(several.to_vec()),
        };
        Err(endpoint(what, &url).error(cause))
    }

    async fn get(&self, endpoint: &Endpoint, url: &Url) -> Result<Answer, ApiError> {
        let request = || self.ims.http.request(Method::GET, url).header(ACCEPT, JSON);
        self.ims.ask(endpoint, ANSWER_BYTES_MAX, request).await
    }

    async fn get_json<T: DeserializeOwned>(&self, what: &'static str, url: &Url) -> Result<T, ApiError> {
        let endpoint = endpoint(what, url);
        self.get(&endpoint, url).await?.json(&endpoint)
    }
}
