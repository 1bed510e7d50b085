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
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::suite::Rsid;
use crate::web::{self, Answer, Attempt, Ims, ImsError, ImsOptions, NoAnswer, Patience, SetupError};
use answers::{Dimension, Discovery, Metric, Suite};
use pace::Pace;

pub use report::{Breakdown, ReportAnswer, ReportRequest, ReportRow};

/// How often one call is tried.
const ATTEMPTS_MAX: u32 = 5;
/// Into how many parts the window of calls is cut for the first pause before a call is tried again: a second of six.
const PAUSES_PER_WINDOW: u32 = 6;
/// The longest pause, in windows, also where `Retry-After` asks for more: a minute.
const PAUSE_WINDOWS_MAX: u32 = 10;
/// The longest answer, in bytes. A suite's 250 eVars with all that is asked of them are some 300 KB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How much of a refusal's text a message repeats, in characters.
const REFUSAL_CHARS_MAX: usize = 300;
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
    /// Who asks.
    pub ims: ImsOptions,
    /// The global company ID; empty: the only one that the credentials have.
    pub company: String,
    /// How long a request may take. Adobe gives up after 60 s.
    pub request_timeout: Duration,
    /// The most calls in a window. Adobe's limit is 12 for each user, which another program may be using too.
    pub calls_per_window: u32,
    /// How long a window is. Adobe's is 6 s. Pauses before a call is tried again follow it.
    pub window: Duration,
}

/// Why Analytics cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// There is no client, or no address.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nobody answered, however often it was asked.
    #[error("{what} cannot be had from {host}")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// From whom.
        host: String,
        /// Why, the last time.
        source: reqwest::Error,
    },
    /// It was refused: for good, or for the moment however often it was asked (429 and from 500 on).
    #[error("Adobe refuses {what} with status {status}: {why}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status.
        status: u16,
        /// In Adobe's words; about credentials only the published error code.
        why: String,
    },
    /// An answer is longer than is taken in.
    #[error("the answer about {what} is longer than {bytes_max} bytes")]
    TooLong {
        /// What was asked for.
        what: &'static str,
        /// The most bytes.
        bytes_max: usize,
    },
    /// An answer is not what is documented.
    #[error("the answer about {what} cannot be read: {why}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The credentials have no company.
    #[error("these credentials have no company in Adobe Analytics")]
    NoCompany,
    /// The credentials have several companies, and none is configured.
    #[error("these credentials have {} companies in Adobe Analytics, among them {}", .0.len(), .0[..COMPANIES_NAMED_MAX.min(.0.len())].join(", "))]
    SeveralCompanies(
        /// Their global company IDs.
        Vec<String>,
    ),
}

impl AnalyticsError {
    /// Whether the same may go well in a while.
    pub fn is_for_the_moment(&self) -> bool {
        match self {
            AnalyticsError::Unreachable { .. } => true,
            AnalyticsError::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// What Adobe says of a report suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteFacts {
    /// Its name.
    pub name: String,
    /// The suite that it is a view of: then it is a virtual one, which collects nothing.
    pub parent: Option<Rsid>,
    /// The IANA name of its time zone, as Adobe writes it, which may be an older alias such as `US/Pacific`.
    pub timezone: String,
    /// Its currency, such as `USD`.
    pub currency: String,
}

/// What Adobe says of an eVar. Enumerations are in lower case; what is absent is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvarFacts {
    /// Its name.
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFacts {
    /// Its name.
    pub name: String,
    /// `int`, `decimal` or `currency`, in lower case.
    pub kind: String,
    /// Decimal places.
    pub precision: Option<u32>,
}

/// A client of one command: keeps the pace of all who share it.
pub struct AnalyticsClient {
    http: Client,
    url: Url,
    host: String,
    ims: Ims,
    company: OnceCell<String>,
    pace: Pace,
    patience: Patience,
}

impl AnalyticsClient {
    /// A client that has asked for nothing yet.
    pub fn new(options: AnalyticsOptions) -> Result<AnalyticsClient, AnalyticsError> {
        let url = web::address("analytics.url", &options.url)?;
        let ims = Ims::new("analytics.ims_url", options.ims)?;
        let http = web::client(&[&url, ims.url()], options.request_timeout)?;
        let company = Some(options.company).filter(|company| !company.is_empty());
        Ok(AnalyticsClient {
            http,
            host: web::host(&url),
            url,
            ims,
            company: OnceCell::new_with(company),
            pace: Pace::new(options.calls_per_window, options.window),
            patience: Patience {
                attempts_max: ATTEMPTS_MAX,
                backoff: options.window / PAUSES_PER_WINDOW,
                backoff_max: options.window * PAUSE_WINDOWS_MAX,
                asked_min: Duration::ZERO,
            },
        })
    }

    /// What a suite is. `None`: there is no such suite, or these credentials may not see it.
    pub async fn suite(&self, rsid: &Rsid) -> Result<Option<SuiteFacts>, AnalyticsError> {
        let what = "the report suite";
        let suites = ["reportsuites", "collections", "suites"];
        let mut url = self.beneath(&[&suites[..], &[rsid.as_str()]].concat()).await?;
        url.query_pairs_mut().append_pair("expansion", SUITE_EXPANSION);
        let answer = self.call(what, Method::GET, &url, None).await?;
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            return Ok(Some(self.read::<Suite>(what, &answer)?.facts(what)?));
        }
        // A wrong company, or a product profile without Analytics, refuses the list too.
        let mut url = self.beneath(&suites).await?;
        url.query_pairs_mut()
            .append_pair("rsids", rsid.as_str())
            .append_pair("expansion", SUITE_EXPANSION)
            .append_pair("limit", "10")
            .append_pair("page", "0");
        let listed: Vec<Suite> = self.ask("the list of report suites", Method::GET, &url, None).await?;
        let found = listed.into_iter().find(|suite| suite.is(rsid));
        found.map(|suite| suite.facts(what)).transpose()
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
        self.ask(what, Method::GET, &url, None).await
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
        let found: Discovery =
            self.ask("the companies of these credentials", Method::GET, &url, None).await?;
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

    /// Asks for a document.
    async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        body: Option<&str>,
    ) -> Result<T, AnalyticsError> {
        let answer = self.call(what, method, url, body).await?;
        self.read(what, &answer)
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, answer: &Answer) -> Result<T, AnalyticsError> {
        let Answer { status, body, .. } = answer;
        if !status.is_success() {
            return Err(AnalyticsError::Refused {
                what,
                status: status.as_u16(),
                why: answers::refusal(body),
            });
        }
        // serde's own text may quote a value of any length.
        let unreadable = |error: serde_json::Error| {
            let why = format!("its JSON breaks at line {}, column {}", error.line(), error.column());
            AnalyticsError::Unreadable { what, why }
        };
        serde_json::from_slice(body).map_err(unreadable)
    }

    /// Calls until there is an answer that is meant, and once more where its token was refused.
    async fn call(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        body: Option<&str>,
    ) -> Result<Answer, AnalyticsError> {
        let mut is_renewed = false;
        loop {
            let token = self.token().await?;
            let request = || {
                let request = self.http.request(method.clone(), url.clone());
                let request = self.ims.authorize(request, &token).header(ACCEPT, "application/json");
                match body {
                    Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_owned()),
                    None => request,
                }
            };
            let attempt = || async {
                self.pace.turn().await;
                web::attempt(web::send(request(), ANSWER_BYTES_MAX).await)
            };
            let mut answer =
                self.patience.insist(what, &self.host, attempt).await.map_err(|none| match none {
                    NoAnswer::TooLong => AnalyticsError::TooLong { what, bytes_max: ANSWER_BYTES_MAX },
                    NoAnswer::Broken(source) => {
                        AnalyticsError::Unreachable { what, host: self.host.clone(), source }
                    }
                })?;
            // A token may end before its time; a second one that is refused is refused for another reason.
            if answer.status == StatusCode::UNAUTHORIZED && !is_renewed {
                tracing::debug!("the access token is refused, and is had anew");
                self.ims.forget().await;
                is_renewed = true;
                continue;
            }
            if !answer.status.is_success() {
                let text = String::from_utf8_lossy(&answer.body);
                answer.body = self.ims.concealed(&text, &token).into_bytes();
            }
            return Ok(answer);
        }
    }

    async fn token(&self) -> Result<String, AnalyticsError> {
        let what = ImsError::WHAT;
        let attempt = || async {
            match self.ims.token(&self.http).await {
                Err(ImsError::Unreachable(error)) => {
                    let why = web::root_cause(&error);
                    Attempt::Passing { result: Err(ImsError::Unreachable(error)), asked: None, why }
                }
                Err(ImsError::Busy(status, asked)) => {
                    let why = format!("HTTP {status}");
                    Attempt::Passing { result: Err(ImsError::Busy(status, asked)), asked, why }
                }
                result => Attempt::Final(result),
            }
        };
        let host = web::host(self.ims.url());
        self.patience.insist(what, &host, attempt).await.map_err(|error| match error {
            ImsError::Unreachable(source) => AnalyticsError::Unreachable { what, host, source },
            ImsError::Busy(status, _) => {
                AnalyticsError::Refused { what, status, why: "busy, or broken for the moment".to_owned() }
            }
            ImsError::Refused(status, why) => AnalyticsError::Refused { what, status, why },
            ImsError::Unreadable(why) => AnalyticsError::Unreadable { what, why: why.to_owned() },
        })
    }
}
