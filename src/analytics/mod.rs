//! Reads Adobe Analytics by its 2.0 API: how a report suite is set, and what it reports.
//!
//! - In: a report suite, the span and the shape of a report. Out: what Adobe says of it, in our types.
//! - Guarantees: Adobe's limit on calls is kept before Adobe has to; a token that is refused is had anew once; what is refused
//!   for the moment or breaks off is asked for again, within bounds; a report has all of its pages, or is none; a column that
//!   Adobe has an error for is told apart from one that is zero; members that nobody knows are ignored; no answer is longer
//!   than is taken in; no secret is in any message.
//! - Does not know: which settings are right, what was sent, where a report is compared with anything.
//! - Rules: sections 5.4, 6 and 9 of `reference/adobe-analytics.md`.

mod answers;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::suite::Rsid;
use crate::web::{self, Answer, ApiError, ApiOptions, Cause, Endpoint, Ims, Pace, Patience, SetupError};
use answers::{Dimension, Discovery, Metric, Suite};

pub use answers::{EvarFacts, EventFacts, SuiteFacts};
pub use report::{Breakdown, Fractions, ReportAnswer, ReportRequest, ReportRow};

/// The key of the address, for messages.
const KEY: &str = "analytics.url";
const JSON: &str = "application/json";
/// The longest answer, in bytes. A suite's 250 eVars with all that is asked of them are some 300 KB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// By how much a window is taken to be longer, as a part of it: the way to Adobe is not always equally long.
const WINDOW_SLACK_PART: u32 = 20;
/// What is asked of a suite.
const SUITE_EXPANSION: &str = "name,parentRsid,currency,calendarType,timezoneZoneinfo";
/// What is asked of an eVar.
const EVAR_EXPANSION: &str =
    "allocationType,expirationType,expirationCustomDays,dataType,merchandisingSyntax";

/// Where and how Analytics is read. Has no `Debug`, for the sake of its secret.
#[derive(Clone)]
pub struct AnalyticsOptions {
    pub api: ApiOptions,
    /// The global company ID; empty: the only one that the credentials have.
    pub company: String,
    /// The most calls in a window. Adobe's limit is 12 for each user, which another program may be using too.
    pub calls_per_window: u32,
    /// How long a window is. Adobe's is 6 s. Pauses before a call is tried again follow it.
    pub window: Duration,
}

/// A client of one command: keeps the pace of all who share it.
pub struct AnalyticsClient {
    ims: Ims,
    company: OnceCell<String>,
}

/// What an address of the API gives.
fn endpoint(what: &'static str, url: &Url) -> Endpoint {
    Endpoint::new(what, KEY, url)
}

impl AnalyticsClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: AnalyticsOptions) -> Result<AnalyticsClient, SetupError> {
        let AnalyticsOptions { api, company, calls_per_window, window } = options;
        let pace = Pace::new(calls_per_window, window + window / WINDOW_SLACK_PART);
        let ims = Ims::new((KEY, "analytics.ims_url"), api, Patience::analytics(window), Some(pace))?;
        let company = Some(company).filter(|company| !company.is_empty());
        Ok(AnalyticsClient { ims, company: OnceCell::new_with(company) })
    }

    /// What a suite is. `None`: there is no such suite, or these credentials may not see it.
    pub async fn suite(&self, rsid: &Rsid) -> Result<Option<SuiteFacts>, ApiError> {
        let suites = ["reportsuites", "collections", "suites"];
        let mut url = self.beneath(&[&suites[..], &[rsid.as_str()]].concat()).await?;
        url.query_pairs_mut().append_pair("expansion", SUITE_EXPANSION);
        let endpoint = endpoint("the report suite", &url);
        let answer = self.get(&endpoint, &url).await?;
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            return Ok(Some(answer.json::<Suite>(&endpoint)?.facts(&endpoint)?));
        }
        // A wrong company, or a product profile without Analytics, refuses the list too.
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

    /// The eVars that are enabled, by number. One that is absent is disabled.
    pub async fn evars(&self, rsid: &Rsid) -> Result<BTreeMap<u16, EvarFacts>, ApiError> {
        let dimensions: Vec<Dimension> =
            self.list("the eVars of the suite", "dimensions", rsid, EVAR_EXPANSION).await?;
        Ok(dimensions.into_iter().filter_map(Dimension::evar).collect())
    }

    /// The success events that are enabled, by number. One that is absent is disabled, or kept from these credentials.
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

    /// The only company of these credentials.
    async fn discover(&self) -> Result<String, ApiError> {
        let url = web::beneath(&self.ims.url, ["discovery", "me"]);
        let what = "the companies of these credentials";
        let found: Discovery = self.get_json(what, &url).await?;
        // A company may stand under several organisations.
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
