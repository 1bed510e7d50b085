//! A plan of a backfill, for people. Warnings come last, because the end of a text stays visible on a terminal.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use indicatif::DecimalBytes;

use crate::backfill::{BulkRoute, Counts, DayPlan, DiaRoute, Limit, Plan, SuitePlan};
use crate::cli::Table;
use crate::cli::ages::age;
use crate::suite::SuiteState;

/// The most rows of days in the text. If there are more, the text has rows of months; `--json` always has the days.
const DAY_ROWS_MAX: usize = 62;

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(window) = self.window {
            writeln!(out, "events in the buffer from {} until before {}", window.from, window.to)?;
        }
        self.inputs().fmt(out)?;
        self.write_total(out)?;
        self.suites().write_below(out)?;
        self.days().write_below(out)?;
        write_dia(&self.by_dia, out)?;
        write_bulk(&self.by_bulk, out)?;
        self.write_warnings(out)
    }
}

impl Plan {
    fn inputs(&self) -> Table {
        let mut table = Table::new(&["input", "read", "events", "rejected"]);
        for input in &self.inputs {
            table.row(&[&input.path, &input.read, &input.events, &input.rejected]);
        }
        if self.inputs.len() > 1 {
            let read: u64 = self.inputs.iter().map(|input| input.read).sum();
            table.row(&[&"total", &read, &(read - self.rejected), &self.rejected]);
        }
        table
    }

    fn write_total(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { events, units, hits, conflicts, dead, .. } = self.total;
        let Counts { duplicates_in_buffer: stored, duplicates_in_inputs: twice, .. } = self.total;
        writeln!(out, "\nnew          {events} events, {units} units; {hits} hits (server calls)")?;
        writeln!(
            out,
            "left out     {stored} duplicates of the buffer, {twice} among the inputs, {conflicts} conflicts, {} rejected lines",
            self.rejected
        )?;
        if dead > 0 {
            writeln!(out, "dead         {dead} of the new events could not be sent")?;
        }
        Ok(())
    }

    fn suites(&self) -> Table {
        let names = ["suite", "state", "requestors", "first day", "last day"];
        let counts = ["events", "hits", "visitors", "duplicates", "dead"];
        let mut table = Table::new(&[names, counts].concat());
        let mut add = |rsid: &str, state: &str, whose: &str, days: &[DayPlan], total: &Counts| {
            let day = |day: Option<&DayPlan>| day.map_or(String::new(), |day| day.day.to_string());
            let (first, last, twice) = (day(days.first()), day(days.last()), duplicates(total));
            let Counts { events, hits, visitors, dead, .. } = total;
            table.row(&[&rsid, &state, &whose, &first, &last, events, hits, visitors, &twice, dead]);
        };
        for SuitePlan { rsid, state, requestors, days, total, .. } in &self.suites {
            let state = match state {
                SuiteState::Active => state.to_string(),
                SuiteState::Paused | SuiteState::Blocked => state.as_str().to_uppercase(),
            };
            let requestors: Vec<&str> = requestors.iter().map(|id| id.as_str()).collect();
            add(rsid.as_str(), &state, &requestors.join(" "), days, total);
        }
        for unmapped in &self.unmapped {
            add("-", "NO SUITE", unmapped.requestor_id.as_str(), &unmapped.days, &unmapped.total);
        }
        table
    }

    fn days(&self) -> Table {
        let of_suites = self.suites.iter().map(|suite| (suite.rsid.as_str(), &suite.days));
        let of_none = self.unmapped.iter().map(|unmapped| (unmapped.requestor_id.as_str(), &unmapped.days));
        let parts: Vec<(&str, &Vec<DayPlan>)> = of_suites.chain(of_none).collect();
        let is_by_day = parts.iter().map(|(_, days)| days.len()).sum::<usize>() <= DAY_ROWS_MAX;
        let period = if is_by_day { "day (UTC)" } else { "month (UTC)" };
        let counts = ["events", "units", "hits", "visitors", "duplicates", "conflicts", "dead"];
        let mut table = Table::new(&[&["suite or requestor", period], &counts[..]].concat());
        for (name, days) in &parts {
            for (period, counts) in periods(days, is_by_day) {
                let Counts { events, units, hits, conflicts, dead, .. } = &counts;
                let visitors = if is_by_day { counts.visitors.to_string() } else { "-".to_owned() };
                let twice = duplicates(&counts);
                table.row(&[name, &period, events, units, hits, &visitors, &twice, conflicts, dead]);
            }
        }
        table
    }

    fn write_warnings(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_inputs = self.input_warnings.iter().map(|warning| ("input", warning.to_string()));
        let failures = self.failures.iter().map(|failure| ("error", failure.to_string()));
        let warnings = self.warnings.iter().map(|warning| ("warning", warning.to_string()));
        let mut gap = "\n";
        for (kind, text) in of_inputs.chain(failures).chain(warnings) {
            writeln!(out, "{gap}{kind}: {text}")?;
            gap = "";
        }
        Ok(())
    }
}

fn duplicates(counts: &Counts) -> u64 {
    counts.duplicates_in_buffer + counts.duplicates_in_inputs
}

fn periods(days: &[DayPlan], is_by_day: bool) -> BTreeMap<String, Counts> {
    let mut periods: BTreeMap<String, Counts> = BTreeMap::new();
    for day in days {
        let mut name = day.day.to_string();
        if !is_by_day {
            name.truncate("2026-11".len());
        }
        *periods.entry(name).or_default() += day.counts;
    }
    periods
}

fn write_dia(route: &DiaRoute, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let DiaRoute { requests, bytes, seconds, hosts } = route;
    let (bytes, time) = (DecimalBytes(*bytes), age(Duration::from_secs(*seconds)));
    writeln!(out, "\nby DIA       {requests} requests, {bytes} of documents, {time}")?;
    let mut table = Table::new(&["host", "requests", "documents", "hits/s", "time", "limited by"]);
    for host in hosts {
        let limit = match &host.limited_by {
            Limit::Lanes => "the lanes".to_owned(),
            Limit::HostRate => "the rate of the backfill".to_owned(),
            Limit::SuiteRate(rsid) => format!("the rate of suite {rsid}"),
            Limit::Visitor(rsid) => format!("one visitor of suite {rsid}"),
        };
        let rate = host.hits_per_second.round() as u64;
        let (bytes, time) = (DecimalBytes(host.bytes), age(Duration::from_secs(host.seconds)));
        table.row(&[&host.host, &host.requests, &bytes, &rate, &time, &limit]);
    }
    write!(out, "{table}")
}

fn write_bulk(route: &BulkRoute, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let BulkRoute { rows, files, raw_bytes, compressed_bytes, compression_ratio, .. } = route;
    writeln!(out, "by bulk      {rows} rows in {files} files, {}", age(Duration::from_secs(route.seconds)))?;
    if *rows == 0 {
        return Ok(());
    }
    // Adobe's limits are in decimal units.
    writeln!(
        out,
        "  {} of CSV, about {} as gzip ({:.1} % on the first {} rows); visitor groups: {}, fixed once it starts",
        DecimalBytes(*raw_bytes),
        DecimalBytes(*compressed_bytes),
        compression_ratio * 100.0,
        route.sampled_rows,
        route.visitor_groups
    )
}
