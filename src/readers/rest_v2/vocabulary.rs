//! Translates words of the API into words of eVars.

use std::borrow::Cow;

/// The `authz_error_type` for an enhanced error code: a published value if one fits, else the code itself.
pub(super) fn error_type(code: &str) -> Cow<'_, str> {
    Cow::Borrowed(match code {
        "authorization_denied_by_mvpd" | "preauthorization_denied_by_mvpd" => "noAuthZ",
        "network_received_error" | "network_connection_timeout" | "maximum_execution_time_exceeded" => {
            "network"
        }
        "authorization_denied_by_degradation_rule" => "authzNone",
        "malformed_authz_request" | "missing_resource" => "invalid",
        "invalid_refresh_token" => "norefreshtoken",
        "maximum_attempts_exceeded" => "fraud",
        _ if code.starts_with("invalid_parameter_") || code.starts_with("invalid_header_") => "invalid",
        _ => code,
    })
}

/// Whether this error code of an item in a preflight means a technical failure. Such an item was not denied.
pub(super) fn is_technical(code: &str) -> bool {
    ["network_", "maximum_", "internal_", "invalid_", "authenticated_profile_"]
        .iter()
        .any(|prefix| code.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_error_types_stand_for_their_codes_and_others_for_themselves() {
        for (code, expected) in [
            ("authorization_denied_by_mvpd", "noAuthZ"),
            ("network_connection_timeout", "network"),
            ("authorization_denied_by_degradation_rule", "authzNone"),
            ("invalid_header_device_info", "invalid"),
            ("invalid_integration", "invalid_integration"),
            ("authorization_denied_by_parental_controls", "authorization_denied_by_parental_controls"),
        ] {
            assert_eq!(error_type(code), expected);
        }
    }
}
