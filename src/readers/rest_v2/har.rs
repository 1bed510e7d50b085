//! HTTP archives (HAR 1.2), as browsers and proxies save them: the same exchanges in another wrapping.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use base64::Engine;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ahead::Parser;
use super::exchange::{BadExchange, DURATION_MS_MAX, RawExchange, bad_form, instant};
use super::headers::{RequestHeaders, Text};
use super::window::{Step, Window, reject};
use super::{ExchangeSummary, RestV2Options};
use crate::event::TimeBounds;
use crate::readers::memory::MemoryChange;
use crate::readers::{Line, ReadError, Reader, RejectReason, UnknownKeys};

/// The largest archive, in bytes. It is one JSON document, so it lies in memory whole; a log of lines has no such limit.
const HAR_BYTES_MAX: u64 = 512 << 20;

#[derive(Deserialize)]
struct Archive<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    /// Each by itself, so that a bad one costs only itself.
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    started_date_time: Cow<'a, str>,
    #[serde(default)]
    time: Option<f64>,
    #[serde(borrow)]
    request: Request<'a>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    post_data: Option<PostData<'a>>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default = "no_text")]
    value: Text<'a>,
}

fn no_text<'a>() -> Text<'a> {
    Text(None)
}

#[derive(Deserialize)]
struct PostData<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Vec<Pair<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    /// A browser writes 0, or below, where none came.
    #[serde(default)]
    status: i64,
    #[serde(borrow, default)]
    headers: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default, rename = "redirectURL")]
    redirect_url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    encoding: Option<Cow<'a, str>>,
}

/// Reads an archive. The number of a line is that of its entry, from 1.
pub struct HarReader {
    window: Window,
    rejects: VecDeque<(u64, RejectReason)>,
    unknown: UnknownKeys,
}

impl HarReader {
    /// Reads the whole archive.
    pub fn new(source: impl BufRead, options: RestV2Options) -> Result<HarReader, ReadError> {
        let broken = |source| ReadError::Broken { line: 1, source };
        let mut document = Vec::new();
        source.take(HAR_BYTES_MAX + 1).read_to_end(&mut document).map_err(broken)?;
        if document.len() as u64 > HAR_BYTES_MAX {
            let what = format!("an archive of more than {HAR_BYTES_MAX} bytes: export it in parts");
            return Err(broken(io::Error::other(what)));
        }
        let document = document.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&document);
        let archive: Archive<'_> = serde_json::from_slice(document).map_err(|error| {
            let at = format!("{} in line {}", bad_form(&error), error.line());
            broken(io::Error::other(format!("no HTTP archive: {at}")))
        })?;
        let mut parser = Parser::of(&options);
        let mut window = Window::new(options);
        let mut rejects = VecDeque::new();
        for (number, entry) in (1..).zip(archive.log.entries) {
            match read(entry.get()) {
                Ok(raw) => window.hold(number, parser.redacted(&raw)),
                Err(bad) => rejects.push_back((number, RejectReason::Exchange(bad.to_string()))),
            }
        }
        window.end();
        Ok(HarReader { window, rejects, unknown: UnknownKeys::default() })
    }
}

fn read(entry: &str) -> Result<RawExchange<'_>, BadExchange> {
    let entry: Entry<'_> = serde_json::from_str(entry).map_err(|error| bad_form(&error))?;
    let duration_ms = entry.time.unwrap_or(-1.0);
    if duration_ms > DURATION_MS_MAX {
        return Err(BadExchange::Duration);
    }
    let mut headers = RequestHeaders::default();
    for Pair { name, value } in entry.request.headers {
        if let (Some(name), Some(value)) = (name.0, value.0) {
            headers.set(&name, value);
        }
    }
    let (status, location, answer) = match entry.response {
        Some(response) => answered(response),
        None => (0, None, Cow::Borrowed("")),
    };
    Ok(RawExchange {
        started_at: instant(&entry.started_date_time).ok_or(BadExchange::StartedAt)?,
        duration_ms,
        method: entry.request.method,
        url: entry.request.url,
        headers,
        body: entry.request.post_data.map(body).unwrap_or_default(),
        status,
        location,
        answer,
    })
}

type Answered<'a> = (u16, Option<Cow<'a, str>>, Cow<'a, str>);

fn answered(response: Response<'_>) -> Answered<'_> {
    let is_location = |pair: &Pair<'_>| {
        pair.name.0.as_deref().is_some_and(|name| name.trim().eq_ignore_ascii_case("location"))
    };
    let header = response.headers.into_iter().find(is_location).and_then(|pair| pair.value.0);
    let location = header.or(response.redirect_url.filter(|url| !url.is_empty()));
    let (text, encoding) = response.content.map_or((None, None), |content| (content.text, content.encoding));
    let is_base64 = encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
    let text = text.unwrap_or_default();
    let answer = if is_base64 {
        // What does not decode is no body, and a success without one is rejected as such.
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap_or_default();
        Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
    } else {
        text
    };
    (u16::try_from(response.status).unwrap_or(0), location, answer)
}

fn body(post: PostData<'_>) -> Cow<'_, str> {
    if let Some(text) = post.text.filter(|text| !text.is_empty()) {
        return text;
    }
    let pairs = post.params.into_iter().filter_map(|Pair { name, value }| {
        let escape = |text: Cow<'_, str>| text.replace('%', "%25").replace('&', "%26").replace('+', "%2B");
        Some(format!("{}={}", escape(name.0?), escape(value.0.unwrap_or_default())))
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

impl Reader for HarReader {
    fn next_line(&mut self, bounds: TimeBounds) -> Result<Option<Line<'_>>, ReadError> {
        if let Some((number, reason)) = self.rejects.pop_front() {
            return Ok(Some(reject(number, 0, reason)));
        }
        self.window.spent().clear();
        Ok(match self.window.step(bounds)? {
            Step::Line(line) => Some(line),
            Step::Paused | Step::Wanting | Step::Ended => None,
        })
    }

    fn unknown_keys(&self) -> &UnknownKeys {
        &self.unknown
    }

    fn is_inside_line(&self) -> bool {
        self.window.is_inside_line()
    }

    fn is_paused(&self) -> bool {
        self.window.is_paused()
    }

    fn take_changes(&mut self) -> Vec<MemoryChange> {
        self.window.take_changes()
    }

    fn exchanges(&self) -> Option<&ExchangeSummary> {
        Some(self.window.summary())
    }
}
