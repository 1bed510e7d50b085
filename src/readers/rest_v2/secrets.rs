//! Recognises credentials in a line, by the names before values and by the look of values.

use super::headers::decode_base64;

/// What the names of secrets contain, in lower case and without the characters that join their words, with bars between them.
const SECRETS: &str = "token|secret|password|passwd|passphrase|passcode|pwd|apikey|accesskey|privatekey|sessionkey|encryptionkey|jwt|cookie|\
     authorization|bearer|credential|samlre|assertion|signature|softwarestatement|temppassidentity|pswd|passkey|dbpass|userpass|smtppass|\
     authheader|authkey|authcode|authinfo|oauth|xauth|sessid|jsession|netsessionid|phpsess|csrf|xsrf|hmac|connectionstring|connstr|connectionur|\
     databaseur|dburl|mongour|redisur|accountkey|signingkey|masterkey|sharedaccess|sshkey|webhook";
/// Names that mean a secret only if they are the whole name.
const SECRETS_ALONE: &str = "pass|pw|psw|pin|otp|totp|auth|basicauth|sig|sas|refresh|sid|dsn|creds";
/// Names that contain one of `SECRETS` but name no secret: keys of events, columns of ESM and of reports about tokens.
const NO_SECRETS: &str = "tokentype|tokensource|tokensources|mediatokens|tokenttl|tokencount|tokenscount";
/// How the credentials of services begin, with bars between: of GitHub, GitLab, Slack, AWS, Stripe, Google, npm, SendGrid,
/// Vault, Shopify and DigitalOcean, of a JSON Web Token, and of a header `Authorization`.
const BEGINNINGS: &str = "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xoxa-|xoxb-|xoxe-|xoxp-|xoxr-|xoxs-|xapp-|AKIA|ASIA|sk_live_|sk_test_|rk_live_|\
     sk-proj-|whsec_|AIza|ya29.|npm_|pypi-|SG.|hvs.|hvb.|shpat_|shpss_|dop_v1_|eyJ|Negotiate |NTLM ";
/// The fewest characters behind such a beginning.
const CREDENTIAL_MIN: usize = 16;
/// What may stand between a name and the colon, equals sign or bracket before its value: quotes, escaped in some way.
const QUOTES: [&str; 10] = ["\"", "'", "\\", " ", "%22", "%27", "&quot;", "&#34;", "x22", "u0022"];

/// The first name of a secret that stands before a value in a line, or that the header of the line's columns has; else
/// what a value of the line looks like, such as `eyJ` for a JSON Web Token.
pub fn secret_name<'a>(line: &'a str, header: Option<&'a str>) -> Option<&'a str> {
    let names = |text: &'a str| text.split(|letter: char| !is_of_name(letter)).filter(|name| is_secret(name));
    let is_before_a_value = |name: &&str| {
        let mut behind = &line[name.as_ptr() as usize - line.as_ptr() as usize + name.len()..];
        while let Some(rest) = QUOTES.iter().find_map(|quote| behind.strip_prefix(quote)) {
            behind = rest;
        }
        [":", "=", ">", "%3A", "%3a", "%3D", "%3d"].iter().any(|sign| behind.starts_with(sign))
    };
    (names(line).find(is_before_a_value))
        .or_else(|| names(header?).next())
        .or_else(|| secret_value(&line.replace('\\', "")))
}

/// What a value of this line without backslashes looks like, if it looks like a secret.
fn secret_value(line: &str) -> Option<&'static str> {
    let is_end = |letter: char| !letter.is_ascii_alphanumeric() && !"-_.+/=".contains(letter);
    let behind = |start| line.split(start).skip(1).filter_map(move |rest| rest.split(is_end).next());
    let is_long = |start: &&'static str| behind(*start).any(|value| value.len() >= CREDENTIAL_MIN);
    let is_login = |value: &str| decode_base64(value).is_some_and(|it| it.is_ascii() && it.contains(&b':'));
    let has_password = |url: &str| {
        let authority =
            url.split(|letter: char| letter.is_whitespace() || "/?#\"'<>,".contains(letter)).next();
        authority.and_then(|it| it.rsplit_once('@')).is_some_and(|(login, _)| login.contains(':'))
    };
    let all = [
        (["Basic ", "basic "].into_iter().any(|scheme| behind(scheme).any(is_login)), "Basic ..."),
        (line.split("://").skip(1).any(has_password), "a URL with a password"),
        (line.contains("PRIVATE KEY-----"), "a private key"),
    ];
    let named = all.into_iter().find(|(is_so, _)| *is_so).map(|(_, what)| what);
    named.or_else(|| BEGINNINGS.split('|').find(is_long))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    let is_one_of = |names: &str| names.split('|').any(|name| plain == name);
    is_one_of(SECRETS_ALONE) || SECRETS.split('|').any(|part| plain.contains(part)) && !is_one_of(NO_SECRETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_secret_is_known_however_it_is_spelt_and_no_value_is_taken_for_one() {
        let jwt = "2026,bad,REF30,M,eyJhbGciOiJSUzI1NiJ9.e30.x";
        for (line, header, expected) in [
            (r#"{"event":"bad","ap_temppass_identity":"x"}"#, None, Some("ap_temppass_identity")),
            (r#"{"event":"bad","Media-Token":"x"}"#, None, Some("Media-Token")),
            (r#"{"log":"{\"serialized_token\":\"x\"}"}"#, None, Some("serialized_token")),
            ("{'event':'bad','samlResponse':'x'}", None, Some("samlResponse")),
            ("ts=1 level=info media_token=S", None, Some("media_token")),
            ("user_password: S", None, Some("user_password")),
            ("%7B%22x_api_key%22%3A%22S%22%7D", None, Some("22x_api_key")),
            (r"{\x22media_token\x22:\x22S\x22}", None, Some("x22media_token")),
            ("{&quot;token&quot;:&quot;S&quot;}", None, Some("token")),
            ("<media_token>S</media_token>", None, Some("media_token")),
            (r#"{"event":"bad","authz_tokens":"S"}"#, None, Some("authz_tokens")),
            (r#"{"event":"bad","passwords_2":"S"}"#, None, Some("passwords_2")),
            (r#"{"event":"bad","X-Amz-Signature":"S"}"#, None, Some("X-Amz-Signature")),
            (r#"{"event":"bad","pin":"S"}"#, None, Some("pin")),
            (r#"{"event":"bad","pinned":"S","token_source":"mvpd"}"#, None, None),
            (jwt, None, Some("eyJ")),
            (
                "2026,bad,REF30,M,S",
                Some("occurred_at,event,requestor_id,mvpd,\"id_token\""),
                Some("id_token"),
            ),
            (r#"{"event":"clientless_token_ok","token_type":"normal"}"#, None, None),
            (r#"{"event":"bad","resource_id":"Secret Service S1E2","title":"Password"}"#, None, None),
            (r#"{"event":"bad","authHeader":"S"}"#, None, Some("authHeader")),
            (r#"{"event":"bad","sid":"S"}"#, None, Some("sid")),
            ("JSESSIONID=S; Path=/", None, Some("JSESSIONID")),
            (r#"{"event":"bad","dsn":"S"}"#, None, Some("dsn")),
            (r#"{"event":"bad","connection_string":"S"}"#, None, Some("connection_string")),
            (r#"{"event":"bad","pswd":"S"}"#, None, Some("pswd")),
            (r#"{"x":"Basic dTpw"}"#, None, Some("Basic ...")),
            (r#"{"x":"Basic cable","y":"basic subscription"}"#, None, None),
            (r#"{"x":"NTLM TlRMTVNTUAABAAAAB4IIogAAAAA="}"#, None, Some("NTLM ")),
            (r#"{"x":"postgres://u:p@h/db"}"#, None, Some("a URL with a password")),
            (r#"{"x":"https:\/\/u:p@h"}"#, None, Some("a URL with a password")),
            (r#"{"x":"https://h:443/a:b@c","y":"https://u@h"}"#, None, None),
            (r#"{"x":"ghp_abcdefghijklmnopqrstuvwxyz0123456789"}"#, None, Some("ghp_")),
            (r#"{"x":"xoxb-123456789012-abcdef"}"#, None, Some("xoxb-")),
            (r#"{"x":"AKIAIOSFODNN7EXAMPLE"}"#, None, Some("AKIA")),
            (r#"{"x":"AKIA-Movies"}"#, None, None),
            (r#"{"x":"-----BEGIN RSA PRIVATE KEY-----\nS"}"#, None, Some("a private key")),
            (r#"{"media-tokens":"12x"}"#, None, None),
            ("2026,11,20,8,REF30,A,1", Some("year,month,day,hour,requestor-id,mvpd,media-tokens"), None),
        ] {
            assert_eq!(secret_name(line, header), expected, "{line}");
        }
    }

    #[test]
    fn no_key_of_an_event_is_the_name_of_a_secret() {
        for property in crate::event::Property::ALL {
            assert!(!is_secret(property.name()), "{}", property.name());
        }
    }
}
