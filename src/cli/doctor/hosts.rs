//! The way to each host that a suite or the configuration names: its name, the proxy, TLS.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::finding::Finding;
use crate::buffer::SuiteListing;
use crate::cli::{Failure, Settings, options, runtime};
use crate::collection::Collection;
use crate::config::Config;
use crate::suite::CollectionUrl;
use crate::web;

const PING: &str = "notify.ping_url";

/// Connects to all hosts at the same time, with TLS, and sends nothing.
pub(super) fn findings(settings: &Settings, suites: Vec<SuiteListing>) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut hosts: BTreeMap<String, (CollectionUrl, &'static str)> = BTreeMap::new();
    for listing in suites {
        let url = listing.suite.collection_url;
        hosts.insert(url.to_string(), (url, "the suite's collection URL"));
    }
    for (key, text) in apis(settings) {
        let address = if key == PING { web::ping_address(text) } else { web::address(key, text) };
        match address {
            Err(error) => findings.push(Finding::of("address", Some(key.to_owned())).failed(&error.into())),
            Ok(url) => {
                let url: CollectionUrl = url.origin().ascii_serialization().parse()?;
                hosts.entry(url.to_string()).or_insert((url, key));
            }
        }
    }
    let collection = Collection::new(options::collection(&settings.config.delivery))?;
    let mut ways = JoinSet::new();
    let runtime = runtime()?;
    for (name, (url, key)) in hosts {
        let found = Finding::of("host", Some(name));
        match collection.host(&url) {
            Err(error) => findings.push(found.failed(&error.into())),
            Ok(host) => {
                let reached = async move {
                    match host.reach().await {
                        Ok(()) => found.ok(format!("the way is open, TLS and all ({key}); nothing was sent")),
                        Err(cause) => {
                            let advice = cause.kind().advice().replace("the suite's collection URL", key);
                            found.bad(cause.to_string(), &advice)
                        }
                    }
                };
                ways.spawn_on(reached, runtime.handle());
            }
        }
    }
    findings.extend(runtime.block_on(ways.join_all()));
    findings.sort_by(|one, other| one.of.cmp(&other.of));
    Ok(findings)
}

/// The addresses of the ping and of the APIs whose credentials are configured, each with its key.
fn apis(settings: &Settings) -> impl Iterator<Item = (&'static str, &str)> {
    let Config { analytics, bulk, esm, notify, .. } = &settings.config;
    let is_used = |key: &str| match key.split('.').next() {
        Some("analytics") => !analytics.client_id.is_empty(),
        Some("bulk") => !bulk.client_id.is_empty(),
        _ => !esm.software_statement_file.as_os_str().is_empty(),
    };
    let ping = (!notify.ping_url.0.is_empty()).then_some((PING, notify.ping_url.0.as_str()));
    settings.config.api_urls().into_iter().filter(move |api| is_used(api.0)).chain(ping)
}
