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
mod pace;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::suite::Rsid;
use crate::web::{
    self, Answer, ApiError, Endpoint, Http, Ims, ImsOptions, Patience, ProxySettings, SetupError,
};
use answers::{Dimension, Discovery, Metric, Suite};
use pace::Pace;

pub use report::{Breakdown, Fractions, ReportAnswer, ReportRequest, ReportRow};

/// The key of the address, for messages.
const KEY: &str = "analytics.url";
/// The longest answer, in bytes. A suite's 250 eVars with all that is asked of them are some 300 KB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How many companies a message names.
const COMPANIES_NAMED_MAX: usize = 20;
/// How much of a name is taken in, in characters: Adobe's own are shorter.
const NAME_CHARS_MAX: usize = 200;
/// What is asked of a suite.
const SUITE_EXPANSION: &str = "name,parentRsid,currency,calendarType,timezoneZoneinfo";
/// What is asked of an eVar.
const EVAR_EXPANSION: &str =
    "allocationType,expirationType,expirationCustomDays,dataType,merchandisingSyntax";

/// Where and how Analytics is read. Has no `Debug`, for the sake of its secret.
#[derive(Clone)]
pub struct AnalyticsOptions {
    /// Where the API is, such as `https://analytics.adobe.io`.
    pub url: String,
    pub ims: ImsOptions,
    /// The global company ID; empty: the only one that the credentials have.
    pub company: String,
    /// How long a request may take. Adobe gives up after 60 s.
    pub request_timeout: Duration,
    /// The most calls in a window. Adobe's limit is 12 for each user, which another program may be using too.
    pub calls_per_window: u32,
    /// How long a window is. Adobe's is 6 s. Pauses before a call is tried again follow it.
    pub window: Duration,
    /// The proxies of the environment.
    pub proxy: ProxySettings,
}

/// Why Analytics cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("these credentials have no company in Adobe Analytics")]
    NoCompany,
    #[error("these credentials have {} companies in Adobe Analytics, among them {}", .0.len(), .0[..COMPANIES_NAMED_MAX.min(.0.len())].join(", "))]
    SeveralCompanies(Vec<String>),
}

/// What Adobe says of a report suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteFacts {
    pub name: String,
    /// The suite that it is a view of: then it is a virtual one, which collects nothing.
    pub parent: Option<Rsid>,
    /// The IANA name of its time zone, as Adobe writes it, which may be an older alias such as `US/Pacific`.
    pub timezone: String,
    /// Its currency, such as `USD`.
    pub currency: String,
}

/// What Adobe says of an eVar. Enumerations are in lower case; what is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvarFacts {
    pub name: String,
    /// `text` or `counter`.
    pub data_type: String,
    /// Such as `most_recent_last`.
    pub allocation: String,
    /// Such as `page_view`, which the admin pages also call Hit.
    pub expiration: String,
    /// How values bind to products, where merchandising is on: `product` or `conversion_variable`, or the allocation that
    /// only such eVars have.
    pub merchandising: String,
}

/// What Adobe says of a success event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFacts {
    pub name: String,
    /// `int`, `decimal` or `currency`, in lower case.
    pub kind: String,
    pub precision: Option<u32>,
}

/// A client of one command: keeps the pace of all who share it.
pub struct AnalyticsClient {
    http: Http,
    url: Url,
    ims: Ims,
    company: OnceCell<String>,
    pace: Pace,
    patience: Patience,
}

struct Ask<'a> {
    what: &'static str,
    url: &'a Url,
    /// JSON that is posted; without it the question is a GET.
    body: Option<String>,
    bytes_max: usize,
}

impl Ask<'_> {
    fn get<'a>(what: &'static str, url: &'a Url) -> Ask<'a> {
        Ask { what, url, body: None, bytes_max: ANSWER_BYTES_MAX }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.what, KEY, self.url)
    }
}

impl AnalyticsClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: AnalyticsOptions) -> Result<AnalyticsClient, SetupError> {
        let url = web::address(KEY, &options.url)?;
        let ims = Ims::new("analytics.ims_url", options.ims)?;
        let http = Http::new(&[&url, ims.url()], options.request_timeout, &options.proxy)?;
        let company = Some(options.company).filter(|company| !company.is_empty());
        Ok(AnalyticsClient {
            http,
            url,
            ims,
            company: OnceCell::new_with(company),
            pace: Pace::new(options.calls_per_window, options.window),
            patience: Patience::analytics(options.window),
        })
    }

    /// What a suite is. `None`: there is no such suite, or these credentials may not see it.
    pub async fn suite(&self, rsid: &Rsid) -> Result<Option<SuiteFacts>, AnalyticsError> {
        let suites = ["reportsuites", "collections", "suites"];
        let mut url = self.beneath(&[&suites[..], &[rsid.as_str()]].concat()).await?;
        url.query_pairs_mut().append_pair("expansion", SUITE_EXPANSION);
        let ask = Ask::get("the report suite", &url);
        let (endpoint, answer) = (ask.endpoint(), self.call(&ask).await?);
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            return Ok(Some(read::<Suite>(&endpoint, &answer)?.facts(&endpoint)?));
        }
        // A wrong company, or a product profile without Analytics, refuses the list too.
        let mut url = self.beneath(&suites).await?;
        url.query_pairs_mut()
            .append_pair("rsids", rsid.as_str())
            .append_pair("expansion", SUITE_EXPANSION)
            .append_pair("limit", "10")
            .append_pair("page", "0");
        let listed: Vec<Suite> = self.ask(&Ask::get("the list of report suites", &url)).await?;
        let found = listed.into_iter().find(|suite| suite.is(rsid));
        Ok(found.map(|suite| suite.facts(&endpoint)).transpose()?)
    }

    /// The eVars that are enabled, by number. One that is absent is disabled.
    pub async fn evars(&self, rsid: &Rsid) -> Result<BTreeMap<u16, EvarFacts>, AnalyticsError> {
        let dimensions: Vec<Dimension> =
            self.list("the eVars of the suite", "dimensions", rsid, EVAR_EXPANSION).await?;
        Ok(dimensions.into_iter().filter_map(Dimension::evar).collect())
    }

    /// The success events that are enabled, by number. One that is absent is disabled, or kept from these credentials.
    pub async fn events(&self, rsid: &Rsid) -> Result<BTreeMap<u16, EventFacts>, AnalyticsError> {
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
    ) -> Result<Vec<T>, AnalyticsError> {
        let mut url = self.beneath(&[path]).await?;
        url.query_pairs_mut()
            .append_pair("rsid", rsid.as_str())
            .append_pair("locale", "en_US")
            .append_pair("expansion", expansion);
        self.ask(&Ask::get(what, &url)).await
    }

    /// An address of the company.
    async fn beneath(&self, names: &[&str]) -> Result<Url, AnalyticsError> {
        let company = self.company.get_or_try_init(|| self.discover()).await?;
        Ok(self.address([&["api", company][..], names].concat()))
    }

    fn address(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Url {
        let mut url = self.url.clone();
        // An address of HTTP has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(names);
        }
        url
    }

    /// The only company of these credentials.
    async fn discover(&self) -> Result<String, AnalyticsError> {
        let url = self.address(["discovery", "me"]);
        let found: Discovery = self.ask(&Ask::get("the companies of these credentials", &url)).await?;
        // A company may stand under several organisations.
        let mut companies: BTreeSet<String> = found.companies().collect();
        match (companies.pop_first(), companies.is_empty()) {
            (Some(company), true) => Ok(company),
            (Some(first), false) => {
                Err(AnalyticsError::SeveralCompanies(std::iter::once(first).chain(companies).collect()))
            }
            (None, _) => Err(AnalyticsError::NoCompany),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, AnalyticsError> {
        Ok(read(&ask.endpoint(), &self.call(ask).await?)?)
    }

    /// Calls until there is a conclusive answer.
    async fn call(&self, ask: &Ask<'_>) -> Result<Answer, ApiError> {
        let endpoint = &ask.endpoint();
        let attempt = async |token: &str| -> Result<Answer, ApiError> {
            self.pace.turn().await;
            let request = match &ask.body {
                Some(body) => self
                    .http
                    .request(Method::POST, ask.url)
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone()),
                None => self.http.request(Method::GET, ask.url),
            };
            let request = request.header(ACCEPT, "application/json");
            let answer = self.ims.send(&self.http, endpoint, request, token, ask.bytes_max).await?;
            answer.unless_busy(endpoint)
        };
        let attempt = &attempt;
        let token = || self.patience.retry(async || self.ims.token(&self.http).await);
        let call = |token: String| async move { self.patience.retry(async || attempt(&token).await).await };
        self.ims.with_token(token, call).await
    }
}

fn read<T: DeserializeOwned>(endpoint: &Endpoint, answer: &Answer) -> Result<T, ApiError> {
    if !answer.status.is_success() {
        return Err(answer.refusal(endpoint));
    }
    serde_json::from_slice(&answer.body).map_err(|error| endpoint.broken(&error))
}
