//! Reads HTTP archives (HAR 1.2) as browsers and proxies save them. Their entries are the same exchanges as in logs.

use std::borrow::Cow;
use std::io::BufRead;

use super::bad_exchange::{BadExchange, IS_TWICE, required};
use super::entries::Entries;
use super::exchange::{Elsewhere, Parsed, Read, Redactor};
use super::headers::{Headers, Pair, decode_base64};
use super::json::{Text, number};
use super::members;
use super::raw::{self, RawExchange, Unread, text};
use crate::readers::line::{LINE_BYTES_MAX, ReadError, RejectReason};
use crate::readers::options::ReaderOptions;

/// The place of the answer's body in an entry.
const ANSWER: &str = "response.content.text";
/// What Chrome writes in `_serviceWorkerResponseSource` for an answer that a service worker fetched from the network. Any
/// other answer of a service worker was kept or made by it. (Chrome DevTools Protocol, `ServiceWorkerResponseSource`.)
const FROM_NETWORK: &str = "\"network\"";
/// What Safari writes in `_fetchType` for an answer that came over the network. Any other answer was in its memory or on
/// its disk, or a service worker had it. (WebKit, `HARBuilder.js`.)
const LOADED: &str = "\"Network Load\"";

/// The entries of an archive as exchanges, in their order.
pub(super) struct Archive<R> {
    entries: Entries<R>,
    redactor: Redactor,
}

impl<R: BufRead> Archive<R> {
    pub(super) fn open(source: R, options: &ReaderOptions) -> Result<Archive<R>, ReadError> {
        Ok(Archive { entries: Entries::open(source)?, redactor: Redactor::new(options) })
    }

    /// The next entry; `None` at the end of a complete archive.
    pub(super) fn next(&mut self) -> Result<Option<Parsed>, ReadError> {
        if !self.entries.advance()? {
            return Ok(None);
        }
        let read = self.exchange();
        Ok(Some(Parsed::new(self.entries.number, &self.entries.entry, 0, read)))
    }

    fn exchange(&mut self) -> Read {
        let entry = String::from_utf8_lossy(&self.entries.entry);
        let bad = if self.entries.entry_bytes > LINE_BYTES_MAX as u64 {
            RejectReason::TooLong(self.entries.entry_bytes)
        } else {
            match (read(&entry), &entry) {
                (Ok((raw, is_kept)), Cow::Borrowed(_)) => {
                    let exchange = self.redactor.redacted(&raw);
                    return Ok(if is_kept { exchange.and(Err(Elsewhere::KeptAnswer)) } else { exchange });
                }
                (Ok(_), Cow::Owned(_)) => {
                    let valid = std::str::from_utf8(&self.entries.entry).map_err(|error| error.valid_up_to());
                    RejectReason::NotUtf8(valid.err().unwrap_or(0) + 1)
                }
                // Nothing says which value of a repeated member is right, so the entry may be an exchange with the API.
                (Err(BadExchange::Member(member, IS_TWICE)), _)
                    if ["request", "request.method", "request.url"].contains(&&*member) =>
                {
                    return Err(RejectReason::Exchange(format!("{member} {IS_TWICE}")));
                }
                (Err(bad), _) => RejectReason::Exchange(bad.to_string()),
            }
        };
        // An entry that is no exchange with the API is skipped, even if the entry cannot be read.
        match target(&entry).and_then(|(method, url)| self.redactor.route(&method, &url).err()) {
            Some(elsewhere) => Ok(Err(elsewhere)),
            None => Err(bad),
        }
    }
}

/// The exchange of an entry, and whether Chrome or Safari says that its answer was kept in a cache or by a service worker.
fn read(entry: &str) -> Result<(RawExchange<'_>, bool), BadExchange> {
    let names = ["startedDateTime", "time", "request", "response", "_fromCache", "_fetchType"];
    let [started_at, time, request, response, cache, fetched] = members::of(Some(entry), "entry", names)?;
    let request = Some(required(request, "request")?);
    let [method, url, headers, post_data] =
        members::of(request, "request", ["method", "url", "headers", "postData"])?;
    let names = ["status", "statusCode", "headers", "content", "redirectURL", "_serviceWorkerResponseSource"];
    let [status, status_code, answered, content, redirect_url, of_worker] =
        members::of(response, "response", names)?;
    let is_text = |json: Option<&str>| json.is_some_and(|json| json.len() > 2 && json.starts_with('"'));
    let is_not = |json, loaded| is_text(json) && json != Some(loaded);
    let is_kept = is_text(cache) || is_not(of_worker, FROM_NETWORK) || is_not(fetched, LOADED);
    let answered = Headers::of(answered, "response.headers")?;
    let redirect_url = text(redirect_url, "response.redirectURL")?.filter(|url| !url.is_empty());
    let [size, answer, encoding] = members::of(content, "response.content", ["size", "text", "encoding"])?;
    let answer = raw::body(answer, ANSWER)?.unwrap_or_default();
    let status = raw::status([status, status_code], &answer)?;
    if answer.is_empty() && status >= 400 && size.and_then(number).is_some_and(|size| size > 0.0) {
        let what = "is missing, though response.content.size says that there was a body";
        return Err(BadExchange::Member(ANSWER.to_owned(), what));
    }
    let (answer, was_answer_unread) = unpacked(answer, encoding)?;
    let exchange = RawExchange {
        started_at: raw::instant(started_at, "startedDateTime")?,
        duration_ms: raw::duration(time, "time")?,
        method: raw::method(method)?,
        url: required(text(url, "request.url")?, "request.url")?,
        headers: Headers::of(headers, "request.headers")?.redirected(answered, redirect_url),
        body: body(post_data)?,
        status,
        answer,
        was_answer_unread,
        is_entry: true,
    };
    Ok((exchange, is_kept))
}

/// The method and the URL of an entry that cannot be read completely. An unknown method is empty.
fn target(entry: &str) -> Option<(String, String)> {
    let request = &entry[memchr::memmem::find(entry.as_bytes(), b"\"request\"")?..];
    let member = |name: &str| {
        let value = &request[memchr::memmem::find(request.as_bytes(), name.as_bytes())? + name.len()..];
        let value = value.trim_ascii_start().strip_prefix(':')?;
        serde_json::Deserializer::from_str(value).into_iter::<serde_json::Value>().next()?.ok()
    };
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
    Some((member("\"method\"").and_then(text).unwrap_or_default(), member("\"url\"").and_then(text)?))
}

fn is_base64(encoding: Option<&str>) -> bool {
    encoding.is_some_and(|json| json.trim_matches('"').trim().eq_ignore_ascii_case("base64"))
}

/// Decodes Base64, which may have line breaks, to a text.
fn decoded(text: &str) -> Option<String> {
    let letters: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    String::from_utf8(decode_base64(&letters)?).ok()
}

/// The answer, and whether an earlier release took it for empty, because that release knew no line breaks in Base64.
/// A body that does not decode is an error: it may hide the error code of a failure.
fn unpacked<'a>(text: Cow<'a, str>, encoding: Option<&str>) -> Result<(Cow<'a, str>, bool), BadExchange> {
    if !is_base64(encoding) {
        return Ok((text, false));
    }
    match decoded(&text) {
        Some(answer) => {
            Ok((Cow::Owned(answer), text.trim().contains(|letter: char| letter.is_ascii_whitespace())))
        }
        None if text.trim_start().starts_with("H4sI") => {
            let what = "is Base64 of gzip: let the program that saves the archive unpack the answers";
            Err(BadExchange::Member(ANSWER.to_owned(), what))
        }
        None => Err(BadExchange::Member(ANSWER.to_owned(), "is no Base64 of a text")),
    }
}

/// The body of a request. Its `encoding` is not part of HAR, but proxies that save bodies as bytes write it.
fn body(post_data: Option<&str>) -> Result<Result<Cow<'_, str>, Unread>, BadExchange> {
    let [text, encoding, params] =
        members::of(post_data, "request.postData", ["text", "encoding", "params"])?;
    let text = raw::body(text, "request.postData.text")?.filter(|text| !text.is_empty());
    if let (Some(text), true) = (&text, is_base64(encoding)) {
        let unread = Unread("request.postData.text is no Base64 of a text");
        return Ok(decoded(text).map(Cow::Owned).ok_or(unread));
    }
    if let Some(text) = text {
        return Ok(Ok(text));
    }
    let pairs = Pair::list(params.unwrap_or("[]"))?.into_iter().map(parameter);
    let pairs: Vec<String> = pairs.collect::<Result<_, _>>()?;
    let unread = Unread("request.postData is missing or empty");
    Ok(if pairs.is_empty() { Err(unread) } else { Ok(Cow::Owned(pairs.join("&"))) })
}

fn parameter(Pair { name, value }: Pair<'_>) -> Result<String, BadExchange> {
    let escape = |text: Cow<'_, str>| text.replace('%', "%25").replace('&', "%26").replace('+', "%2B");
    let name = required(name.0, "the name of an entry of request.postData.params")?;
    let Text(value) = value
        .map_or(Ok(Text(None)), |value| Text::of_fingerprint(value.get()))
        .map_err(|what| BadExchange::Member("request.postData.params".to_owned(), what))?;
    Ok(format!("{}={}", escape(name), escape(value.unwrap_or_default())))
}
