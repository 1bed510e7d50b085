//! Makes the options of the other modules from the settings.

use std::collections::BTreeMap;
use std::env;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::settings::client_secret;
use super::{Context, Failure, Settings, input, refused};
use crate::analytics::AnalyticsClient;
use crate::backfill::BulkWay;
use crate::buffer::{AfterRestore, JobKey};
use crate::clock::Clock;
use crate::collection::{BreakerOptions, CollectionOptions};
use crate::config::{ContractConfig, DeliveryConfig, MapConfig, Zone};
use crate::drain::{DrainOptions, RetryLimits};
use crate::event::Slice;
use crate::ingest::{Contract, FormatChoice, IngestOptions, Maps};
use crate::readers::Map;
use crate::readers::rest_v2::ServiceKeys;
use crate::web::{ApiOptions, BulkClient, ProxySettings};

/// The longest file of a map, in bytes. A map of a thousand values has some 50,000.
const MAP_BYTES_MAX: u64 = 1 << 20;

/// The options to ingest sources without exchanges.
pub(super) fn ingest(settings: &Settings, format: FormatChoice, clock: &Clock) -> IngestOptions {
    let contract = |name: &String, config: &ContractConfig| {
        let checked = "each contract was checked when the configuration was read";
        Contract::new(name, config, clock).expect(checked)
    };
    IngestOptions {
        format,
        config: settings.config.ingest.clone(),
        rest_v2: settings.config.rest_v2.clone(),
        esm: settings.config.esm.clone(),
        secret: None,
        service_keys: ServiceKeys::default(),
        job: JobKey::LIVE,
        clock: clock.clone(),
        maps: Maps::default(),
        contracts: settings.config.contract.iter().map(|(name, config)| contract(name, config)).collect(),
        slice: Slice::default(),
        accept_days: None,
        accept_missing: Vec::new(),
    }
}

/// The maps of the configuration, and the map `name` that the configuration key `key` chooses (none if it is empty).
pub(super) fn maps(settings: &Settings, key: &str, name: &str) -> Result<Maps, Failure> {
    let maps = settings.config.map.iter().map(|(name, map)| {
        let map = Map::new(map).expect("each map was checked when the configuration was read");
        (name.clone(), Arc::new(map.named(name)))
    });
    let named: BTreeMap<_, _> = maps.collect();
    let chosen = named.get(name).cloned();
    if chosen.is_none() && !name.is_empty() {
        return Err(refused(
            format!("{key} names {name:?}, and the configuration has no such map"),
            format!("write a section [map.{name}] into {}", settings.file.display()),
        ));
    }
    Ok(Maps { chosen, named })
}

/// The map of `--map`, checked, with its name. It is a section of the configuration or a file with such keys.
pub(super) fn map_named(settings: &Settings, name: &str) -> Result<(String, MapConfig), Failure> {
    if let Some(config) = settings.config.map.get(name) {
        return Ok((name.to_owned(), config.clone()));
    }
    let refuse = |why: String| {
        refused(
            format!("the map {name:?} cannot be used: {why}"),
            "name a section [map.NAME] of the configuration, or a file with the keys of such a section, as docs/sources.md has them",
        )
    };
    let text = input::read(Path::new(name), MAP_BYTES_MAX, "a map is a short file of TOML")?;
    let text = String::from_utf8(text).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    let config = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    Map::new(&config).map_err(refuse)?;
    Ok((Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned(), config))
}

/// The options to ingest exchanges, with their secret and their keys.
pub(super) fn keyed_ingest(
    settings: &Settings,
    format: FormatChoice,
    clock: &Clock,
) -> Result<IngestOptions, Failure> {
    let (secret, service_keys) = (settings.source_secret()?, settings.service_keys()?);
    Ok(IngestOptions { secret, service_keys, ..ingest(settings, format, clock) })
}

pub(super) fn collection(config: &DeliveryConfig) -> CollectionOptions {
    CollectionOptions {
        rate_per_host: NonZeroU32::new(config.rate_per_host),
        breaker: BreakerOptions {
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_secs(config.backoff_max_seconds),
            give_up: Duration::from_secs(config.give_up_seconds),
            ..BreakerOptions::default()
        },
        proxy: proxy(),
        ..CollectionOptions::new(Duration::from_secs(config.request_timeout_seconds))
    }
}

pub(super) fn drain(config: &DeliveryConfig, context: &Context) -> DrainOptions {
    DrainOptions {
        lanes: config.lanes as usize,
        retry: RetryLimits {
            max_attempts: config.max_attempts,
            backoff_base: Duration::from_millis(config.backoff_base_ms),
            backoff_max: Duration::from_secs(config.backoff_max_seconds),
        },
        stop_grace: Duration::from_secs(config.stop_grace_seconds),
        limit: None,
        deadline: None,
        after_restore: AfterRestore::Ask,
        beside: None,
        clock: context.clock.clone(),
    }
}

/// The client that uploads files; `None` if its credential is not set.
pub(super) fn bulk_client(settings: &Settings) -> Result<Option<Arc<BulkClient>>, Failure> {
    let config = &settings.config.bulk;
    let (key, path) = ("bulk.client_secret_file", &config.client_secret_file);
    let secret = client_secret(key, path, &config.client_secret)?;
    Ok(match (config.client_id.as_str(), secret) {
        ("", _) | (_, None) => None,
        (client_id, Some(secret)) => {
            let urls = [&*config.url, &*config.ims_url];
            let api = api(urls, client_id, secret, &config.scopes, config.request_timeout_seconds);
            Some(Arc::new(BulkClient::new(api)?))
        }
    })
}

pub(super) fn bulk(
    settings: &Settings,
    client: Option<Arc<BulkClient>>,
    keeps_files: bool,
    accepts_unnamed: bool,
) -> BulkWay {
    BulkWay { client, config: settings.config.bulk.clone(), keeps_files, accepts_unnamed }
}

/// The proxy variables of the environment. A text that is not UTF-8 is altered, and the client then refuses it.
pub(super) fn proxy() -> ProxySettings {
    ProxySettings::from_variables(|name| env::var_os(name).map(|text| text.to_string_lossy().into_owned()))
}

/// The client of Adobe Analytics; an error if its credentials are not set.
pub(super) fn analytics(settings: &Settings) -> Result<AnalyticsClient, Failure> {
    let config = &settings.config.analytics;
    let missing = |key: &str, advice: &str| {
        refused(
            format!("{key} is not set, so Adobe Analytics cannot be read"),
            format!("{advice} in {}", settings.file.display()),
        )
    };
    if config.client_id.is_empty() {
        return Err(missing(
            "analytics.client_id",
            "write the client ID of an OAuth server-to-server credential, as Adobe's Developer Console shows it, into [analytics]",
        ));
    }
    let (key, path) = ("analytics.client_secret_file", &config.client_secret_file);
    let secret = client_secret(key, path, &config.client_secret)?
        .ok_or_else(|| missing(key, "name the file of the client secret in [analytics]"))?;
    let urls = [&*config.url, &*config.ims_url];
    let api = api(urls, &config.client_id, secret, &config.scopes, config.request_timeout_seconds);
    Ok(AnalyticsClient::new(api, config)?)
}

/// The options of an API, from its address and the address that gives tokens.
fn api(
    [url, ims_url]: [&str; 2],
    client_id: &str,
    client_secret: String,
    scopes: &str,
    seconds: u64,
) -> ApiOptions {
    let [url, ims_url, client_id, scopes] = [url, ims_url, client_id, scopes].map(str::to_owned);
    let request_timeout = Duration::from_secs(seconds);
    ApiOptions { url, ims_url, client_id, client_secret, scopes, request_timeout, proxy: proxy() }
}

/// The zone of the timetable and of the hours of backfills.
pub(super) fn zone(settings: &Settings) -> Zone {
    // This cannot fail: the name of the time zone was parsed before, for the timetable.
    settings.config.schedule.timezone.parse().unwrap_or(Zone(chrono_tz::UTC))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::settings;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let file = Path::new("/etc/passbridge/passbridge.toml");
        let client = |keys: &str| {
            let settings = settings::parse(&format!("[analytics]\n{keys}"), file, []).expect("settings");
            analytics(&settings).map(|_| ()).map_err(|failure| (failure.what, failure.advice))
        };
        let (what, advice) = client("").expect_err("no client ID");
        assert_eq!(what, "analytics.client_id is not set, so Adobe Analytics cannot be read");
        assert!(advice.ends_with("into [analytics] in /etc/passbridge/passbridge.toml"), "{advice}");
        let (what, advice) = client("client_id = \"a\"").expect_err("no secret");
        assert_eq!(what, "analytics.client_secret_file is not set, so Adobe Analytics cannot be read");
        assert!(advice.starts_with("name the file of the client secret"), "{advice}");
        assert_eq!(client("client_id = \"a\"\nclient_secret = \"b\""), Ok(()));
        let clear = "client_id = \"a\"\nclient_secret = \"b\"\nurl = \"http://analytics.adobe.io\"";
        let (what, advice) = client(clear).expect_err("no secret in clear");
        assert!(what.starts_with("analytics.url \"http://analytics.adobe.io\" is no address"), "{what}");
        assert_eq!(advice, "correct the key");
    }
}
