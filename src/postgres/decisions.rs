//! What a person decides about dead and held events.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::attempts::{PENDING, Verdict, post};
use super::backlog::stored_event;
use super::database::SharedBuffer;
use super::error::{PostgresError, Result};
use crate::buffer::{Group, Requeue, Requeued, Selection, Settled, Undecided, UndecidedEvent, Why};
use crate::delivery::{DeadReason, Sequence};
use crate::event::{EventKind, Instant, PassEvent};

/// Events moved in one transaction.
const MOVED_A_TRANSACTION: usize = 1_000;

/// The values stay JSON, because the text type cannot hold a zero character, and one such value must not fail the list.
const GROUPS: &str = "SELECT coalesce(f.reason, ''), (e.body::json -> 'mvpd')::text, (e.body::json -> 'resource_id')::text, count(*)
     FROM passbridge.final f JOIN passbridge.event e USING (seq)
     WHERE f.state = $1 AND ($2::text IS NULL OR f.reason = $2) AND ($3::int8[] IS NULL OR f.seq = ANY($3))
     GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3";

const UNDECIDED: &str = "SELECT f.seq, r.requestor_id,
        coalesce((SELECT a.rsid FROM passbridge.attempt a WHERE a.seq = f.seq ORDER BY a.at DESC LIMIT 1), r.rsid),
        e.slot, e.occurred_at, e.count, coalesce(f.reason, ''), (extract(epoch FROM f.at) * 1000000000)::int8,
        (SELECT count(*) FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
         WHERE a.seq = f.seq AND (o.seq IS NULL OR o.verdict = 'doubt'))
     FROM passbridge.final f JOIN passbridge.event e USING (seq) JOIN passbridge.requestor r USING (requestor)
     WHERE f.state = $1 AND ($2::text IS NULL OR f.reason = $2) AND ($3::int8[] IS NULL OR f.seq = ANY($3))
     ORDER BY f.at DESC, f.seq LIMIT $4";

const CHOSEN: &str = "SELECT f.seq, EXISTS (
            SELECT FROM passbridge.attempt a LEFT JOIN passbridge.outcome o ON o.seq = a.seq AND o.attempt = a.attempt
            WHERE a.seq = f.seq AND (o.seq IS NULL OR o.verdict = 'doubt') AND a.form::jsonb ->> 'event_ids' = 'off')
     FROM passbridge.final f
     WHERE f.state = $1 AND ($2::text IS NULL OR f.reason = $2) AND ($3::int8[] IS NULL OR f.seq = ANY($3)) ORDER BY f.seq";

const EVENT: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor) WHERE e.seq = $1";

/// Locks the events that are still in the selected state, in the order in which workers lock them, against deadlocks.
const LOCK: &str =
    "SELECT seq FROM passbridge.final WHERE seq = ANY($1) AND state = $2 ORDER BY seq FOR UPDATE";

/// Lists requeued events: the next owner of their slice would skip them as covered. Without a suite, there is no slice.
const ASIDE: &str = "INSERT INTO passbridge.aside (rsid, n, seq, accepted_at)
     SELECT s.rsid, CASE s.settings::jsonb ->> 'identity' WHEN 'ecid' THEN e.ecid_bucket ELSE e.mvpd_bucket END & 15, e.seq,
        clock_timestamp()
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor) JOIN passbridge.suite s ON s.rsid = r.rsid
     WHERE e.seq = ANY($1) FOR SHARE OF r, s
     ON CONFLICT (rsid, n, seq) DO UPDATE SET accepted_at = EXCLUDED.accepted_at";

/// The values of the query parameters for a selection.
struct Filters<'a> {
    state: Verdict,
    reason: Option<&'a str>,
    seqs: Option<Vec<i64>>,
}

impl Filters<'_> {
    fn of(state: Undecided, which: &Selection) -> Filters<'_> {
        let state = if state == Undecided::Dead { Verdict::Dead } else { Verdict::Held };
        let (reason, seqs) = match which {
            Selection::All => (None, None),
            Selection::Reason(reason) => (Some(reason.as_str()), None),
            Selection::Sequences(seqs) => (None, Some(seqs.iter().map(|seq| seq.0).collect())),
        };
        Filters { state, reason, seqs }
    }
}

impl SharedBuffer {
    /// How many events a person must decide about, by reason, MVPD and resource, the most first.
    pub async fn undecided_groups(&mut self, state: Undecided, which: &Selection) -> Result<Vec<Group>> {
        let Filters { state, reason, seqs } = Filters::of(state, which);
        let values =
            [(&state.as_str() as _, Type::TEXT), (&reason as _, Type::TEXT), (&seqs as _, Type::INT8_ARRAY)];
        let text = |json: Option<&str>| serde_json::from_str::<Option<String>>(json?).ok()?;
        let group = |row: &Row| Group {
            reason: row.get(0),
            mvpd: text(row.get(1)),
            resource_id: text(row.get(2)),
            events: row.get::<_, i64>(3).cast_unsigned(),
        };
        Ok(self.rows(GROUPS, &values).await?.iter().map(group).collect())
    }

    /// Events that a person must decide about, the latest first.
    pub async fn undecided(
        &mut self,
        state: Undecided,
        which: &Selection,
        limit: usize,
    ) -> Result<Vec<UndecidedEvent>> {
        let Filters { state, reason, seqs } = Filters::of(state, which);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [
            (&state.as_str() as _, Type::TEXT),
            (&reason as _, Type::TEXT),
            (&seqs as _, Type::INT8_ARRAY),
            (&limit as _, Type::INT8),
        ];
        self.rows(UNDECIDED, &values).await?.iter().map(|row| undecided(row, state)).collect()
    }

    /// The event with this number, in any state; `None` if there is none.
    pub async fn event(&mut self, sequence: Sequence) -> Result<Option<PassEvent>> {
        let rows = self.rows(EVENT, &[(&sequence.0, Type::INT8)]).await?;
        rows.first().map(stored_event).transpose()
    }

    /// Makes events pending, so that the next drain sends them again. What may have been counted keeps its form.
    pub async fn requeue(&mut self, state: Undecided, which: &Selection, how: Requeue) -> Result<Requeued> {
        self.move_all(state, which, how, None).await
    }

    /// Makes events discarded, or delivered because a person says that they were counted.
    pub async fn settle(&mut self, state: Undecided, which: &Selection, becomes: Settled) -> Result<u64> {
        let becomes = if becomes == Settled::Discarded { Verdict::Discarded } else { Verdict::Delivered };
        Ok(self.move_all(state, which, Requeue::EvenIfDoubled, Some(becomes)).await?.requeued)
    }

    /// Moves the selected events to a state, or back to pending, in several transactions, so that no worker waits long.
    async fn move_all(
        &mut self,
        state: Undecided,
        which: &Selection,
        how: Requeue,
        becomes: Option<Verdict>,
    ) -> Result<Requeued> {
        let Filters { state, reason, seqs } = Filters::of(state, which);
        let values =
            [(&state.as_str() as _, Type::TEXT), (&reason as _, Type::TEXT), (&seqs as _, Type::INT8_ARRAY)];
        let mut moved = Requeued::default();
        let mut chosen: Vec<i64> = Vec::new();
        for row in self.rows(CHOSEN, &values).await? {
            match row.get(1) {
                true if how == Requeue::OnlyExact => moved.may_double += 1,
                _ => chosen.push(row.get(0)),
            }
        }
        for chunk in chosen.chunks(MOVED_A_TRANSACTION) {
            moved.requeued +=
                self.write(async |client| move_some(client, chunk, state, becomes).await).await?;
        }
        Ok(moved)
    }
}

async fn move_some(
    client: &Client,
    seqs: &[i64],
    state: Verdict,
    becomes: Option<Verdict>,
) -> std::result::Result<u64, Error> {
    let was = state.as_str();
    let rows = client.query_typed(LOCK, &[(&seqs, Type::INT8_ARRAY), (&was, Type::TEXT)]).await?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let own = || (&seqs as _, Type::INT8_ARRAY);
    match becomes {
        Some(becomes) => {
            let update = "UPDATE passbridge.final SET state = $2, at = clock_timestamp(), number = DEFAULT WHERE seq = ANY($1)";
            client.execute_typed(update, &[own(), (&becomes.as_str(), Type::TEXT)]).await?;
        }
        None => {
            client.execute_typed("DELETE FROM passbridge.final WHERE seq = ANY($1)", &[own()]).await?;
            client.execute_typed(ASIDE, &[own()]).await?;
        }
    }
    let becomes = becomes.map_or(PENDING, Verdict::as_str);
    post(client, &seqs, &vec![was; seqs.len()], &vec![becomes; seqs.len()]).await?;
    Ok(seqs.len() as u64)
}

fn undecided(row: &Row, state: Verdict) -> Result<UndecidedEvent> {
    let kind = u8::try_from(row.get::<_, i16>(3)).ok().and_then(EventKind::from_slot);
    let at = Instant::from_nanos(row.get(7));
    let why = if state == Verdict::Dead {
        let reason = DeadReason::from_code(row.get(6));
        Why::Dead { explanation: reason.to_string(), reason, died_at: at }
    } else {
        let attempts = u32::try_from(row.get::<_, i64>(8)).unwrap_or(u32::MAX);
        Why::Held { attempts, cause: row.get(6), held_at: at }
    };
    Ok(UndecidedEvent {
        seq: Sequence(row.get(0)),
        requestor_id: row.get(1),
        rsid: row.get(2),
        event: kind.ok_or(PostgresError::Damaged("an event has an unknown kind"))?.name(),
        occurred_at: Instant::from_nanos(row.get(4)),
        count: row.get::<_, i32>(5).cast_unsigned(),
        why,
    })
}
