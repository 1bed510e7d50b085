//! How faults are written: on the command line, in JSON and in tests, read and printed in one form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::faults::{Fault, FaultKind, FaultPlan, WHOLE_PPM};

/// How faults are written, ready for `--help`.
pub const FAULT_SYNTAX: &str = "\
A fault is KIND[=VALUE][:SHARE%] followed by options; several are separated by semicolons. The share is the percentage of
matching requests that it strikes (default 100). The first fault of the list that strikes a request decides; latency adds up.

Kinds, and whether the hit is accepted (counted) all the same:
  refuse                new connections are refused, until the plan is replaced by the program that started it
                          (with a share, first or after: reset as soon as they stand)                            no
  reset-before          the connection is reset once the request is read                                         no
  reset-after           the same, after the hit was accepted                                                     yes
  reset-mid-reply       a part of the reply is written, then the connection is reset                             yes
  timeout-before        the request is read and never answered                                                   no
  timeout-after         the same, after the hit was accepted                                                     yes
  status=CODE (or CODE) this HTTP status, 200 to 599, such as status=503 or 429                                  no
  bare-failure          FAILURE without a reason                                                                 no
  failure=REASON        FAILURE with this reason, in double quotes where it has spaces                           no
  malformed             200 with a body that breaks off inside its status                                        yes
  empty                 200 without a body                                                                       yes
  slow-reply[=20ms]     the reply comes a few bytes at a time, this long apart (ms or s)                         yes
  chunked               the reply has chunked transfer encoding with odd boundaries                              yes
  two-declarations      the reply repeats its XML declaration                                                    yes
  close                 the connection is closed without notice after the reply                                  yes
  latency=5ms           the reply waits this long (ms or s)                                                      yes
  max-requests-per-connection=N
                        each connection is closed without notice after N replies (takes no share, no options)    yes

Options:
  retry-after=SECONDS     the Retry-After header of a status
  accept=yes|no           accepts the hit, or does not, against the kind's own rule
  only-rsid=RSID  only-visitor=ID  only-evarN=VALUE   strikes only requests that carry this value
  first=M  after=N        strikes only the first M matching requests; only those after the first N; both: M after N

  seed=N                  alone between semicolons: the seed of all draws (default 0)

Example: status=503:5% retry-after=2; reset-after:1% only-rsid=examplersid; latency=20ms; seed=7";

/// The pause between the pieces of a slow reply, where none is given.
const SLOW_REPLY_PAUSE: Duration = Duration::from_millis(20);

impl fmt::Display for FaultKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            FaultKind::Refuse => "refuse",
            FaultKind::ResetBefore => "reset-before",
            FaultKind::ResetAfter => "reset-after",
            FaultKind::ResetMidReply => "reset-mid-reply",
            FaultKind::TimeoutBefore => "timeout-before",
            FaultKind::TimeoutAfter => "timeout-after",
            FaultKind::Status { code, .. } => return write!(out, "status={code}"),
            FaultKind::BareFailure => "bare-failure",
            FaultKind::Failure(reason) => return write!(out, "failure={reason:?}"),
            FaultKind::Malformed => "malformed",
            FaultKind::Empty => "empty",
            FaultKind::SlowReply(pause) => return write!(out, "slow-reply={}ms", pause.as_millis()),
            FaultKind::Chunked => "chunked",
            FaultKind::TwoDeclarations => "two-declarations",
            FaultKind::Close => "close",
            FaultKind::Latency(wait) => return write!(out, "latency={}ms", wait.as_millis()),
            FaultKind::MaxRequestsPerConnection(count) => {
                return write!(out, "max-requests-per-connection={count}");
            }
        };
        out.write_str(name)
    }
}

impl Fault {
    fn set_option(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "retry-after" => match &mut self.kind {
                FaultKind::Status { retry_after_seconds, .. } => {
                    *retry_after_seconds = Some(number(name, value)?);
                }
                _ => return Err("only a status has retry-after".to_owned()),
            },
            "accept" => {
                self.accepts = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("accept is yes or no".to_owned()),
                }
            }
            "only-rsid" => self.only_rsid = Some(value.to_owned()),
            "only-visitor" => self.only_visitor = Some(value.to_owned()),
            "first" => self.first = Some(number(name, value)?),
            "after" => self.after = number(name, value)?,
            _ => match name.strip_prefix("only-evar") {
                Some(evar) => self.only_evars.push((number("only-evar", evar)?, value.to_owned())),
                None => return Err(format!("unknown option {name:?}")),
            },
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        match self.kind {
            FaultKind::MaxRequestsPerConnection(_) if !self.strikes_every_request() => {
                Err("it holds for every connection: no share, no options".to_owned())
            }
            FaultKind::Refuse if self.is_filtered() => {
                Err("a connection is refused before it says what it carries: no only-…".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let refuse = |why: String| FaultError { fault: text.trim().to_owned(), why };
        if !text.matches('"').count().is_multiple_of(2) {
            return Err(refuse("a double quote is not closed".to_owned()));
        }
        let mut words = split_unquoted(text, char::is_whitespace).into_iter();
        let head = words.next().ok_or_else(|| refuse("it is empty".to_owned()))?;
        let (head, share_ppm) = match head.rsplit_once(':') {
            Some((head, share)) if share.ends_with('%') => (head, parse_share(share).map_err(refuse)?),
            _ => (head.as_str(), WHOLE_PPM),
        };
        let (name, value) = head.split_once('=').map_or((head, None), |(name, value)| (name, Some(value)));
        let mut fault = Fault::new(parse_kind(name, value.map(unquoted)).map_err(refuse)?);
        fault.share_ppm = share_ppm;
        for word in words {
            let (name, value) =
                word.split_once('=').ok_or_else(|| refuse(format!("{word:?} is no option=value")))?;
            fault.set_option(name, unquoted(value)).map_err(refuse)?;
        }
        fault.check().map_err(refuse)?;
        Ok(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.kind)?;
        if self.share_ppm != WHOLE_PPM {
            write!(out, ":{}%", f64::from(self.share_ppm) / 10_000.0)?;
        }
        if let FaultKind::Status { retry_after_seconds: Some(seconds), .. } = self.kind {
            write!(out, " retry-after={seconds}")?;
        }
        if self.accepts != self.kind.accepts() {
            write!(out, " accept={}", if self.accepts { "yes" } else { "no" })?;
        }
        self.only_rsid.iter().try_for_each(|rsid| write!(out, " only-rsid={rsid}"))?;
        self.only_visitor.iter().try_for_each(|visitor| write!(out, " only-visitor={visitor:?}"))?;
        self.only_evars.iter().try_for_each(|(evar, value)| write!(out, " only-evar{evar}={value:?}"))?;
        if self.after > 0 {
            write!(out, " after={}", self.after)?;
        }
        self.first.iter().try_for_each(|count| write!(out, " first={count}"))
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for FaultPlan {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<FaultPlan, FaultError> {
        let mut plan = FaultPlan::default();
        for part in split_unquoted(text, |letter| letter == ';') {
            let part = part.trim();
            match part.strip_prefix("seed=") {
                Some(seed) => {
                    plan.seed =
                        number("seed", seed).map_err(|why| FaultError { fault: part.to_owned(), why })?;
                }
                None if part.is_empty() => {}
                None => plan.faults.push(part.parse()?),
            }
        }
        Ok(plan)
    }
}

/// Why a fault could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault {fault:?}: {why}")]
pub struct FaultError {
    fault: String,
    why: String,
}

fn parse_kind(name: &str, value: Option<&str>) -> Result<FaultKind, String> {
    let kind = match (name, value) {
        ("status", Some(code)) => return parse_status(code),
        ("failure", Some(reason)) => FaultKind::Failure(reason.to_owned()),
        ("slow-reply", pause) => FaultKind::SlowReply(pause.map_or(Ok(SLOW_REPLY_PAUSE), parse_wait)?),
        ("latency", Some(wait)) => FaultKind::Latency(parse_wait(wait)?),
        ("max-requests-per-connection", Some(count)) => match number(name, count)? {
            0 => return Err("a connection carries at least 1 request".to_owned()),
            count => FaultKind::MaxRequestsPerConnection(count),
        },
        ("status" | "failure" | "latency" | "max-requests-per-connection", None) => {
            return Err(format!("{name} needs a value, {name}=…"));
        }
        (_, Some(_)) => return Err(format!("{name:?} takes no value, or is no kind of fault")),
        ("refuse", None) => FaultKind::Refuse,
        ("reset-before", None) => FaultKind::ResetBefore,
        ("reset-after", None) => FaultKind::ResetAfter,
        ("reset-mid-reply", None) => FaultKind::ResetMidReply,
        ("timeout-before", None) => FaultKind::TimeoutBefore,
        ("timeout-after", None) => FaultKind::TimeoutAfter,
        ("bare-failure", None) => FaultKind::BareFailure,
        ("malformed", None) => FaultKind::Malformed,
        ("empty", None) => FaultKind::Empty,
        ("chunked", None) => FaultKind::Chunked,
        ("two-declarations", None) => FaultKind::TwoDeclarations,
        ("close", None) => FaultKind::Close,
        (code, None) if code.bytes().all(|byte| byte.is_ascii_digit()) => return parse_status(code),
        (_, None) => return Err(format!("{name:?} is no kind of fault; --help lists them")),
    };
    Ok(kind)
}

fn parse_status(code: &str) -> Result<FaultKind, String> {
    match code.parse() {
        // A 1xx would not end the exchange.
        Ok(code @ 200..=599) => Ok(FaultKind::Status { code, retry_after_seconds: None }),
        _ => Err(format!("{code:?} is no HTTP status from 200 to 599")),
    }
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let milliseconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => digits.parse::<u64>().ok(),
        (None, Some(digits)) => digits.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
        (None, None) => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no time such as 5ms or 2s"))
}

fn parse_share(text: &str) -> Result<u32, String> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    match percent {
        // In range and rounded, so the cast loses nothing.
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 10_000.0).round() as u32),
        _ => Err(format!("{text:?} is no share from 0% to 100%")),
    }
}

fn number<N: FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name} needs a whole number, not {text:?}"))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Splits where a separator stands outside double quotes; empty parts are left out.
fn split_unquoted(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for letter in text.chars() {
        is_quoted ^= letter == '"';
        match parts.last_mut() {
            Some(part) if is_quoted || !is_separator(letter) => part.push(letter),
            _ => parts.push(String::new()),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_written_in_one_form() {
        for (given, written) in [
            ("status=503:5%", "status=503:5%"),
            ("429:0.5% retry-after=2", "status=429:0.5% retry-after=2"),
            (
                "failure=\"NO account\" only-rsid=a first=3 after=2",
                "failure=\"NO account\" only-rsid=a after=2 first=3",
            ),
            ("slow-reply", "slow-reply=20ms"),
            ("latency=2s only-visitor=v1", "latency=2000ms only-visitor=\"v1\""),
            ("empty accept=no only-evar6=\"a b;c\"", "empty accept=no only-evar6=\"a b;c\""),
            ("max-requests-per-connection=100", "max-requests-per-connection=100"),
        ] {
            let fault: Fault = given.parse().expect(given);
            assert_eq!(fault.to_string(), written);
            assert_eq!(written.parse(), Ok(fault));
        }
        let plan: FaultPlan = "refuse; seed=7;; close:1%".parse().expect("a plan");
        assert_eq!((plan.seed, plan.faults.len(), plan.refuses_everything()), (7, 2, true));
        assert_eq!("".parse(), Ok(FaultPlan::default()));
    }

    #[test]
    fn what_is_no_fault_is_refused_with_a_reason() {
        for text in [
            "statos=503",
            "status=99",
            "status=1000",
            "status",
            "close=1",
            "close:101%",
            "close first",
            "close first=x",
            "close retry-after=1",
            "latency=5",
            "refuse only-rsid=a",
            "max-requests-per-connection=0",
            "max-requests-per-connection=5:5%",
            "close accept=maybe",
            "close only-evarx=1",
            "failure=\"NO account",
        ] {
            let error = text.parse::<FaultPlan>().expect_err(text);
            assert!(error.to_string().starts_with("fault \""), "{error}");
        }
    }
}
