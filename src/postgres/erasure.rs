//! Erasure at a person's request, with the same result as in a file: the person's events are deleted, tombstones of
//! their identities stay, and random digests replace the person's digests in the metrics.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::attempts::{Decision, Verdict, decide};
use super::backlog::stored_event;
use super::database::SharedBuffer;
use super::error::Result;
use super::metrics::{FOLD_LOCK, REPACK};
use crate::buffer::{Forget, Forgotten, Person, Strangers};
use crate::delivery::Sequence;
use crate::event::Property;
use crate::mapping;

/// Events erased in one transaction, for which drains of their suites wait.
const ERASED_A_TRANSACTION: usize = 500;
/// Packs of users that one transaction searches: at most some 80 MB.
const PACKS_A_TRANSACTION: i64 = 32;

/// The ID is searched in the text of the body, so this finds too many events. `find` checks each.
const FIND: &str = "SELECT e.seq, e.id, r.requestor_id, e.slot, e.occurred_at, e.count, e.body
     FROM passbridge.event e JOIN passbridge.requestor r USING (requestor)
     WHERE e.seq >= $1 AND e.seq < $2 AND strpos(e.body, $3) > 0 ORDER BY e.seq";

/// The packs after a number, each with its users if it may have one of the digests.
const PACKS: &str = "SELECT pack, CASE WHEN EXISTS (SELECT FROM unnest($3::bytea[]) d WHERE position(d IN packed) > 0) THEN packed END
     FROM passbridge.metric_users WHERE pack > $1 ORDER BY pack LIMIT $2";
const GROUPS: &str = "SELECT metric_group FROM passbridge.metric_group WHERE lower(mvpd COLLATE \"C\") = lower($1 COLLATE \"C\")";

/// While these rows are locked, no requestor of the events is mapped or freed, and no worker begins to send them.
pub(super) const LOCKS: [&str; 2] = [
    "SELECT FROM passbridge.requestor WHERE requestor IN (SELECT requestor FROM passbridge.event WHERE seq = ANY($1))
     ORDER BY requestor FOR SHARE",
    "SELECT FROM passbridge.slice WHERE rsid IN (
        SELECT r.rsid FROM passbridge.event e JOIN passbridge.requestor r USING (requestor) WHERE e.seq = ANY($1))
     ORDER BY rsid, n FOR UPDATE",
];

/// Deletes events whose state is `erased`. Those of `$2` were discarded before. Keeps the sum of what was over-counted.
const ERASE: &str = "WITH gone AS (
        DELETE FROM passbridge.event WHERE seq = ANY($1) RETURNING seq, id, requestor, slot, occurred_at, count, metric_group),
    attempts AS (DELETE FROM passbridge.attempt WHERE seq = ANY($1)),
    outcomes AS (DELETE FROM passbridge.outcome WHERE seq = ANY($1)),
    asides AS (DELETE FROM passbridge.aside WHERE seq = ANY($1)),
    identities AS (
        UPDATE passbridge.identity i SET content = NULL, gone_on = current_date FROM gone WHERE i.id = gone.id),
    discarded AS (
        INSERT INTO passbridge.metric_discarded (quarter, metric_group, slot, units)
        SELECT occurred_at / 900000000000, metric_group, slot, sum(count) FROM gone WHERE seq = ANY($2) GROUP BY 1, 2, 3)
    INSERT INTO passbridge.posting (requestor, slot, hour, over_units)
    SELECT g.requestor, g.slot, g.occurred_at / 3600000000000, sum(r.extra)
    FROM gone g JOIN passbridge.repeated r ON r.seq = g.seq AND r.seq = ANY($1) GROUP BY 1, 2, 3";

/// What was found of a person.
#[derive(Default)]
struct Found {
    events: Vec<i64>,
    people: HashSet<Person>,
    told: Forgotten,
}

impl SharedBuffer {
    /// Erases the person from the tables. Drains and ingests may run. An event that is being sent is erased too, but an
    /// event that is stored meanwhile may stay.
    pub async fn forget(&mut self, whom: &Forget) -> Result<Forgotten> {
        // The metrics cannot count an event any more once it is deleted.
        self.count_older_events().await?;
        let found = self.find(whom).await?;
        // The metrics come first, because only the events tell whose digests to replace. After an interruption, the
        // next try still finds the events.
        let (metric_digests, last) = self.replace_digests(&found.people, 0, Some(REPACK)).await?;
        for events in found.events.chunks(ERASED_A_TRANSACTION) {
            self.write(async |client| erase(client, events).await).await?;
        }
        // A take-back may have counted the users of a day again meanwhile, in later packs.
        self.replace_digests(&found.people, last, Some(REPACK)).await?;
        Ok(Forgotten { metric_digests, ..found.told })
    }

    /// What [`SharedBuffer::forget`] would erase.
    pub async fn count_to_forget(&mut self, whom: &Forget) -> Result<Forgotten> {
        let found = self.find(whom).await?;
        let (metric_digests, _) = self.replace_digests(&found.people, 0, None).await?;
        Ok(Forgotten { metric_digests, ..found.told })
    }

    /// The events of a person, as [`SharedBuffer::forget`] finds them.
    pub async fn held_of(&mut self, whom: &Forget) -> Result<Vec<Sequence>> {
        Ok(self.find(whom).await?.events.into_iter().map(Sequence).collect())
    }

    async fn find(&mut self, whom: &Forget) -> Result<Found> {
        let escaped = serde_json::to_string(whom.needle()).expect("text always serialises");
        let needle = &escaped[1..escaped.len() - 1];
        let mut found = Found { people: Person::named(whom), ..Found::default() };
        for (first, end) in self.spans_of_events().await? {
            let values = [(&first as _, Type::INT8), (&end as _, Type::INT8), (&needle as _, Type::TEXT)];
            for row in self.rows(FIND, &values).await? {
                let event = stored_event(&row)?;
                let mvpd = event.property(Property::Mvpd);
                if event.property(whom.property).is_some_and(|id| whom.is_of(id, mvpd)) {
                    found.events.push(row.get(0));
                    found.told.mvpds.extend(mvpd.map(str::to_owned));
                    found.people.extend(Person::of(&mapping::measure(&event)));
                }
            }
        }
        found.told.events = found.events.len() as u64;
        Ok(found)
    }

    /// Replaces digests in every pack after a number; without `repack`, only counts them. Returns how many these are, and
    /// the number of the last pack. Nobody folds packs during a transaction. A pack folded between two transactions has a
    /// higher number, so it is seen too.
    async fn replace_digests(
        &mut self,
        people: &HashSet<Person>,
        mut last: i64,
        repack: Option<&str>,
    ) -> Result<(u64, i64)> {
        let (secret, mut strangers) = (self.metrics_secret().await?, Strangers::default());
        for person in people {
            let rows = self.rows(GROUPS, &[(&person.mvpd, Type::TEXT)]).await?;
            let groups = rows.iter().map(|row| row.get::<_, i32>(0).cast_unsigned());
            strangers.add(&secret, person, groups.collect());
        }
        let mut replaced_in_all = 0;
        loop {
            let work = async |client: &Client| replace_some(client, last, &strangers, repack).await;
            let (next, replaced) = self.write(work).await?;
            replaced_in_all += replaced;
            match next {
                Some(next) => last = next,
                None => return Ok((replaced_in_all, last)),
            }
        }
    }
}

/// Replaces digests in the packs after a number. Returns the number of the last pack, and how many digests it replaced.
async fn replace_some(
    client: &Client,
    after: i64,
    strangers: &Strangers,
    repack: Option<&str>,
) -> std::result::Result<(Option<i64>, u64), Error> {
    client.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&FOLD_LOCK, Type::INT8)]).await?;
    let digests: Vec<Vec<u8>> = strangers.digests().into_iter().map(Vec::from).collect();
    let values = [
        (&after as _, Type::INT8),
        (&PACKS_A_TRANSACTION as _, Type::INT8),
        (&digests as _, Type::BYTEA_ARRAY),
    ];
    let (rows, mut replaced_in_all) = (client.query_typed(PACKS, &values).await?, 0);
    for row in &rows {
        let Some((packed, replaced)) =
            row.get::<_, Option<&[u8]>>(1).and_then(|packed| strangers.replace_in(packed))
        else {
            continue;
        };
        if let Some(repack) = repack {
            let values = [(&row.get::<_, i64>(0) as _, Type::INT8), (&packed as _, Type::BYTEA)];
            client.execute_typed(repack, &values).await?;
        }
        replaced_in_all += replaced;
    }
    Ok((rows.last().map(|row| row.get(0)), replaced_in_all))
}

/// Decides that events are erased, and deletes them. Workers with them in memory find the state, and send no more.
async fn erase(client: &Client, events: &[i64]) -> std::result::Result<(), Error> {
    for lock in LOCKS {
        client.query_typed(lock, &[(&events, Type::INT8_ARRAY)]).await?;
    }
    let decision = |seq: &i64| Decision { seq: *seq, state: Verdict::Erased, reason: None };
    let decisions: Vec<Decision> = events.iter().map(decision).collect();
    let was = decide(client, &decisions.iter().collect::<Vec<_>>(), HashSet::new()).await?;
    let discarded = was.iter().filter(|(_, was)| **was == Verdict::Discarded.as_str());
    let discarded: Vec<i64> = discarded.map(|(seq, _)| *seq).collect();
    let values = [(&events as _, Type::INT8_ARRAY), (&discarded as _, Type::INT8_ARRAY)];
    client.execute_typed(ERASE, &values).await.map(drop)
}
