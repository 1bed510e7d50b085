//! Whether each secret that the configuration names can be read, and by whom.

use std::path::Path;

use super::finding::Finding;
use crate::cli::settings::{SERVICE_KEYS, client_secret};
use crate::cli::{Failure, Settings, options};
use crate::config::{Config, Listen};
use crate::serve::{ServeError, check_tokens};
use crate::web::read_secret_text;
use crate::whole_file::open_mode;

pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    let config = &settings.config;
    let maps = || options::maps(settings, "serve.map", &config.serve.map).unwrap_or_default();
    let tokens = |path: &Path, key: &'static str| -> Result<(), Failure> {
        Ok(check_tokens(path, key, &maps().named).map_err(ServeError::from)?)
    };
    let text = |path: &Path| read_secret_text(path).map(drop).map_err(Failure::reading(path));
    let analytics = &config.analytics;
    let analytics_secret = |path: &Path| -> Result<(), Failure> {
        Ok(client_secret("analytics.client_secret_file", path, &analytics.client_secret).map(drop)?)
    };
    type Check<'a> = (&'static str, &'a Path, &'a dyn Fn(&Path) -> Result<(), Failure>);
    let checks: [Check<'_>; 8] = [
        ("buffer.password_file", &config.buffer.password_file, &text),
        ("rest_v2.secret_file", &config.rest_v2.secret_file, &|_| Ok(settings.source_secret().map(drop)?)),
        ("analytics.client_secret_file", &analytics.client_secret_file, &analytics_secret),
        ("bulk.client_secret_file", &config.bulk.client_secret_file, &|_| {
            options::bulk_client(settings).map(drop)
        }),
        ("esm.software_statement_file", &config.esm.software_statement_file, &text),
        ("esm.credentials_file", &config.esm.credentials_file, &text),
        ("serve.tokens_file", &config.serve.tokens_file, &|path| tokens(path, "serve.tokens_file")),
        ("serve.pages_tokens_file", &config.serve.pages_tokens_file, &|path| {
            tokens(path, "serve.pages_tokens_file")
        }),
    ];
    // The program itself writes the file of ESM credentials, so the file may not exist yet.
    let is_named = |(key, path, _): &Check<'_>| {
        !path.as_os_str().is_empty() && (*key != "esm.credentials_file" || path.exists())
    };
    let mut findings: Vec<Finding> = checks
        .into_iter()
        .filter(is_named)
        .flat_map(|(key, path, check)| secret(key, path, check(path), stops_run(key, config)))
        .collect();
    if !config.rest_v2.service_token_keys.is_empty() {
        let found = Finding::of("secret", Some(SERVICE_KEYS.trim_end_matches('.').to_owned()));
        findings.push(match settings.service_keys() {
            Ok(_) => found.ok("each key can be read"),
            Err(error) => {
                let found = found.failed(&error.into());
                Finding { is_usage: found.is_usage && stops_run(SERVICE_KEYS, config), ..found }
            }
        });
    }
    if settings.has_secret {
        findings.extend(open(&settings.file));
    }
    findings
}

/// Whether `run` needs the secret of this key to begin. If another secret cannot be read, only the work that needs it
/// fails.
fn stops_run(key: &str, Config { serve, buffer, .. }: &Config) -> bool {
    match key {
        "rest_v2.secret_file" | SERVICE_KEYS | "serve.tokens_file" => serve.ingest,
        "buffer.password_file" => !buffer.url.is_empty(),
        "serve.pages_tokens_file" => [serve.listen, serve.pages_listen].iter().any(|at| *at != Listen::Off),
        _ => false,
    }
}

fn secret(key: &str, path: &Path, checked: Result<(), Failure>, stops_run: bool) -> Vec<Finding> {
    let found = Finding::of("secret", Some(key.to_owned()));
    let readable = match checked {
        Ok(()) => found.ok(format!("{} can be read", path.display())),
        Err(failure) => {
            let found = found.failed(&failure);
            Finding { is_usage: found.is_usage && stops_run, ..found }
        }
    };
    [readable].into_iter().chain(open(path)).collect()
}

/// The finding that everybody on this host may use a file with secrets or personal data.
pub(super) fn open(path: &Path) -> Option<Finding> {
    let (mode, path) = (open_mode(path)?, path.display());
    let says =
        format!("everybody on this host may use it (mode {mode}), and it holds secrets or personal data");
    Some(Finding::of("mode", Some(path.to_string())).warning(says, &format!("chmod o= {path}")))
}
