//! What a reply means for the hit: status, headers and body in, [`Outcome`] out, no I/O.
//!
//! Adobe's body is not well-formed XML: `<status>` and `<reason>` are two roots, the declaration appears up to twice,
//! and Adobe's pages disagree on letter case. So this code searches for the two elements, without an XML parser.

use std::time::SystemTime;

use http::HeaderMap;
use memchr::{memchr, memmem};

use crate::delivery::{DeadReason, Doubt, NotReceived, Outcome, SuiteFault};
use crate::web::retry_after;

/// The longest reason that is kept, in characters. The documented reasons have up to 25.
const REASON_CHARS_MAX: usize = 200;
/// The reason that concerns the suite, not the event ("Response types" of the DIA guide). The HTTP status is 2xx.
const NO_ACCOUNT: &str = "NO account";

/// Comments and CDATA, in which no element counts: how they begin after the `<`, and how they end.
const QUOTING: [(&[u8], &[u8]); 2] = [(b"!--", b"-->"), (b"![CDATA[", b"]]>")];

/// Tells what a complete reply means. A date in `Retry-After` is compared with `now`.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Outcome {
    match status {
        200..=299 => Said::read(body).outcome(status),
        404 => Outcome::SuiteFault(SuiteFault::NotFound),
        408 | 429 | 500 | 503 => {
            Outcome::Retry { cause: NotReceived::Status(status), retry_after: retry_after(headers, now) }
        }
        400..=499 => Outcome::Refused { status },
        _ => Outcome::Ambiguous(Doubt::Status(status)),
    }
}

/// What the body of a 2xx says.
#[derive(Default)]
struct Said<'a> {
    is_success: bool,
    is_failure: bool,
    /// Whether a status is neither SUCCESS nor FAILURE, or is cut off, or text stands around the elements.
    is_garbled: bool,
    reason: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8]) -> Said<'a> {
        let mut said = Said::default();
        let mut rest = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        // How many elements are open here. `status` and `reason` count only at the top level.
        let mut depth = 0_usize;
        loop {
            let at = memchr(b'<', rest).unwrap_or(rest.len());
            // Adobe sends no text around the elements. Another server's message may quote a reply of Adobe's.
            said.is_garbled |= depth == 0 && !rest[..at].trim_ascii().is_empty();
            let Some(tail) = rest.get(at + 1..) else { return said };
            rest = tail;
            if let Some((_, close)) = QUOTING.iter().find(|(open, _)| rest.starts_with(open)) {
                rest = memmem::find(rest, close).map_or(&[], |end| &rest[end + close.len()..]);
                continue;
            }
            if depth == 0
                && let Some(content) = content(rest, b"status")
            {
                said.add_status(content);
            } else if depth == 0
                && let Some(content) = content(rest, b"reason")
            {
                let words = text(content);
                said.reason = said.reason.or((!words.is_empty()).then_some(words));
            }
            if rest.starts_with(b"/") {
                depth = depth.saturating_sub(1);
            } else if rest.first().is_some_and(u8::is_ascii_alphabetic) {
                depth += usize::from(!tag(rest).is_some_and(|tag| tag.ends_with(b"/")));
            }
            rest = tag(rest).map_or(&[], |tag| &rest[tag.len() + 1..]);
        }
    }

    fn add_status(&mut self, content: &[u8]) {
        let says = |word: &[u8]| is_closed(content, b"status") && text(content).eq_ignore_ascii_case(word);
        let (is_success, is_failure) = (says(b"SUCCESS"), says(b"FAILURE"));
        self.is_success |= is_success;
        self.is_failure |= is_failure;
        self.is_garbled |= !is_success && !is_failure;
    }

    /// Only SUCCESS, without FAILURE or a reason, is a success. A body that contradicts itself is unreadable.
    fn outcome(&self, status: u16) -> Outcome {
        match (self.is_success, self.is_failure, self.reason) {
            (true, false, None) if !self.is_garbled => Outcome::Delivered,
            (false, true, None) if !self.is_garbled => Outcome::BareFailure,
            (false, true, Some(reason)) if !self.is_garbled => rejection(reason),
            _ => Outcome::Ambiguous(Doubt::Unreadable(status)),
        }
    }
}

fn rejection(reason: &[u8]) -> Outcome {
    let words: String = String::from_utf8_lossy(reason)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_CHARS_MAX)
        .collect();
    let bare: Vec<_> = words.split_whitespace().collect();
    if bare.join(" ").eq_ignore_ascii_case(NO_ACCOUNT) {
        return Outcome::SuiteFault(SuiteFault::NoAccount);
    }
    Outcome::Rejected(DeadReason::Adobe(words.trim().to_owned()))
}

/// The content of the element `name`, if `rest` (after a `<`) is its opening tag. Empty for an empty element.
fn content<'a>(rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name)
        || !matches!(tail.first()?, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n')
    {
        return None;
    }
    let inside = tag(tail)?;
    if inside.ends_with(b"/") { Some(&[]) } else { Some(&tail[inside.len() + 1..]) }
}

/// The rest of a tag up to its `>`. A `>` within quotes belongs to an attribute's value.
fn tag(rest: &[u8]) -> Option<&[u8]> {
    let mut quote = None;
    let end = rest.iter().position(|byte| {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
        quote.is_none() && *byte == b'>'
    })?;
    Some(&rest[..end])
}

/// The text before the next tag, without the white space around it.
fn text(content: &[u8]) -> &[u8] {
    content[..memchr(b'<', content).unwrap_or(content.len())].trim_ascii()
}

/// Whether the next tag closes the element. If not, the status may be only the beginning of another word.
fn is_closed(content: &[u8], name: &[u8]) -> bool {
    let Some(tag) = memchr(b'<', content).and_then(|at| content[at..].strip_prefix(b"</")) else {
        return false;
    };
    let Some(end) = memchr(b'>', tag) else { return false };
    tag[..end].trim_ascii_end().eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;

    use super::*;

    const DECLARATION: &str = "<?xml version=1.0 encoding=UTF-8?>";

    fn of(status: u16, body: &str) -> Outcome {
        classify(status, &HeaderMap::new(), body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    fn adobe(words: &str) -> Outcome {
        Outcome::Rejected(DeadReason::Adobe(words.to_owned()))
    }

    #[test]
    fn dia_48_49_success_is_found_in_every_published_shape() {
        for body in [
            format!("{DECLARATION}<status>SUCCESS</status>"),
            format!("{DECLARATION}\n<status>SUCCESS</status>\n"),
            format!("{DECLARATION}{DECLARATION}\r\n<status>\r\n SUCCESS\t</status>"),
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?><STATUS>success</STATUS>".to_owned(),
            "<status >Success</Status >".to_owned(),
            "<status>SUCCESS</status><reason></reason>".to_owned(),
            "<status>SUCCESS</status><reason/>".to_owned(),
            "<status code='>'>SUCCESS</status>".to_owned(),
            "<took ms='3'/><seen>1</seen><status>SUCCESS</status>".to_owned(),
            "<!-- <status>FAILURE</status> --><status>SUCCESS</status>".to_owned(),
        ] {
            assert_eq!(of(200, &body), Outcome::Delivered, "{body}");
            assert_eq!(of(202, &body), Outcome::Delivered, "{body}");
        }
    }

    #[test]
    fn dia_48_a_2xx_that_does_not_say_success_alone_is_in_doubt() {
        for body in [
            "",
            "OK",
            "SUCCESS",
            "<html><body>It works!</body></html>",
            "<status></status>",
            "<status/>",
            "<status>SUCCESS",
            "<status>SUCCESS</stat",
            "<status>SUCCESS</reason>",
            "<status>SUCC</status>",
            "<status>SUCCESSFUL</status>",
            "<statuses>SUCCESS</statuses>",
            "<status>SUCCESS</status><status>FAILURE</status>",
            "<status>FAILURE</status><status>SUCCESS</status>",
            "<status>SUCCESS</status><reason>NO account</reason>",
            "<status>SUCCESS</status><status>MAYBE</status>",
            "<!-- <status>SUCCESS</status> -->",
            "<!-- <status>SUCCESS</status>",
            "<a title=\"<status>SUCCESS</status>\">",
            "<a title='\"><status>SUCCESS</status>'/>",
            "<a title='<status>SUCCESS</status>",
            "<html><body><status>SUCCESS</status></body></html>",
            "<html><br><pre><status>SUCCESS</status>",
            "{\"error\":\"upstream said <status>SUCCESS</status>, ignoring\"}",
            "Error: the origin said <status>SUCCESS</status>",
            "<status>SUCCESS</status> was not what the origin said",
            "<p>It said</p><!-- --> not <status>SUCCESS</status>",
            "<script>\"<status>SUCCESS</status>\"</script>",
            "<![CDATA[<status>SUCCESS</status>]]>",
            "<?note <status>SUCCESS</status>?>",
            "<status note='>SUCCESS</status>",
            "<reason>Syntax Error</reason>",
            "<",
            "<status",
            "\u{0}\u{1}",
        ] {
            assert_eq!(of(200, body), Outcome::Ambiguous(Doubt::Unreadable(200)), "{body}");
        }
        assert_eq!(of(204, ""), Outcome::Ambiguous(Doubt::Unreadable(204)));
    }

    #[test]
    fn dia_50_reasons_are_told_apart_and_kept_word_for_word() {
        for reason in [
            "NO pagename OR pageurl",
            "NO visitorid OR ipaddress",
            "Syntax Error",
            "Syntax error",
            "Timestamps  are not enabled; see 100% of them",
        ] {
            let body = format!("{DECLARATION}<status>FAILURE</status>{DECLARATION}<reason>{reason}</reason>");
            assert_eq!(of(200, &body), adobe(reason), "{body}");
        }
        assert_eq!(of(200, "<reason> Odd </reason>\n<STATUS>failure</STATUS>"), adobe("Odd"));
        assert_eq!(of(200, "<status>FAILURE</status><reason>cut off"), adobe("cut off"));
    }

    #[test]
    fn dia_51_no_account_is_found_in_the_body_in_any_case() {
        for reason in ["NO account", "no Account", " NO\n account "] {
            let body = format!("<status>FAILURE</status><reason>{reason}</reason>");
            assert_eq!(of(200, &body), Outcome::SuiteFault(SuiteFault::NoAccount), "{body}");
        }
        assert_eq!(of(200, "<status>FAILURE</status><reason>NO accounts</reason>"), adobe("NO accounts"));
    }

    #[test]
    fn a_failure_without_words_is_bare() {
        for body in [
            "<status>FAILURE</status>",
            "<status>FAILURE</status><reason/>",
            "<status>FAILURE</status><reason> </reason>",
        ] {
            assert_eq!(of(200, body), Outcome::BareFailure, "{body}");
        }
    }

    #[test]
    fn a_hostile_reason_is_cleaned_and_cut() {
        let long = "é".repeat(REASON_CHARS_MAX + 1);
        let body = format!("<status>FAILURE</status><reason>{long}</reason>");
        assert_eq!(of(200, &body), adobe(&long[..2 * REASON_CHARS_MAX]));
        assert_eq!(of(200, "<status>FAILURE</status><reason>a\u{1b}[31mb\nc</reason>"), adobe("a [31mb c"));
        let invalid = classify(
            200,
            &HeaderMap::new(),
            b"<status>FAILURE</status><reason>\xff</reason>",
            SystemTime::UNIX_EPOCH,
        );
        assert_eq!(invalid, adobe("\u{fffd}"));
    }

    #[test]
    fn dia_53_to_56_a_status_decides_whatever_the_body_says() {
        let success = "<status>SUCCESS</status>";
        let retry = |status| Outcome::Retry { cause: NotReceived::Status(status), retry_after: None };
        let doubt = |status| Outcome::Ambiguous(Doubt::Status(status));
        for (status, outcome) in [
            (404, Outcome::SuiteFault(SuiteFault::NotFound)),
            (408, retry(408)),
            (429, retry(429)),
            (500, retry(500)),
            (503, retry(503)),
            (400, Outcome::Refused { status: 400 }),
            (403, Outcome::Refused { status: 403 }),
            (413, Outcome::Refused { status: 413 }),
            (499, Outcome::Refused { status: 499 }),
            (101, doubt(101)),
            (301, doubt(301)),
            (302, doubt(302)),
            (304, doubt(304)),
            (307, doubt(307)),
            (501, doubt(501)),
            (502, doubt(502)),
            (504, doubt(504)),
            (599, doubt(599)),
            (999, doubt(999)),
        ] {
            assert_eq!(of(status, success), outcome, "{status}");
        }
    }

    #[test]
    fn dia_55_retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        for (header, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, header.parse().expect("a header"))]);
            let outcome = classify(429, &headers, b"", now);
            let retry_after = wait.map(Duration::from_secs);
            assert_eq!(
                outcome,
                Outcome::Retry { cause: NotReceived::Status(429), retry_after },
                "{header:?}"
            );
        }
    }
}
