//! The fault plan: which requests go wrong, and how. Pure: the same seed and the same order of requests give the same
//! faults.

use std::time::Duration;

use serde::Serialize;

/// The whole of a share, in parts per million.
pub(super) const WHOLE_PPM: u32 = 1_000_000;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    Refuse,
    /// The connection is reset after reading the request, which is not accepted.
    ResetBefore,
    /// The hit is accepted, then the connection is reset.
    ResetAfter,
    /// The hit is accepted, then the connection is reset somewhere in the reply.
    ResetMidReply,
    /// No answer ever comes, and the hit is not accepted.
    TimeoutBefore,
    /// The hit is accepted, and no answer ever comes.
    TimeoutAfter,
    /// This HTTP status, with `Retry-After` in seconds where given.
    Status {
        /// 200 to 599.
        code: u16,
        /// Seconds.
        retry_after_seconds: Option<u32>,
    },
    /// FAILURE without a reason.
    BareFailure,
    Failure(String),
    /// 200 with a body that breaks off.
    Malformed,
    /// 200 without a body.
    Empty,
    /// The reply comes in pieces, this long apart.
    SlowReply(Duration),
    /// The reply has chunked transfer encoding.
    Chunked,
    /// The reply has two XML declarations.
    TwoDeclarations,
    /// The connection is closed without notice after the reply.
    Close,
    /// The reply waits this long. Other faults may strike too.
    Latency(Duration),
    /// Every connection is closed without notice after this many replies.
    MaxRequestsPerConnection(u32),
}

impl FaultKind {
    /// Whether a hit that it strikes is accepted, unless the fault says otherwise.
    pub(super) fn accepts(&self) -> bool {
        match self {
            FaultKind::Refuse
            | FaultKind::ResetBefore
            | FaultKind::TimeoutBefore
            | FaultKind::Status { .. }
            | FaultKind::BareFailure
            | FaultKind::Failure(_) => false,
            FaultKind::ResetAfter
            | FaultKind::ResetMidReply
            | FaultKind::TimeoutAfter
            | FaultKind::Malformed
            | FaultKind::Empty
            | FaultKind::SlowReply(_)
            | FaultKind::Chunked
            | FaultKind::TwoDeclarations
            | FaultKind::Close
            | FaultKind::Latency(_)
            | FaultKind::MaxRequestsPerConnection(_) => true,
        }
    }
}

/// One line of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// How many of the matching requests it strikes, in parts per million.
    pub share_ppm: u32,
    /// Whether the hit is accepted.
    pub accepts: bool,
    /// Strikes only requests for this report suite.
    pub only_rsid: Option<String>,
    /// Strikes only requests of this visitor.
    pub only_visitor: Option<String>,
    /// Strikes only requests with these eVars, by number.
    pub only_evars: Vec<(u16, String)>,
    /// Spares this many matching requests before the first that may be struck. Default 0.
    pub after: u64,
    /// Strikes among this many matching requests, counted from there; `None` is without end.
    pub first: Option<u64>,
}

impl Fault {
    /// A fault that strikes every request.
    pub fn new(kind: FaultKind) -> Fault {
        Fault {
            accepts: kind.accepts(),
            kind,
            share_ppm: WHOLE_PPM,
            only_rsid: None,
            only_visitor: None,
            only_evars: Vec::new(),
            after: 0,
            first: None,
        }
    }

    pub(super) fn strikes_every_request(&self) -> bool {
        self.share_ppm == WHOLE_PPM && self.first.is_none() && self.after == 0 && !self.is_filtered()
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.only_rsid.is_some() || self.only_visitor.is_some() || !self.only_evars.is_empty()
    }

    fn matches(&self, target: &FaultTarget<'_>) -> bool {
        let is_or_any =
            |wanted: &Option<String>, value| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is_or_any(&self.only_rsid, target.rsid)
            && is_or_any(&self.only_visitor, target.visitor)
            && self.only_evars.iter().all(|(number, wanted)| {
                target.evars.iter().any(|(evar, value)| evar == number && value == wanted)
            })
    }
}

/// The whole plan. Empty by default: nothing goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FaultPlan {
    pub seed: u64,
    /// In the order in which they are tried.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Whether the listening socket is to be closed: nothing that any request does could lift it.
    pub(super) fn refuses_everything(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Refuse && fault.strikes_every_request())
    }

    /// After how many replies each connection is closed.
    pub(super) fn requests_per_connection_max(&self) -> Option<u32> {
        self.faults.iter().find_map(|fault| match fault.kind {
            FaultKind::MaxRequestsPerConnection(count) => Some(count),
            _ => None,
        })
    }
}

/// What a fault may be limited to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FaultTarget<'a> {
    pub(super) rsid: &'a str,
    pub(super) visitor: &'a str,
    pub(super) evars: &'a [(u16, &'a str)],
}

/// What the plan has decided about one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fate {
    /// How long the reply waits.
    pub(super) latency: Duration,
    /// What strikes it, and whether its hit is accepted.
    pub(super) strike: Option<(FaultKind, bool)>,
    /// A random number for where a reply breaks off.
    pub(super) dice: u32,
}

/// A plan with the state of its draws.
#[derive(Debug, Default)]
pub(super) struct FaultDice {
    plan: FaultPlan,
    /// One per fault, so that editing one does not change what the others strike.
    draws: Vec<Draw>,
}

#[derive(Debug)]
struct Draw {
    random: fastrand::Rng,
    matched: u64,
    struck: u64,
}

impl FaultDice {
    pub(super) fn new(plan: FaultPlan) -> FaultDice {
        let draws = (0..plan.faults.len() as u64)
            .map(|index| Draw {
                random: fastrand::Rng::with_seed(
                    plan.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                ),
                matched: 0,
                struck: 0,
            })
            .collect();
        FaultDice { plan, draws }
    }

    pub(super) fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plan.faults.is_empty()
    }

    /// How many requests or connections each fault has struck, by its text.
    pub(super) fn struck(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.plan.faults.iter().zip(&self.draws).map(|(fault, draw)| (fault.to_string(), draw.struck))
    }

    /// Whether the next connection is reset as soon as it stands.
    pub(super) fn refuses_connection(&mut self) -> bool {
        self.plan
            .faults
            .iter()
            .zip(&mut self.draws)
            .any(|(fault, draw)| fault.kind == FaultKind::Refuse && draw.strikes(fault))
    }

    /// Decides about the next request. Every fault that matches draws, so that no fault's luck depends on another's.
    pub(super) fn decide(&mut self, target: &FaultTarget<'_>) -> Fate {
        let mut fate = Fate::default();
        for (fault, draw) in self.plan.faults.iter().zip(&mut self.draws) {
            if matches!(fault.kind, FaultKind::Refuse | FaultKind::MaxRequestsPerConnection(_))
                || !fault.matches(target)
                || !draw.strikes(fault)
            {
                continue;
            }
            match fault.kind {
                FaultKind::Latency(wait) => fate.latency += wait,
                _ if fate.strike.is_none() => {
                    fate.strike = Some((fault.kind.clone(), fault.accepts));
                    fate.dice = draw.random.u32(..);
                }
                _ => {}
            }
        }
        fate
    }
}

impl Draw {
    fn strikes(&mut self, fault: &Fault) -> bool {
        self.matched += 1;
        let lucky = self.random.u32(0..WHOLE_PPM) >= fault.share_ppm;
        let spared = self.matched <= fault.after
            || fault.first.is_some_and(|first| self.matched > fault.after.saturating_add(first));
        let strikes = !lucky && !spared;
        self.struck += u64::from(strikes);
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(plan: &str, requests: usize) -> Vec<bool> {
        let mut dice = FaultDice::new(plan.parse().expect("a plan"));
        (0..requests).map(|_| dice.decide(&FaultTarget::default()).strike.is_some()).collect()
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
        let mut dice =
            FaultDice::new("close only-rsid=a only-visitor=v only-evar6=r".parse().expect("a plan"));
        let evars = [(6, "r"), (7, "x")];
        let target = FaultTarget { rsid: "a", visitor: "v", evars: &evars };
        assert!(dice.decide(&target).strike.is_some());
        for other in [
            FaultTarget { rsid: "ab", ..target },
            FaultTarget { visitor: "w", ..target },
            FaultTarget { evars: &[(7, "r")], ..target },
        ] {
            assert_eq!(dice.decide(&other).strike, None);
        }
    }

    #[test]
    fn latency_adds_to_what_else_strikes() {
        let mut dice = FaultDice::new("latency=5ms; status=503; latency=2ms; 500".parse().expect("a plan"));
        let fate = dice.decide(&FaultTarget::default());
        assert_eq!(fate.latency, Duration::from_millis(7));
        assert!(matches!(fate.strike, Some((FaultKind::Status { code: 503, .. }, false))));
    }
}
