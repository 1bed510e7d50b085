//! Recognises an exchange, or a part of one, in a log of another format or in the wrapper of a log driver.

use memchr::memmem::{find, find_iter};

use super::headers::decode_base64;

/// Texts in lower case that exchanges have and events do not, with bars between them: members of lines, entries and
/// answers, headers of the API and paths. The values after them may be secrets.
const WORDS: &str = "started_at|\"startedat|\"started-at|starteddatetime|bearer |bearer%20|authorization\"|authorization\\|\
     \"cookie|set-cookie|ap-device-identifier|ap-temppass-identity|ap-visitor-identifier|x-device-info|ad-service-token|\
     adobe-subject-token|x-roku-reserved|x-forwarded-for|serializedtoken|access_token|refresh_token|client_secret|\
     samlresponse|<saml|\"profiles\"|actionname|upstreamuserid|/api/v2/|\\/api\\/v2\\/";
/// What names of secrets contain, in lower case, without the characters that join their words, with bars between.
const SECRETS: &str = "token|secret|password|passwd|passphrase|passcode|pwd|apikey|accesskey|privatekey|sessionkey|encryptionkey|jwt|cookie|\
     authorization|bearer|credential|samlre|assertion|signature|softwarestatement|temppassidentity";
/// Names that mean a secret only if they are the whole name.
const SECRETS_ALONE: &str = "pass|pin|otp|auth|basicauth|sig|sas|refresh";
/// Names that contain one of `SECRETS` but name no secret: keys of events, columns of ESM and of reports about tokens.
const NO_SECRETS: &str = "tokentype|tokensource|tokensources|mediatokens|tokenttl|tokencount|tokenscount";
/// What may stand between a name and the colon, equals sign or bracket before its value: quotes, escaped in some way.
const QUOTES: [&str; 10] = ["\"", "'", "\\", " ", "%22", "%27", "&quot;", "&#34;", "x22", "u0022"];
/// The fewest characters of a JSON Web Token.
const JWT_MIN: usize = 20;
/// How gzip, Zstandard and zip begin. CloudWatch wraps logs as gzip in Base64, and nobody sees what is in them.
const PACKED: [&[u8]; 3] = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"];

/// A shorter run of letters has no room for a word and a secret.
const RUN_MIN: usize = 16;
/// The fewest bytes that count as a text. Among random bytes, so many letters in a row occur once in 10^8 cases.
const PACKED_TEXT_MIN: usize = 20;

/// The reason for rejecting a line with packed text.
pub const PACKED_TEXT: &str = "holds text as Base64, as hexadecimal digits or as a list of bytes, so nothing of it is kept, because nobody sees whom it names: \
     unpack it first, as base64 -d FILE | passbridge ingest - does, or xxd -r -p, or of a member NAME: jq -r '.NAME|@base64d'";

/// Whether these bytes look like an exchange with the Pass REST API V2, or like a part of one, also if the exchange is
/// in Base64, in hexadecimal digits, or a list of the numbers of its bytes. Packed data inside may be an exchange too.
pub fn is_like_exchange(bytes: &[u8]) -> bool {
    // A JSON Web Token in a text. It has periods between its parts; other JSON in Base64 begins in the same way.
    let is_token = |text: &[u8]| {
        let is_of_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        text.iter().find(|byte| !is_of_part(byte)) == Some(&b'.')
    };
    let has_word = |bytes: &[u8]| {
        let small = bytes.to_ascii_lowercase();
        WORDS.split('|').any(|word| find(&small, word.as_bytes()).is_some())
            || find_iter(&small, b"\"eyj").any(|at| is_token(&small[at + 1..]))
    };
    let is_hidden = |bytes: &[u8]| has_word(bytes) || PACKED.iter().any(|start| find(bytes, start).is_some());
    has_word(bytes) || has_hidden(bytes, &is_hidden)
}

/// Whether these bytes have a text of several parts in Base64, in hexadecimal digits, or as a list of the numbers of
/// bytes: nobody sees whom it names. A digest is no text, and an identifier has one part.
pub fn has_packed_text(bytes: &[u8]) -> bool {
    let is_end = |letter: char| letter == char::REPLACEMENT_CHARACTER || letter.is_control();
    let is_text = |part: &str| {
        let has_parts = part.contains(['"', '=', ',', '<', ' ']);
        part.len() >= PACKED_TEXT_MIN && (has_parts || has_packed_text(part.as_bytes()))
    };
    has_hidden(bytes, &|bytes| {
        // A text in UTF-16 has a zero byte beside most of its letters.
        let dense: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&dense).split(is_end).any(is_text)
    })
}

/// Whether `holds` is true for bytes that a part of this line may encode, in one of the ways to write bytes as letters.
fn has_hidden(line: &[u8], holds: &dyn Fn(&[u8]) -> bool) -> bool {
    if line.len() < RUN_MIN {
        return false;
    }
    let text = String::from_utf8_lossy(line);
    let listed = |radix: u32| -> Vec<u8> {
        let numbers = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let bare = |number| ["0x", "x", "u00"].iter().find_map(|mark| str::strip_prefix(number, mark));
        let of_pair = |number: &&str| radix == 10 || number.len() == 2;
        let numbers = numbers.map(|number| bare(number).unwrap_or(number)).filter(of_pair);
        numbers.filter_map(|number| u8::from_str_radix(number, radix).ok()).collect()
    };
    let runs = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+/-_".contains(letter));
    let mut runs = runs.filter(|run| run.len() >= RUN_MIN);
    holds(&listed(10)) || holds(&listed(16)) || runs.any(|run| packed(run).any(|bytes| holds(&bytes)))
}

/// The first name of a secret that stands before a value in a line, or that the header of the line's columns has;
/// `eyJ...` for a text that looks like a JSON Web Token.
pub fn secret_name<'a>(line: &'a str, header: Option<&'a str>) -> Option<&'a str> {
    let names = |text: &'a str| text.split(|letter: char| !is_of_name(letter)).filter(|name| is_secret(name));
    let is_before_a_value = |name: &&str| {
        let mut behind = &line[name.as_ptr() as usize - line.as_ptr() as usize + name.len()..];
        while let Some(rest) = QUOTES.iter().find_map(|quote| behind.strip_prefix(quote)) {
            behind = rest;
        }
        [":", "=", ">", "%3A", "%3a", "%3D", "%3d"].iter().any(|sign| behind.starts_with(sign))
    };
    let mut words = line.split(|letter: char| !is_of_name(letter) && letter != '.');
    let is_jwt = |word: &&str| word.len() >= JWT_MIN && word.starts_with("eyJ") && word.contains('.');
    (names(line).find(is_before_a_value))
        .or_else(|| names(header?).next())
        .or_else(|| words.find(is_jwt).map(|_| "eyJ..."))
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

/// Whether a line has letters in an escape of URLs, of XML or of nginx' logs, so that a search for a person in the line
/// may fail. Callers ask only for lines that are no JSON and no row of CSV, in which such letters stand for themselves.
pub fn has_escapes(line: &str) -> bool {
    let is_hex = |text: &str| text.len() >= 2 && text.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    let is_entity = |text: &str| {
        let name = text.split(';').next().unwrap_or_default();
        name.len() < text.len()
            && (2..10).contains(&name.len())
            && !name.contains(|letter: char| !letter.is_ascii_alphanumeric() && letter != '#')
    };
    line.split('%').skip(1).any(is_hex)
        || line.split("\\x").skip(1).any(is_hex)
        || line.split('&').skip(1).any(is_entity)
}

/// The bytes that a run of letters may encode. The run may begin with other letters, such as those of an escape.
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
            (jwt, None, Some("eyJ...")),
            (
                "2026,bad,REF30,M,S",
                Some("occurred_at,event,requestor_id,mvpd,\"id_token\""),
                Some("id_token"),
            ),
            (r#"{"event":"clientless_token_ok","token_type":"normal"}"#, None, None),
            (r#"{"event":"bad","resource_id":"Secret Service S1E2","title":"Password"}"#, None, None),
            (r#"{"media-tokens":"12x"}"#, None, None),
            ("2026,11,20,8,REF30,A,1", Some("year,month,day,hour,requestor-id,mvpd,media-tokens"), None),
        ] {
            assert_eq!(secret_name(line, header), expected, "{line}");
        }
    }

    #[test]
    fn letters_in_an_escape_are_known() {
        for (line, expected) in [
            ("event=bad&mvpd_user_id=bob%40example.com", true),
            (r"value {\x22mvpd_user_id\x22:\x22J\xC3\xBCrgen\x22}", true),
            (r#"<event mvpd_user_id="b&amp;b"/>"#, true),
            ("mvpd_user_id=\"a&#233;\"", true),
            ("event=bad&mvpd_user_id=bob&mvpd=cc", false),
            ("100% of it; 5 % & more; x&;", false),
        ] {
            assert_eq!(has_escapes(line), expected, "{line}");
        }
    }

    #[test]
    fn an_event_is_no_packed_text_whatever_identifiers_it_has() {
        for id in [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "12345678901234567890123456789012345678",
            "qL8R4QIcQ/ZsRqOAbeRfcZhilN/MksRtDaErMA+2BlbD/2sdl9Rzq9m1uIvdLIvh==",
            "11111111-2222-3333-4444-555555555555",
        ] {
            let event = format!(
                r#"{{"occurred_at":"2026-11-20T08:30:00.123456789Z","event":"bad","requestor_id":"REF30","mvpd":"Cableco","mvpd_user_id":"{id}","device_id":"{id}","ip_address":"203.0.113.90","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36","resource_id":"https://media.example/path/to/some/long/folder/of/an/asset/2026/11/20/08/30/42/36/48/file","ttl":"86400"}}"#
            );
            assert!(!has_packed_text(event.as_bytes()), "{event}");
        }
        let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        assert!(
            !has_packed_text(base64("bob.smith-and-wesson@mail.example.com").as_bytes()),
            "an identifier"
        );
        assert!(has_packed_text(base64(&base64("{\"mvpd_user_id\":\"bob\"}")).as_bytes()), "packed twice");
        let wide: String =
            "\u{feff}{\"mvpd_user_id\":\"bob\",\"event\":1}".chars().flat_map(|it| [it, '\0']).collect();
        let wide = base64(&wide);
        let event = b"{\"mvpd_user_id\":\"bob\",\"event\":1}";
        let dump: String = event.iter().map(|byte| format!("{byte:02x} ")).collect();
        let escaped: String = event.iter().map(|byte| format!("\\x{byte:02X}")).collect();
        for packed in [wide, dump, escaped] {
            assert!(has_packed_text(packed.as_bytes()), "{packed}");
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
                    assert!(has_packed_text(line.as_bytes()), "{line}");
                }
            }
        }
    }
}
