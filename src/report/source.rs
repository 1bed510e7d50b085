//! Where a report reads the metrics: in a buffer that is a file, or in one on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use super::period::ReportError;
use crate::buffer::{CountedHour, Discarded, MetricGroup, MetricsReader, SeenUser, UserMark};
use crate::event::{Instant, KindSet, Measure, PassEvent};
use crate::postgres::SharedMetrics;
use crate::readers::esm::StatedAccounts;

/// A snapshot of the metrics of a buffer. Its functions are those of [`MetricsReader`].
pub enum Metrics {
    File(MetricsReader),
    Shared(SharedMetrics),
}

macro_rules! of_either {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(pub(super) fn $name(&self, $($argument: $kind),*) -> Result<$answer, ReportError> {
            match self {
                Metrics::File(metrics) => Ok(metrics.$name($($argument),*)?),
                Metrics::Shared(metrics) => Ok(metrics.$name($($argument),*)?),
            }
        })*
    };
}

/// What only a file can have: PostgreSQL takes in no reports of ESM.
macro_rules! of_files {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(pub(super) fn $name(&self, $($argument: $kind),*) -> Result<$answer, ReportError> {
            match self {
                Metrics::File(metrics) => Ok(metrics.$name($($argument),*)?),
                Metrics::Shared(_) => Ok(<$answer>::default()),
            }
        })*
    };
}

impl Metrics {
    of_either! {
        fn whole_from() -> Option<Instant>;
        fn events_whole_from() -> Option<Instant>;
        fn span() -> Option<(i64, i64)>;
        fn groups() -> Vec<MetricGroup>;
        fn discarded(first_hour: i64, last_hour: i64) -> Vec<CountedHour>;
        fn each_counted(first_hour: i64, last_hour: i64, show: impl FnMut(CountedHour)) -> ();
        fn each_user(first_day: i64, last_day: i64, show: impl FnMut(&[SeenUser])) -> ();
        fn stale_users(first_day: i64, last_day: i64) -> Vec<(String, i64)>;
        fn each_event(from: Instant, to: Instant, whose: Discarded, show: impl FnMut(&PassEvent)) -> ();
    }

    of_files! {
        fn esm_requestors() -> BTreeSet<String>;
        fn requestors_stated_alone() -> BTreeSet<String>;
        fn lacking(requestor_id: &str, hour: i64) -> BTreeMap<u64, KindSet>;
        fn each_stated(from: Instant, to: Instant, see: impl FnMut(StatedAccounts)) -> ();
    }

    pub(super) fn mark(&self, measure: &Measure) -> Option<UserMark> {
        let (Metrics::File(MetricsReader { secret, .. }) | Metrics::Shared(SharedMetrics { secret, .. })) =
            self;
        secret.mark(measure)
    }
}
