//! The two routes to Analytics, hit by hit (DIA) or as bulk files (BDIA), and how long each would take.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::counts::SuitePlan;
use crate::backfill::bulk::LEVEL;
use crate::config::{BulkConfig, DeliveryConfig};
use crate::encode::bulk_header;
use crate::suite::Rsid;

/// The assumed time of a DIA request. Adobe publishes no time; a request and its reply on the same continent
/// take 20 to 150 ms. `drain` shows the real time.
pub(super) const REQUEST_LATENCY: Duration = Duration::from_millis(100);
/// The shortest assumed request, in seconds, because nothing can be divided by a latency of 0.
const LATENCY_SECONDS_MIN: f64 = 0.001;
/// How many rows are compressed: as many as a file has by default.
const SAMPLE_ROWS: u64 = 40_000;

/// The limits of a backfill, on either route.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Hits per second that the backfill may send to one collection host; `None` means as many as the lanes can send.
    /// A suite's own limit applies too. Default `None`.
    pub hits_per_second: Option<NonZeroU32>,
    pub lanes: NonZeroU32,
    /// How long a request and its reply take.
    pub request_latency: Duration,
    /// The wanted rows per second of bulk files, over all visitor groups. The number of groups follows from it.
    pub rows_per_second: NonZeroU32,
    pub limits: BulkConfig,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates::of(&DeliveryConfig::default(), &BulkConfig::default(), None)
    }
}

impl Rates {
    /// Reads `[delivery]` and `[bulk]`. A job's `rate` replaces `bulk.rate`; for DIA it can only lower `rate_per_host`.
    pub fn of(delivery: &DeliveryConfig, bulk: &BulkConfig, rate: Option<NonZeroU32>) -> Rates {
        let at_least_1 = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Rates {
            hits_per_second: [rate, NonZeroU32::new(delivery.rate_per_host)].into_iter().flatten().min(),
            lanes: at_least_1(delivery.lanes),
            request_latency: REQUEST_LATENCY,
            rows_per_second: rate.unwrap_or(at_least_1(bulk.rate)),
            limits: bulk.clone(),
        }
    }
}

/// The DIA route: hit by hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiaRoute {
    /// Requests without repeats. Adobe bills each as a server call.
    pub requests: u64,
    /// The total size of the XML documents, without HTTP headers.
    pub bytes: u64,
    /// How long this route takes. All hosts are served at the same time.
    pub seconds: u64,
    pub hosts: Vec<HostRoute>,
}

/// The part of the DIA route that goes to one collection host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostRoute {
    /// The host, with its port if it is not 443.
    pub host: String,
    pub requests: u64,
    /// The size of the XML documents, without HTTP headers.
    pub bytes: u64,
    /// Hits per second while all suites of the host have hits to send.
    pub hits_per_second: f64,
    pub seconds: u64,
    pub limited_by: Limit,
}

/// The limit that decides how long a host takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The lanes, because each waits for the reply to its hit.
    Lanes,
    /// The hits per second of the backfill.
    HostRate,
    /// The hits per second of this suite.
    SuiteRate(Rsid),
    /// The busiest visitor of this suite, whose hits are sent one after the other.
    Visitor(Rsid),
}

/// The BDIA route: bulk files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BulkRoute {
    pub rows: u64,
    pub files: u64,
    /// The size of the files before gzip, with their headers.
    pub raw_bytes: u64,
    /// The size of the files after gzip at level 3, estimated from the first rows.
    pub compressed_bytes: u64,
    /// `compressed_bytes` per byte of `raw_bytes`, measured on the first rows.
    pub compression_ratio: f64,
    pub sampled_rows: u64,
    /// Visitor groups of all suites. A visitor never changes its group, so a backfill keeps the number of groups.
    pub visitor_groups: u64,
    /// How long this route takes, including the wait for every file.
    pub seconds: u64,
}

pub(super) fn by_dia(suites: &[SuitePlan], rates: &Rates) -> DiaRoute {
    let mut hosts: BTreeMap<&str, Vec<&SuitePlan>> = BTreeMap::new();
    for suite in suites.iter().filter(|suite| suite.total.hits > 0) {
        hosts.entry(&suite.host).or_default().push(suite);
    }
    let hosts: Vec<HostRoute> =
        hosts.into_iter().map(|(host, suites)| of_host(host, &suites, rates)).collect();
    DiaRoute {
        requests: hosts.iter().map(|host| host.requests).sum(),
        bytes: hosts.iter().map(|host| host.bytes).sum(),
        seconds: hosts.iter().map(|host| host.seconds).max().unwrap_or(0),
        hosts,
    }
}

fn of_host(host: &str, suites: &[&SuitePlan], rates: &Rates) -> HostRoute {
    let latency_seconds = rates.request_latency.as_secs_f64().max(LATENCY_SECONDS_MIN);
    let lanes = f64::from(rates.lanes.get()) / latency_seconds;
    let (limit, limited_by) = match rates.hits_per_second.map(|rate| f64::from(rate.get())) {
        Some(rate) if rate < lanes => (rate, Limit::HostRate),
        _ => (lanes, Limit::Lanes),
    };
    let requests: u64 = suites.iter().map(|suite| suite.total.hits).sum();
    let mut slowest = (requests as f64 / limit, limited_by);
    let mut hits_per_second = 0.0;
    for suite in suites {
        let own = suite.hits_per_second.map_or(limit, |rate| f64::from(rate.get()));
        hits_per_second += own;
        let seconds = suite.total.hits as f64 / own;
        if seconds > slowest.0 {
            slowest = (seconds, Limit::SuiteRate(suite.rsid.clone()));
        }
        let seconds = suite.busiest_visitor_hits as f64 * latency_seconds;
        if seconds > slowest.0 {
            slowest = (seconds, Limit::Visitor(suite.rsid.clone()));
        }
    }
    HostRoute {
        host: host.to_owned(),
        requests,
        bytes: suites.iter().map(|suite| suite.document_bytes).sum(),
        hits_per_second: f64::min(hits_per_second, limit),
        seconds: slowest.0.ceil() as u64,
        limited_by: slowest.1,
    }
}

/// The first rows as a bulk file, to measure how well they compress.
pub(super) struct Sample {
    packed: GzEncoder<Vec<u8>>,
    rows: u64,
    raw_bytes: u64,
    pub(super) header_bytes: u64,
}

impl Sample {
    pub(super) fn new() -> Sample {
        let mut header = Vec::new();
        bulk_header(&mut header);
        let mut sample = Sample {
            packed: GzEncoder::new(Vec::new(), Compression::new(LEVEL)),
            rows: 0,
            raw_bytes: 0,
            header_bytes: header.len() as u64,
        };
        sample.take(&header, 0);
        sample
    }

    pub(super) fn take(&mut self, text: &[u8], rows: u64) {
        if self.rows >= SAMPLE_ROWS {
            return;
        }
        self.rows += rows;
        self.raw_bytes += text.len() as u64;
        self.packed.write_all(text).expect("memory takes every write");
    }

    /// How many rows were compressed, and the ratio of compressed to raw bytes.
    pub(super) fn finish(self) -> (u64, f64) {
        let packed = self.packed.finish().expect("memory takes every write");
        (self.rows, packed.len() as f64 / self.raw_bytes.max(1) as f64)
    }
}

pub(super) fn by_bulk(suites: &[SuitePlan], sample: Sample, rates: &Rates) -> BulkRoute {
    let header_bytes = sample.header_bytes;
    let rows: u64 = suites.iter().map(|suite| suite.total.hits).sum();
    let row_bytes: u64 = suites.iter().map(|suite| suite.row_bytes).sum();
    let (sampled_rows, compression_ratio) = sample.finish();
    let mut route = BulkRoute {
        rows,
        files: 0,
        raw_bytes: 0,
        compressed_bytes: 0,
        compression_ratio,
        sampled_rows,
        visitor_groups: 0,
        seconds: 0,
    };
    if rows == 0 {
        return route;
    }
    let rows_per_file = rows_per_file(row_bytes.div_ceil(rows), header_bytes, compression_ratio, rates);
    let group_rate = u64::from(rates.limits.group_rows_per_second.max(1));
    let groups = u64::from(rates.rows_per_second.get()).div_ceil(group_rate);
    let files_of = |rows: u64| rows.div_ceil(rows_per_file);
    // Every suite has groups of its own, and the suites are sent one after the other.
    let (mut rows_of_a_group, mut files_of_a_group) = (0, 0);
    for suite in suites.iter().filter(|suite| suite.total.hits > 0) {
        let rows = suite.total.hits;
        // A digest decides a visitor's group, so groups are about equal, except that of the busiest visitor.
        let fullest = rows.div_ceil(groups).max(suite.busiest_visitor_hits);
        let (others, rest) = (groups - 1, rows - fullest);
        let (share, fuller) = (rest / others.max(1), rest % others.max(1));
        route.visitor_groups += groups;
        route.files += files_of(fullest) + fuller * files_of(share + 1) + (others - fuller) * files_of(share);
        rows_of_a_group = fullest.max(rows_of_a_group);
        files_of_a_group += files_of(fullest);
    }
    route.raw_bytes = row_bytes + route.files * header_bytes;
    route.compressed_bytes = (route.raw_bytes as f64 * compression_ratio).round() as u64;
    // A file with more rows than the group may send in one spacing takes longer.
    let rows_seconds = rows_of_a_group.min(rows_per_file) as f64 / group_rate as f64;
    let of_a_group = files_of_a_group as f64 * (rates.limits.group_spacing_ms as f64 / 1e3).max(rows_seconds);
    let of_calls = route.files as f64 * rates.limits.call_spacing_ms as f64 / 1e3;
    route.seconds = f64::max(of_a_group, of_calls).ceil() as u64;
    route
}

/// The rows of a file: as configured, or fewer if long rows would break a limit of Adobe for a file.
fn rows_per_file(row_bytes: u64, header_bytes: u64, compression_ratio: f64, rates: &Rates) -> u64 {
    let raw = rates.limits.file_bytes_unpacked.saturating_sub(header_bytes) / row_bytes.max(1);
    let packed = (rates.limits.file_bytes as f64 / (row_bytes as f64 * compression_ratio).max(1.0)) as u64;
    u64::from(rates.limits.file_rows).min(raw).min(packed).max(1)
}
