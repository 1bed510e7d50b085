//! The fault plan: which requests go wrong, and how. The same seed and the same order of requests give the same faults.

use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize, Serializer};

use super::incoming::visitor_of;
use super::syntax::{SyntaxError, name_and_value, number, split_unquoted};
use super::tags::{Document, is_digits};

/// The syntax of faults, as `--help` shows it.
pub const FAULT_SYNTAX: &str = include_str!("faults.txt").trim_ascii_end();

/// A share of 100 %, in parts per million.
const WHOLE_PPM: u32 = 1_000_000;
/// The pause between the pieces of a slow reply, where none is given.
const SLOW_REPLY_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    #[default]
    Whole,
    /// A few bytes at a time, with this pause between them.
    Slow(Duration),
    Chunked,
    TwoDeclarations,
}

/// What goes wrong with a request; [`FAULT_SYNTAX`] explains each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultKind {
    Refuse,
    Reset,
    ResetMidReply,
    Timeout,
    Status {
        code: u16,
        retry_after_seconds: Option<u32>,
    },
    /// FAILURE, with its reason if one is given.
    Failure(Option<String>),
    Malformed,
    Empty,
    Shaped(Shape),
    Close,
    Latency(Duration),
    MaxRequestsPerConnection(u32),
}

/// The kinds that take no value, and whether a hit that they strike is accepted.
const PLAIN_KINDS: [(&str, FaultKind, bool); 12] = [
    ("refuse", FaultKind::Refuse, false),
    ("reset-before", FaultKind::Reset, false),
    ("reset-after", FaultKind::Reset, true),
    ("reset-mid-reply", FaultKind::ResetMidReply, true),
    ("timeout-before", FaultKind::Timeout, false),
    ("timeout-after", FaultKind::Timeout, true),
    ("bare-failure", FaultKind::Failure(None), false),
    ("malformed", FaultKind::Malformed, true),
    ("empty", FaultKind::Empty, true),
    ("chunked", FaultKind::Shaped(Shape::Chunked), true),
    ("two-declarations", FaultKind::Shaped(Shape::TwoDeclarations), true),
    ("close", FaultKind::Close, true),
];

impl FaultKind {
    /// Reads a kind, and whether a hit that it strikes is accepted by default.
    fn parse(name: &str, value: Option<&str>) -> Result<(FaultKind, bool), String> {
        if let Some((_, kind, accepts)) = PLAIN_KINDS.into_iter().find(|(known, ..)| *known == name) {
            return value.map_or(Ok((kind, accepts)), |_| Err(format!("{name:?} takes no value")));
        }
        let needed = || value.ok_or_else(|| format!("{name} needs a value, {name}=…"));
        Ok(match name {
            "status" => (FaultKind::status(needed()?)?, false),
            "failure" => (FaultKind::Failure(Some(needed()?.to_owned())), false),
            "slow-reply" => (FaultKind::Shaped(Shape::Slow(value.map_or(Ok(SLOW_REPLY_PAUSE), wait)?)), true),
            "latency" => (FaultKind::Latency(wait(needed()?)?), true),
            "max-requests-per-connection" => match number(name, needed()?)? {
                0 => return Err("a connection carries at least 1 request".to_owned()),
                count => (FaultKind::MaxRequestsPerConnection(count), true),
            },
            code if value.is_none() && is_digits(code) => (FaultKind::status(code)?, false),
            _ => return Err(format!("{name:?} is no kind of fault; --help lists them")),
        })
    }

    fn status(code: &str) -> Result<FaultKind, String> {
        match code.parse() {
            // After a 1xx the client would wait for another status.
            Ok(code @ 200..=599) => Ok(FaultKind::Status { code, retry_after_seconds: None }),
            _ => Err(format!("{code:?} is no HTTP status from 200 to 599")),
        }
    }

    /// Whether the client still gets the complete reply that the collector decided on.
    pub(super) fn leaves_reply_whole(&self) -> bool {
        matches!(self, FaultKind::Shaped(_) | FaultKind::Close)
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    let milliseconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => digits.parse::<u64>().ok(),
        (None, Some(digits)) => digits.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
        (None, None) => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no time such as 5ms or 2s"))
}

/// A field of requests. A fault can be limited to the requests that have a given value in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Rsid,
    Visitor,
    Evar(u16),
}

/// One fault of the plan. It has its own random generator, so it does not change what other faults strike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Fault {
    /// The fault as it was written, with one space between its words.
    text: String,
    kind: FaultKind,
    share_ppm: u32,
    accepts: bool,
    /// Strikes only requests with all of these values.
    only: Vec<(Field, String)>,
    /// How many matching requests are spared at the beginning.
    after: u64,
    /// How many matching requests may be struck after the spared ones. Later requests are spared again.
    first: u64,
    random: Rng,
    /// How many requests or connections the fault could have struck so far. It struck `struck` of these.
    matched: u64,
    struck: u64,
}

impl Fault {
    fn parse(text: &str) -> Result<Fault, String> {
        if !text.matches('"').count().is_multiple_of(2) {
            return Err("a double quote is not closed".to_owned());
        }
        let words: Vec<&str> = split_unquoted(text, char::is_whitespace).collect();
        let [head, options @ ..] = &words[..] else { return Err("it is empty".to_owned()) };
        let (head, share_ppm) = match head.rsplit_once(':') {
            Some((head, share)) if share.ends_with('%') => (head, ppm(share)?),
            _ => (*head, WHOLE_PPM),
        };
        let (name, value) = name_and_value(head);
        let (kind, accepts) = FaultKind::parse(name, value)?;
        let text = words.join(" ");
        let mut fault = Fault {
            text,
            kind,
            share_ppm,
            accepts,
            only: Vec::new(),
            after: 0,
            first: u64::MAX,
            random: Rng::with_seed(0),
            matched: 0,
            struck: 0,
        };
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            fault.text.insert_str(0, "status=");
        }
        for word in options {
            let (name, value) = name_and_value(word);
            fault.set_option(name, value.ok_or_else(|| format!("{word:?} is no option=value"))?)?;
        }
        match fault.kind {
            FaultKind::MaxRequestsPerConnection(_) if !fault.strikes_every_request() => {
                Err("it applies to every connection, so it takes no share and no options".to_owned())
            }
            FaultKind::Refuse if !fault.only.is_empty() => {
                Err("it refuses before the request is read, so it takes no only-… option".to_owned())
            }
            _ => Ok(fault),
        }
    }

    fn set_option(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value, &mut self.kind) {
            ("retry-after", _, FaultKind::Status { retry_after_seconds, .. }) => {
                *retry_after_seconds = Some(number(name, value)?);
            }
            ("retry-after", ..) => return Err("only a status has retry-after".to_owned()),
            ("accept", "yes" | "no", _) => self.accepts = value == "yes",
            ("accept", ..) => return Err("accept is yes or no".to_owned()),
            ("first", ..) => self.first = number(name, value)?,
            ("after", ..) => self.after = number(name, value)?,
            _ => {
                let field = match name.strip_prefix("only-") {
                    Some("rsid") => Field::Rsid,
                    Some("visitor") => Field::Visitor,
                    Some(evar) if evar.starts_with("evar") => Field::Evar(number("only-evar", &evar[4..])?),
                    _ => return Err(format!("unknown option {name:?}")),
                };
                self.only.push((field, value.to_owned()));
            }
        }
        Ok(())
    }

    /// Decides by a random number whether the fault strikes, and counts the request or connection.
    fn strikes(&mut self) -> bool {
        self.matched += 1;
        let is_drawn = self.random.u32(0..WHOLE_PPM) < self.share_ppm;
        let is_spared = self.matched <= self.after || self.matched - self.after > self.first;
        let strikes = is_drawn && !is_spared;
        self.struck += u64::from(strikes);
        strikes
    }

    fn strikes_every_request(&self) -> bool {
        self.share_ppm == WHOLE_PPM && self.first == u64::MAX && self.after == 0 && self.only.is_empty()
    }

    /// Whether a request to this suite with this body meets every `only-…` condition of the fault.
    fn matches(&self, rsid: &str, document: &Document<'_>) -> bool {
        self.only.iter().all(|(field, wanted)| match field {
            Field::Rsid => rsid == wanted,
            Field::Visitor => visitor_of(document).is_some_and(|(_, visitor)| visitor == *wanted),
            Field::Evar(number) => document.evars().any(|evar| evar == (*number, wanted)),
        })
    }
}

fn ppm(share: &str) -> Result<u32, String> {
    let percent: Option<f64> = share.strip_suffix('%').and_then(|number| number.parse().ok());
    match percent {
        // The value is in range and rounded, so the cast loses nothing.
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 10_000.0).round() as u32),
        _ => Err(format!("{share:?} is no share from 0% to 100%")),
    }
}

impl TryFrom<String> for Fault {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Fault, SyntaxError> {
        Fault::parse(&text).map_err(|why| SyntaxError { what: "fault", text, why })
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The whole plan. Empty by default: nothing goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    seed: u64,
    /// The faults, in the order in which they are tried.
    faults: Vec<Fault>,
}

impl FromStr for FaultPlan {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<FaultPlan, SyntaxError> {
        let mut plan = FaultPlan::default();
        for part in split_unquoted(text, |letter| letter == ';').map(str::trim) {
            match part.strip_prefix("seed=") {
                Some(seed) => {
                    let refuse = |why| SyntaxError { what: "fault", text: part.to_owned(), why };
                    plan.seed = number("seed", seed).map_err(refuse)?;
                }
                None if part.is_empty() => {}
                None => plan.faults.push(part.to_owned().try_into()?),
            }
        }
        Ok(plan)
    }
}

impl FaultPlan {
    pub(super) fn begin(&mut self) {
        for (fault, index) in self.faults.iter_mut().zip(0_u64..) {
            let seed = self.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            (fault.random, fault.matched, fault.struck) = (Rng::with_seed(seed), 0, 0);
        }
    }

    /// Whether a fault of the plan refuses every connection, so that the listening socket is closed.
    pub(super) fn refuses_everything(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Refuse && fault.strikes_every_request())
    }

    /// The number of replies after which each connection is closed.
    pub(super) fn requests_per_connection_max(&self) -> Option<u32> {
        self.faults.iter().find_map(|fault| match fault.kind {
            FaultKind::MaxRequestsPerConnection(count) => Some(count),
            _ => None,
        })
    }

    pub(super) fn summary(&self) -> Vec<FaultSummary> {
        let told = |fault: &Fault| FaultSummary { fault: fault.text.clone(), struck: fault.struck };
        self.faults.iter().map(told).collect()
    }

    /// Whether the next connection is reset as soon as it is established.
    pub(super) fn refuses_connection(&mut self) -> bool {
        self.faults.iter_mut().any(|fault| fault.kind == FaultKind::Refuse && fault.strikes())
    }

    /// Decides about the next request. Every matching fault draws its random number, even if another fault strikes
    /// first, so that faults stay independent of each other.
    pub(super) fn decide(&mut self, rsid: &str, document: &Document<'_>) -> Fate {
        let mut fate = Fate::default();
        for fault in &mut self.faults {
            let is_of_connections =
                matches!(fault.kind, FaultKind::Refuse | FaultKind::MaxRequestsPerConnection(_));
            if is_of_connections || !fault.matches(rsid, document) || !fault.strikes() {
                continue;
            }
            if let FaultKind::Latency(wait) = fault.kind {
                fate.latency += wait;
            } else if fate.strike.is_none() {
                fate.strike = Some((fault.kind.clone(), fault.accepts));
                fate.dice = fault.random.u32(..);
            }
        }
        fate
    }
}

/// How often a fault struck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultSummary {
    pub fault: String,
    /// How many requests or connections the fault struck since the plan began: always 0 for a closed port and
    /// for `max-requests-per-connection`.
    pub struck: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fate {
    pub(super) latency: Duration,
    /// The fault that strikes the request, and whether its hit is accepted.
    pub(super) strike: Option<(FaultKind, bool)>,
    /// A random number that decides where a reply breaks off.
    pub(super) dice: u32,
}

#[cfg(test)]
mod tests {
    use super::super::xml::{DECLARATION, read};
    use super::*;

    fn begun(plan: &str) -> FaultPlan {
        let mut plan: FaultPlan = plan.parse().expect("a plan");
        plan.begin();
        plan
    }

    fn strikes(plan: &str, requests: usize) -> Vec<bool> {
        let mut plan = begun(plan);
        (0..requests).map(|_| plan.decide("", &Document::default()).strike.is_some()).collect()
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let once = strikes("close:30%; seed=5", 200);
        assert_eq!(once, strikes("close:30%; seed=5", 200));
        assert_ne!(once, strikes("close:30%; seed=6", 200));
        let struck = once.iter().filter(|struck| **struck).count();
        assert!((30..=90).contains(&struck), "{struck} of 200");
    }

    #[test]
    fn first_and_after_count_matching_requests() {
        assert_eq!(strikes("close first=2", 4), [true, true, false, false]);
        assert_eq!(strikes("close after=2", 4), [false, false, true, true]);
        assert_eq!(strikes("close after=1 first=2", 4), [false, true, true, false]);
        assert_eq!(strikes("close only-rsid=other", 2), [false, false]);
    }

    #[test]
    fn limits_are_compared_with_the_whole_value() {
        let mut plan = begun("close only-rsid=a only-visitor=v only-evar6=r");
        let mut strikes = |rsid: &str, tags: &str| {
            let body = format!("{DECLARATION}<request>{tags}</request>");
            plan.decide(rsid, &read(body.as_bytes())).strike.is_some()
        };
        assert!(strikes("a", "<visitorID>v</visitorID><eVar6>r</eVar6><eVar7>x</eVar7>"));
        for (rsid, tags) in [
            ("ab", "<visitorID>v</visitorID><eVar6>r</eVar6>"),
            ("a", "<visitorID>w</visitorID><eVar6>r</eVar6>"),
            ("a", "<visitorID>v</visitorID><eVar7>r</eVar7>"),
        ] {
            assert!(!strikes(rsid, tags), "{rsid} {tags}");
        }
    }

    #[test]
    fn latency_adds_to_what_else_strikes() {
        let mut plan = begun("latency=5ms; status=503; latency=2ms; 500");
        let fate = plan.decide("", &Document::default());
        assert_eq!(fate.latency, Duration::from_millis(7));
        assert!(matches!(fate.strike, Some((FaultKind::Status { code: 503, .. }, false))));
    }

    #[test]
    fn a_plan_is_read_in_several_forms_and_written_as_it_was_given() {
        for (given, written, same) in [
            ("status=503:5%", "status=503:5%", "503:5.0%"),
            (
                "429:0.5%  retry-after=2 ",
                "status=429:0.5% retry-after=2",
                "status=429:0.5% retry-after=\"2\"",
            ),
            (
                "failure=\"NO account\" only-rsid=a first=3 after=2",
                "failure=\"NO account\" only-rsid=a first=3 after=2",
                "failure=\"NO account\" after=2 first=3 only-rsid=\"a\"",
            ),
            ("slow-reply", "slow-reply", "slow-reply=20ms"),
            (
                "latency=2s only-visitor=v1",
                "latency=2s only-visitor=v1",
                "latency=2000ms only-visitor=\"v1\"",
            ),
            (
                "empty accept=no only-evar6=\"a b;c\"",
                "empty accept=no only-evar6=\"a b;c\"",
                "empty only-evar6=\"a b;c\" accept=no",
            ),
            (
                "max-requests-per-connection=100",
                "max-requests-per-connection=100",
                "max-requests-per-connection=\"100\"",
            ),
        ] {
            let fault = Fault::parse(given).expect(given);
            assert_eq!(fault.text, written);
            assert_eq!(Fault::parse(written).as_ref(), Ok(&fault));
            let same = Fault::parse(same).expect(same);
            assert_eq!(Fault { text: fault.text.clone(), ..same }, fault);
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
