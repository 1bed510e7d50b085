//! Recognises an exchange, or a part of one, in a log of another format or in the wrapper of a log driver.

use memchr::memmem::find;

use super::headers::decode_base64;

/// Texts in lower case, without `-` and `_`, that exchanges contain and events do not, with bars between them: members of
/// lines, entries and answers, headers of the API, paths, and the start of a JSON Web Token in a text. The values after
/// them may be secrets, and so may those of the last rows in any object.
const WORDS: &str = "startedat|starteddatetime|bearer |bearer%20|authorization\"|authorization\\|\"cookie|setcookie|\
     apdeviceidentifier|aptemppassidentity|apvisitoridentifier|xdeviceinfo|adservicetoken|adobesubjecttoken|xrokureserved|\
     xforwardedfor|serializedtoken|accesstoken|refreshtoken|clientsecret|samlresponse|<saml|\"profiles\"|\"eyj|actionname|\
     upstreamuserid|/api/v2/|\\/api\\/v2\\/|\
     \"token\"|\"token\\|\"jwt|\"mediatoken|\"shortmediatoken|\"idtoken|\"sessiontoken|\"authztoken|\"authntoken|\"temppassidentity|\
     \"authorizationheader|\"rawheaders|\"softwarestatement|\"devicesecret|\"secret|\"password|\"apikey";
/// How gzip, Zstandard and zip begin. CloudWatch wraps logs as gzip in Base64, and nobody sees what is in them.
const PACKED: [&[u8]; 3] = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"];

/// Whether these bytes look like an exchange with the Pass REST API V2, or like a part of one, also if the exchange is
/// in Base64, in hexadecimal digits, or a list of the numbers of its bytes. Whatever is packed there may be one too.
pub fn is_like_exchange(bytes: &[u8]) -> bool {
    let has_word = |bytes: &[u8]| {
        // Loggers spell a name with and without the characters that join its words.
        let mut small = bytes.to_ascii_lowercase();
        small.retain(|byte| !matches!(byte, b'-' | b'_'));
        WORDS.split('|').any(|word| find(&small, word.as_bytes()).is_some())
    };
    let is_hidden = |bytes: &[u8]| has_word(bytes) || PACKED.iter().any(|start| find(bytes, start).is_some());
    let text = String::from_utf8_lossy(bytes);
    let numbers = text.split(|letter: char| !letter.is_ascii_digit());
    let listed: Vec<u8> = numbers.filter_map(|number| number.parse().ok()).collect();
    let runs = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+/-_".contains(letter));
    // A shorter run has no room for a word and a secret.
    let mut runs = runs.filter(|run| run.len() >= 16);
    has_word(bytes) || is_hidden(&listed) || runs.any(|run| packed(run).any(|bytes| is_hidden(&bytes)))
}

/// The bytes that a run of letters may stand for. Other letters, such as of an escape, may be in front of them.
fn packed(run: &str) -> impl Iterator<Item = Vec<u8>> {
    let of_base64 = |run: &str| decode_base64(&run[..run.len() / 4 * 4]).unwrap_or_default();
    let of_digits = |run: &str| {
        let pairs = (0..run.len() - 1).step_by(2).map(|at| u8::from_str_radix(&run[at..at + 2], 16));
        pairs.filter_map(Result::ok).collect()
    };
    (0..4).flat_map(move |start| [of_base64(&run[start..]), of_digits(&run[start..])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_exchanges_are_known_and_events_are_not() {
        for (text, expected) in [
            (r#"{"profiles":{"Cable":{"attributes":{}}}}"#, true),
            (r#"{"Access_Token":"x"}"#, true),
            (r#"{"client_id":"a","client_secret":"b"}"#, true),
            ("<saml:Assertion ID=\"a\">", true),
            ("authorization=Bearer%20abc", true),
            (r#"{"event":"bad","ap_temppass_identity":"x"}"#, true),
            (r#"{"event":"bad","saml_response":"x"}"#, true),
            (r#"{"event":"bad","serialized_token":"x"}"#, true),
            (r#"{"event":"bad","Media-Token":"x"}"#, true),
            (r#"{"log":"{\"token\":\"x\"}"}"#, true),
            (r#"{"event":"bad","api_key":"x"}"#, true),
            (r#"{"event":"clientless_token_ok","token_type":"normal"}"#, false),
            (r#"{"token":"eyJhbGciOiJIUzI1NiJ9.e30.x"}"#, true),
            (
                r#"{"occurred_at":1,"event":"authz_failed","requestor_id":"R","authz_error_type":"saml error"}"#,
                false,
            ),
        ] {
            assert_eq!(is_like_exchange(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_packed_exchange_is_known_however_its_bytes_are_written() {
        use base64::Engine;
        let exchange = br#"  { "request": {"headers": {"Authorization": "Bearer made.up.token"}}}"#;
        let event = br#"  { "occurred_at": "2026-11-20T08:30:00Z", "event": "authn_ok", "mvpd_user_id": "0123456789"}"#;
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let in_lines = |bytes: &[u8]| {
            base64(bytes)
                .as_bytes()
                .chunks(76)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join("\\r\\n")
        };
        let list = |bytes: &[u8]| format!("{bytes:?}");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (text, expected) in [(&exchange[..], true), (event, false)] {
            for packed in [base64(text), in_lines(text), list(text), hex(text)] {
                for before in ["", "x", "xy", "0x", "message="] {
                    let line = format!("{{\"n\":12,\"data\":\"{before}{packed}\"}}");
                    assert_eq!(is_like_exchange(line.as_bytes()), expected, "{line}");
                }
            }
        }
    }
}
