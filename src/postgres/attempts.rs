//! Attempts, their outcomes, and decisions about events. One transaction records many of them, from all lanes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::database::SharedBuffer;
use super::error::PostgresError;
use super::leases::WorkerId;
use super::slices::Claim;
use crate::suite::Rsid;
use crate::word::words;

words! {
    /// The result of an attempt, or the state that was decided for an event. Workers change a state only to a later one
    /// in this list.
    #[derive(PartialOrd, Ord)]
    pub enum Verdict {
        /// The hit that failed was not counted, and the event stays pending.
        Retry = "retry",
        /// The reply refused the last hit, and it is not known yet whether the event or its suite is at fault.
        Refused = "refused",
        /// The lane had to stop before it wrote a byte of the next hit.
        Unsent = "unsent",
        /// The hit may have been counted.
        Doubt = "doubt",
        Held = "held",
        Dead = "dead",
        /// A person decided that the event is never sent.
        Discarded = "discarded",
        Delivered = "delivered",
        /// The event is gone: erased at a person's request, or taken back.
        Erased = "erased",
    }
}

/// An attempt that is about to be made.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub seq: i64,
    /// A random number that names the attempt.
    pub attempt: i64,
    pub claim: Arc<Claim>,
    pub form: Arc<str>,
    /// The index of the first hit to send; the hits before it were counted.
    pub first_hit: i32,
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seq: i64,
    pub attempt: i64,
    pub verdict: Verdict,
    /// How many hits of the event were counted so far, in all attempts.
    pub hits_sent: i32,
    pub reason: Option<String>,
}

/// The end of an event: delivered, dead, held or erased.
#[derive(Debug, Clone)]
pub struct Decision {
    pub seq: i64,
    pub state: Verdict,
    pub reason: Option<String>,
}

/// What one transaction records.
#[derive(Debug, Default)]
pub struct Group {
    pub attempts: Vec<Attempt>,
    pub outcomes: Vec<Outcome>,
    /// Each decision with its suite, because the worker's summary counts decisions by suite.
    pub decisions: Vec<(Rsid, Decision)>,
}

/// What was recorded of a group.
#[derive(Debug, Default)]
pub struct Granted {
    /// The attempts that may be made.
    pub attempts: HashSet<i64>,
    /// The events whose state changed. All others had the decided state, or a higher one, before.
    pub decided: HashSet<i64>,
    /// The slices that this worker does not own any more.
    pub lost: Vec<Arc<Claim>>,
}

/// Calls a function, because the server keeps the plans of the statements in it.
const RECORD: &str =
    "SELECT coalesce(owned, '{}'), coalesce(granted, '{}'), coalesce(decided, '{}') FROM passbridge.record(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// Moves events in the account, from the term `was` to the term `becomes`. The changes of each row sum to zero.
macro_rules! post {
    ($moves:literal) => {
        concat!(
            "INSERT INTO passbridge.posting (requestor, slot, hour, pending_events, pending_units, delivered_events,
                delivered_units, dead_events, dead_units, held_events, held_units, discarded_events, discarded_units,
                erased_events, erased_units)
             SELECT e.requestor, e.slot, e.occurred_at / 3600000000000, sum(m.pending), sum(m.pending * e.count),
                sum(m.delivered), sum(m.delivered * e.count), sum(m.dead), sum(m.dead * e.count), sum(m.held), sum(m.held * e.count),
                sum(m.discarded), sum(m.discarded * e.count), sum(m.erased), sum(m.erased * e.count)
             FROM ", $moves, " AS u(seq, was, becomes) JOIN passbridge.event e ON e.seq = u.seq
             CROSS JOIN LATERAL (SELECT (u.becomes = 'pending')::int - (u.was = 'pending')::int AS pending,
                (u.becomes = 'delivered')::int - (u.was = 'delivered')::int AS delivered,
                (u.becomes = 'dead')::int - (u.was = 'dead')::int AS dead,
                (u.becomes = 'held')::int - (u.was = 'held')::int AS held,
                (u.becomes = 'discarded')::int - (u.was = 'discarded')::int AS discarded,
                (u.becomes = 'erased')::int - (u.was = 'erased')::int AS erased) m
             GROUP BY 1, 2, 3"
        )
    };
}

/// Decides events that have no state yet.
const DECIDE: &str = concat!(
    "WITH new AS (
        INSERT INTO passbridge.final (seq, state, reason)
        SELECT * FROM unnest($1::int8[], $2::text[], $3::text[]) AS u(seq, state, reason) ORDER BY seq
        ON CONFLICT DO NOTHING RETURNING seq, state),
     posted AS (",
    post!("(SELECT seq, 'pending', state FROM new)"),
    ") SELECT seq FROM new"
);

const DECIDED: &str = "SELECT seq, state FROM passbridge.final WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";

const DECIDE_AGAIN: &str =
    "UPDATE passbridge.final f SET state = u.state, reason = u.reason, at = clock_timestamp(), number = DEFAULT
     FROM unnest($1::int8[], $2::text[], $3::text[]) AS u(seq, state, reason) WHERE f.seq = u.seq";

/// The term of the account for events without a final state.
pub(super) const PENDING: &str = "pending";

const POST: &str = post!("unnest($1::int8[], $2::text[], $3::text[])");

impl SharedBuffer {
    /// Records a group. Grants no attempt in a lost slice, and none of an event with a final state. Outcomes are facts,
    /// and are recorded even if the slice has another owner now.
    pub async fn record(&mut self, worker: &WorkerId, group: &Group) -> Result<Granted, PostgresError> {
        let claims: Claims<'_> = group
            .attempts
            .iter()
            .map(|attempt| ((attempt.claim.rsid.as_str(), attempt.claim.n), &attempt.claim))
            .collect();
        let decisions: Vec<&Decision> = group.decisions.iter().map(|(_, decision)| decision).collect();
        let mut granted = self
            .write(async |client| {
                let row = call(client, worker, &claims, group, &decisions).await?;
                let (owned, attempts, new): (Vec<i32>, Vec<i64>, Vec<i64>) =
                    (row.get(0), row.get(1), row.get(2));
                let lost = claims.values().zip(1..).filter(|(_, place)| !owned.contains(place));
                let lost = lost.map(|(claim, _)| Arc::clone(claim)).collect();
                let decided = decide(client, &decisions, new.into_iter().collect()).await?;
                let attempts = attempts.into_iter().collect();
                Ok(Granted { attempts, decided: decided.into_keys().collect(), lost })
            })
            .await?;
        if !self.lost_from_sight.is_empty() {
            // An earlier try may have decided these events: the server cannot tell whether it was committed.
            granted.decided.extend(decisions.iter().map(|decision| decision.seq));
        }
        Ok(granted)
    }
}

/// The claims by suite and slice: a worker has at most one claim of a slice.
type Claims<'a> = BTreeMap<(&'a str, i32), &'a Arc<Claim>>;

/// Records attempts, outcomes, and decisions about events that have no state yet. Places in arrays count from 1 on.
async fn call(
    client: &Client,
    worker: &WorkerId,
    claims: &Claims<'_>,
    Group { attempts, outcomes, .. }: &Group,
    decisions: &[&Decision],
) -> Result<Row, Error> {
    let (rsids, slices): (Vec<&str>, Vec<i32>) = claims.keys().copied().unzip();
    let epochs: Vec<i64> = claims.values().map(|claim| claim.epoch).collect();
    let places: BTreeMap<(&str, i32), i32> = claims.keys().copied().zip(1..).collect();
    let place = |Attempt { claim, .. }: &Attempt| places[&(claim.rsid.as_str(), claim.n)];
    let begun_claims: Vec<i32> = attempts.iter().map(place).collect();
    let begun_seqs: Vec<i64> = attempts.iter().map(|attempt| attempt.seq).collect();
    let begun: Vec<i64> = attempts.iter().map(|attempt| attempt.attempt).collect();
    let forms: BTreeSet<&str> = attempts.iter().map(|attempt| &*attempt.form).collect();
    let places: BTreeMap<&str, i32> = forms.iter().copied().zip(1..).collect();
    let forms: Vec<&str> = forms.into_iter().collect();
    let begun_forms: Vec<i32> = attempts.iter().map(|attempt| places[&*attempt.form]).collect();
    let first_hits: Vec<i32> = attempts.iter().map(|attempt| attempt.first_hit).collect();
    let ended_seqs: Vec<i64> = outcomes.iter().map(|outcome| outcome.seq).collect();
    let ended: Vec<i64> = outcomes.iter().map(|outcome| outcome.attempt).collect();
    let verdicts: Vec<&str> = outcomes.iter().map(|outcome| outcome.verdict.as_str()).collect();
    let hits_sent: Vec<i32> = outcomes.iter().map(|outcome| outcome.hits_sent).collect();
    let ended_reasons: Vec<Option<&str>> = outcomes.iter().map(|outcome| outcome.reason.as_deref()).collect();
    let seqs: Vec<i64> = decisions.iter().map(|decision| decision.seq).collect();
    let states: Vec<&str> = decisions.iter().map(|decision| decision.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = decisions.iter().map(|decision| decision.reason.as_deref()).collect();
    let values = [
        (&worker.0 as _, Type::TEXT),
        (&rsids as _, Type::TEXT_ARRAY),
        (&slices as _, Type::INT4_ARRAY),
        (&epochs as _, Type::INT8_ARRAY),
        (&begun_claims as _, Type::INT4_ARRAY),
        (&begun_seqs as _, Type::INT8_ARRAY),
        (&begun as _, Type::INT8_ARRAY),
        (&forms as _, Type::TEXT_ARRAY),
        (&begun_forms as _, Type::INT4_ARRAY),
        (&first_hits as _, Type::INT4_ARRAY),
        (&ended_seqs as _, Type::INT8_ARRAY),
        (&ended as _, Type::INT8_ARRAY),
        (&verdicts as _, Type::TEXT_ARRAY),
        (&hits_sent as _, Type::INT4_ARRAY),
        (&ended_reasons as _, Type::TEXT_ARRAY),
        (&seqs as _, Type::INT8_ARRAY),
        (&states as _, Type::TEXT_ARRAY),
        (&reasons as _, Type::TEXT_ARRAY),
    ];
    client.query_typed_one(RECORD, &values).await
}

/// Changes the states of events, each only to a higher one: held < dead < discarded < delivered < erased. So a success
/// that a frozen worker records late counts once, and a late failure changes nothing. Returns the former state of each
/// event whose state changed. The events in `new` had none; this transaction has decided them.
pub(super) async fn decide(
    client: &Client,
    decisions: &[&Decision],
    mut new: HashSet<i64>,
) -> Result<HashMap<i64, &'static str>, Error> {
    let (mut open, mut decided) = (decisions.to_vec(), HashMap::new());
    loop {
        open.retain(|decision| !new.contains(&decision.seq));
        decided.extend(new.into_iter().map(|seq| (seq, PENDING)));
        if open.is_empty() {
            return Ok(decided);
        }
        let seqs: Vec<i64> = open.iter().map(|decision| decision.seq).collect();
        let states = client.query_typed(DECIDED, &[(&seqs, Type::INT8_ARRAY)]).await?;
        let state = |row: &Row| Some((row.get(0), row.get::<_, &str>(1).parse::<Verdict>().ok()?));
        let states: BTreeMap<i64, Verdict> = states.iter().filter_map(state).collect();
        let is_higher =
            |decision: &&Decision| states.get(&decision.seq).is_some_and(|was| decision.state > *was);
        let raised: Vec<&Decision> = open.iter().copied().filter(is_higher).collect();
        change(client, DECIDE_AGAIN, &raised).await?;
        let seqs: Vec<i64> = raised.iter().map(|decision| decision.seq).collect();
        let was: Vec<&str> = seqs.iter().map(|seq| states[seq].as_str()).collect();
        let becomes: Vec<&str> = raised.iter().map(|decision| decision.state.as_str()).collect();
        post(client, &seqs, &was, &becomes).await?;
        decided.extend(seqs.into_iter().zip(was));
        // A person may have requeued an event between the two statements, so that it has no state any more.
        open.retain(|decision| !states.contains_key(&decision.seq));
        new = change(client, DECIDE, &open).await?;
    }
}

/// Moves events in the account, each from its term in `was` to its term in `becomes`.
pub(super) async fn post(client: &Client, seqs: &[i64], was: &[&str], becomes: &[&str]) -> Result<(), Error> {
    let values =
        [(&seqs as _, Type::INT8_ARRAY), (&was as _, Type::TEXT_ARRAY), (&becomes as _, Type::TEXT_ARRAY)];
    client.execute_typed(POST, &values).await.map(drop)
}

async fn change(client: &Client, sql: &str, decisions: &[&Decision]) -> Result<HashSet<i64>, Error> {
    let seqs: Vec<i64> = decisions.iter().map(|decision| decision.seq).collect();
    let states: Vec<&str> = decisions.iter().map(|decision| decision.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = decisions.iter().map(|decision| decision.reason.as_deref()).collect();
    let values =
        [(&seqs as _, Type::INT8_ARRAY), (&states as _, Type::TEXT_ARRAY), (&reasons as _, Type::TEXT_ARRAY)];
    let rows = client.query_typed(sql, &values).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
