//! Contracts: what the events of a requestor or a source must be like. An event that breaks one is rejected.

use super::pattern::fits;
use crate::clock::Clock;
use crate::config::{ContractConfig, UnknownKeysRule};
use crate::event::{EventKind, PassEvent, Property, is_no_value};
use crate::readers::{Line, event_key};

/// The end of the name of a folder for rows without a value, as Spark and Hive write it.
const NO_PARTITION: &str = "=__HIVE_DEFAULT_PARTITION__";

/// A section `[contract.NAME]` whose names are checked, or a folder whose name gives a key of an event.
#[derive(Debug, Clone)]
pub struct Contract {
    name: String,
    config: ContractConfig,
    clock: Clock,
    /// The folder, such as `mvpd=Cableco`, that asks for its key in each line.
    folder: Option<String>,
}

impl Contract {
    /// Checks the names of keys and events in a section. The error quotes the unknown name.
    pub fn new(name: &str, config: &ContractConfig, clock: &Clock) -> Result<Contract, String> {
        let mut config = config.clone();
        for key in &mut config.required {
            *key = event_key(key)?.to_owned();
        }
        let unknown = config.events.iter().find(|name| EventKind::from_name(name).is_none());
        match unknown {
            Some(event) => Err(format!("events: {event:?} is no event, such as authz_ok")),
            None => Ok(Contract { name: name.to_owned(), config, clock: clock.clone(), folder: None }),
        }
    }

    /// Spark and Hive write a value into the names of folders, and leave it out of the lines. Each folder of a path whose
    /// name gives a key of an event asks for that key.
    pub(super) fn of_folders<'a>(source: &'a str, clock: &'a Clock) -> impl Iterator<Item = Contract> + 'a {
        let folders = source.rsplit('/').skip(1).filter(|folder| !folder.ends_with(NO_PARTITION));
        folders.filter_map(|folder| {
            let key = event_key(folder.split_once('=')?.0).ok()?;
            let config = ContractConfig { required: vec![key.to_owned()], ..ContractConfig::default() };
            Some(Contract {
                name: key.to_owned(),
                config,
                clock: clock.clone(),
                folder: Some(folder.to_owned()),
            })
        })
    }

    /// Whether the contract applies to events of this source.
    pub(super) fn is_of(&self, source: &str) -> bool {
        let sources = &self.config.sources;
        sources.is_empty() || sources.iter().any(|pattern| fits(pattern.as_bytes(), source.as_bytes()))
    }

    /// How the event of a line breaks the contract, if it does.
    pub(super) fn breach(&self, line: &Line<'_>, event: &PassEvent) -> Option<String> {
        let ContractConfig { requestors, events, required, mvpds, count_max, age_max, unknown_keys, .. } =
            &self.config;
        let is_among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
        let is_of = requestors.is_empty() || requestors.contains(event.requestor_id());
        if !is_of || !is_among(events, event.kind().name()) {
            return None;
        }
        let is_missing = |key: &&String| match Property::from_name(key) {
            Some(property) => event.property(property).is_none_or(is_no_value),
            None => *key == "event_id" && event.event_id().is_none(),
        };
        let mvpd = event.property(Property::Mvpd).filter(|mvpd| !is_no_value(mvpd) && !is_among(mvpds, mvpd));
        let at = event.occurred_at();
        let missing = required.iter().find(is_missing);
        if let (Some(key), Some(folder)) = (missing, &self.folder) {
            return Some(format!(
                "has no {key}, and its folder {folder:?} has one: have its source write it into the lines too"
            ));
        }
        let what = if let Some(key) = missing {
            format!("{key} is missing")
        } else if let Some(mvpd) = mvpd {
            format!("mvpd {mvpd:?} is not known there")
        } else if event.count() > *count_max {
            format!("count is above {count_max}: {}", event.count())
        } else if age_max.0.is_some_and(|age| at.is_older(self.clock.now(), age)) {
            format!("occurred_at is older than {age_max}: {at}")
        } else {
            let key = line.unknown_key.as_ref().filter(|_| *unknown_keys == UnknownKeysRule::Reject)?;
            format!("no event has the key {key:?}")
        };
        Some(format!("breaks contract.{}: {what}", self.name))
    }
}
