//! The client of Adobe Analytics, as the configuration says it.

use std::time::Duration;

use super::failure::CliError;
use super::pass::proxy_settings;
use super::settings::Settings;
use crate::analytics::{AnalyticsClient, AnalyticsOptions};
use crate::web::{ApiOptions, ImsOptions};

/// The client of these settings.
pub(super) fn client_of(settings: &Settings) -> Result<AnalyticsClient, CliError> {
    let config = &settings.config.analytics;
    let missing = |key: &str, advice: &str| CliError::Refused {
        what: format!("{key} is not set, so Adobe Analytics cannot be read"),
        advice: format!("{advice} in {}", settings.file.display()),
    };
    if config.client_id.is_empty() {
        return Err(missing(
            "analytics.client_id",
            "write the client ID of an OAuth server-to-server credential, as Adobe's Developer Console shows it, into [analytics]",
        ));
    }
    let client_secret = settings.analytics_secret()?.ok_or_else(|| {
        missing("analytics.client_secret_file", "name the file of the client secret in [analytics]")
    })?;
    let client = AnalyticsClient::new(AnalyticsOptions {
        api: ApiOptions {
            url: config.url.clone(),
            ims: ImsOptions {
                url: config.ims_url.clone(),
                client_id: config.client_id.clone(),
                client_secret,
                scopes: config.scopes.clone(),
            },
            request_timeout: Duration::from_secs(config.request_timeout_seconds),
            proxy: proxy_settings(),
        },
        company: config.company.clone(),
        calls_per_window: config.calls_per_window,
        window: Duration::from_millis(config.window_ms),
    })?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::failure::Failure;
    use super::super::settings;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let file = Path::new("/etc/passbridge/passbridge.toml");
        let client = |keys: &str| {
            let settings = settings::parse(&format!("[analytics]\n{keys}"), file, []).expect("settings");
            client_of(&settings).map(|_| ()).map_err(|error| {
                let what = error.to_string();
                (what, Failure::from(error).advice)
            })
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
