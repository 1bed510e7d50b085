//! What the database says: whether its server is safe, its schema, the rights of this user, and settings that matter.

use super::finding::Finding;
use crate::buffer::SuiteListing;
use crate::cli::{Failure, Settings, runtime, shared};
use crate::postgres::{SCHEMA, SharedBuffer};

/// Examines the database, and changes nothing. Returns the suites.
pub(super) fn examine(
    settings: &Settings,
    before_start: bool,
    findings: &mut Vec<Finding>,
) -> Result<Vec<SuiteListing>, Failure> {
    let asked = shared::address(settings).and_then(|address| {
        runtime()?.block_on(async {
            let (mut buffer, version) = SharedBuffer::glance(&address).await?;
            let schema = Finding::of("schema", Some(address.to_string()));
            findings.push(if version == SCHEMA {
                schema.ok(format!("schema {version}, that of this release; the server takes writes"))
            } else {
                let says =
                    format!("schema {version}; the next command of this release brings it to {SCHEMA}");
                let advice =
                    "stop the earlier release on every host, run passbridge status, then passbridge doctor";
                schema.warning(says, advice)
            });
            if version < SCHEMA || before_start {
                return Ok(Vec::new());
            }
            for fault in buffer.faults().await? {
                findings.push(Finding::of("database", Some(fault.of)).warning(fault.says, &fault.advice));
            }
            Ok(buffer.suites().await?)
        })
    });
    Ok(asked.unwrap_or_else(|failure| {
        findings.push(Finding::of("database", None).failed(&failure));
        Vec::new()
    }))
}
