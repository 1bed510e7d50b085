//! One hit as one row of a file of the Bulk Data Insertion API.

use std::io::Write as _;

use super::csv::{cell, csv_row};
use super::dia::{CUSTOM_LINK, EVARS};
use crate::event::Property;
use crate::hit::{Hit, VisitorIdentity};

/// The columns of every file, in order, with the names of Adobe's column reference. Every file has all of them, however
/// its suite identifies visitors.
pub const COLUMNS: [&str; 10] = [
    "reportSuiteID",
    "timestamp",
    "visitorID",
    "marketingCloudVisitorID",
    "ipAddress",
    "userAgent",
    "pageName",
    "linkType",
    "linkName",
    "events",
];
/// Appends the header row.
pub fn bulk_header(file: &mut Vec<u8>) {
    csv_row(COLUMNS.iter().chain(&EVARS), file);
}

/// Appends the hit as a row. `user_agent` replaces an unknown agent: Adobe drops a row without an agent.
pub fn bulk_row(hit: &Hit<'_>, user_agent: &str, file: &mut Vec<u8>) {
    cell(hit.rsid.as_str(), file);
    write!(file, ",{},", hit.timestamp).expect("memory takes every write");
    let (visitor, ecid) = match &hit.visitor {
        VisitorIdentity::VisitorId(id) => (id.as_ref(), ""),
        VisitorIdentity::Ecid { id, .. } => ("", *id),
    };
    let agent = hit.user_agent.as_deref().unwrap_or(user_agent);
    let address = hit.ip_address.as_deref().unwrap_or("");
    for text in [visitor, ecid, address, agent, &hit.page_name(), CUSTOM_LINK, hit.link_name()] {
        cell(text, file);
        file.push(b',');
    }
    cell(&hit.events, file);
    let mut evars = hit.evars.iter().peekable();
    for number in 1..=Property::EVARS as u8 {
        file.push(b',');
        if let Some((_, value)) = evars.next_if(|(own, _)| *own == number) {
            cell(value, file);
        }
    }
    file.push(b'\n');
}
