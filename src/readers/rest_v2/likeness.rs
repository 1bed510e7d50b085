//! Recognises an exchange, or a part of one, in a log of another format or in the wrapper of a log driver.

use memchr::memmem::{find, find_iter};

use super::headers::decode_base64;

/// Texts in lower case that exchanges have and events do not, with bars between them: members of lines, entries and
/// answers, headers of the API and paths. The values after them may be secrets.
const WORDS: &str = "started_at|\"startedat|\"started-at|starteddatetime|bearer |bearer%20|authorization\"|authorization\\|\
     \"cookie|set-cookie|ap-device-identifier|ap-temppass-identity|ap-visitor-identifier|x-device-info|ad-service-token|\
     adobe-subject-token|x-roku-reserved|x-forwarded-for|serializedtoken|access_token|refresh_token|client_secret|\
     samlresponse|<saml|\"profiles\"|actionname|upstreamuserid|/api/v2/|\\/api\\/v2\\/";
/// How gzip, Zstandard, zip, bzip2 and xz begin. CloudWatch wraps logs as gzip in Base64, and nobody sees what is in them.
const PACKED: [&[u8]; 5] = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"1AY&SY", b"\xfd7zXZ\0"];
/// The lengths of the longest digest, SHA-512, as Base64 and as hexadecimal digits. A longer text of letters and digits is
/// no identifier but may be packed or encrypted.
const DIGEST_MAX: (usize, usize) = (88, 128);
/// A text that may be packed or encrypted has a part of at least this length without one of the signs `-_/+`. The parts
/// of a path are shorter.
const OPAQUE_PART_MIN: usize = 24;
/// A line lists bytes if it has more numbers that may be bytes than this, and more than one in eight letters.
const NUMBERS_MAX: usize = 100;

/// A shorter run of letters has no room for a word and a secret.
const RUN_MIN: usize = 16;
/// The fewest bytes that count as a text. Among random bytes, so many letters in a row occur once in 10^8 cases.
const PACKED_TEXT_MIN: usize = 20;

/// The reason for rejecting a line with packed text.
const PACKED_TEXT: &str = "holds text as Base64, as hexadecimal digits or as a list of bytes, perhaps packed or encrypted, so nothing of it is kept, \
     because nobody sees whom it names: unpack it first, as base64 -d FILE | passbridge ingest - does, or xxd -r -p, or of a member NAME: jq -r '.NAME|@base64d'";

/// The reason for rejecting a line whose text nobody can read: what escaped its letters, or `PACKED_TEXT`.
pub fn why_unreadable(bytes: &[u8]) -> &'static str {
    let has = |mark: &str| find(bytes, mark.as_bytes()).is_some();
    if has("\\x22") {
        "has its quotes as \\x22, as nginx and Apache log them, so nothing of it is kept: in nginx, say escape=json in the log_format"
    } else if has("%22") && (has("%3A") || has("%3a")) {
        "is escaped as a form in a URL, so nothing of it is kept: post it as it is, with curl --data-binary and not --data-urlencode"
    } else {
        PACKED_TEXT
    }
}

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
    let is_hidden = |bytes: &[u8]| has_word(bytes) || is_packed_start(bytes);
    has_word(bytes) || has_hidden(bytes, &is_hidden)
}

/// Whether these bytes are packed, or a part of something packed: no search finds a word in them.
pub fn is_packed(bytes: &[u8]) -> bool {
    let is_odd = |byte: &u8| byte.is_ascii_control() && !b"\0\t\n\r\x1a\x1b\x1e".contains(byte);
    let is_lossy = || String::from_utf8_lossy(bytes).contains(char::REPLACEMENT_CHARACTER);
    is_packed_start(bytes) || bytes.iter().any(is_odd) && is_lossy()
}

fn is_packed_start(bytes: &[u8]) -> bool {
    PACKED.iter().any(|start| find(bytes, start).is_some())
}

/// Whether these bytes have a text of several parts in Base64, in hexadecimal digits, or as a list of the numbers of
/// bytes: nobody sees whom it names. A digest is no text, and an identifier has one part. A longer text may be packed.
pub fn has_packed_text(bytes: &[u8]) -> bool {
    let is_end = |letter: char| letter == char::REPLACEMENT_CHARACTER || letter.is_control();
    let is_text = |part: &str| {
        let has_parts = part.contains(['"', '=', ',', '<', ' ']);
        part.len() >= PACKED_TEXT_MIN && (has_parts || has_packed_text(part.as_bytes()))
    };
    let is_opaque = |run: &str| {
        let is_hex = run.bytes().all(|digit| digit.is_ascii_hexdigit());
        let longest = run.split(['-', '_', '/', '+']).map(str::len).max();
        run.len() > (if is_hex { DIGEST_MAX.1 } else { DIGEST_MAX.0 }) && longest >= Some(OPAQUE_PART_MIN)
    };
    let line = String::from_utf8_lossy(bytes);
    let numbers = [10, 16].map(|radix| listed(&line, radix).len());
    numbers.into_iter().any(|count| count > NUMBERS_MAX && count * 8 > line.len())
        || runs(&line).any(is_opaque)
        || has_hidden(bytes, &|bytes| {
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
    let is_it = |bytes: Vec<u8>| holds(&bytes);
    is_it(listed(&text, 10)) || is_it(listed(&text, 16)) || runs(&text).any(|run| packed(run).any(is_it))
}

/// The numbers of a text that may be bytes, in a list or a dump.
fn listed(text: &str, radix: u32) -> Vec<u8> {
    let numbers = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let bare = |number| ["0x", "x", "u00"].iter().find_map(|mark| str::strip_prefix(number, mark));
    let of_pair = |number: &&str| radix == 10 || number.len() == 2;
    let numbers = numbers.map(|number| bare(number).unwrap_or(number)).filter(of_pair);
    numbers.filter_map(|number| u8::from_str_radix(number, radix).ok()).collect()
}

/// The parts of a text that may be Base64 or hexadecimal digits.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let runs = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+/-_".contains(letter));
    runs.filter(|run| run.len() >= RUN_MIN)
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
    fn what_may_be_packed_or_encrypted_is_known_by_its_start_or_by_its_length() {
        let opaque: Vec<u8> = (0..140_u32).map(|at| (at * at * 151 + 77) as u8).collect();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let signed = |bytes: &[u8]| format!("{:?}", bytes.iter().map(|byte| *byte as i8).collect::<Vec<_>>());
        let dump: String = opaque.iter().map(|byte| format!("{byte:02x} ")).collect();
        for text in [base64(&opaque), hex(&opaque), signed(&opaque), dump] {
            assert!(has_packed_text(text.as_bytes()), "{text}");
            let id = &text[..text.len().min(64)];
            assert!(!has_packed_text(id.as_bytes()), "{id}");
        }
        for start in [&b"BZh91AY&SY"[..], b"\xfd7zXZ\0"] {
            let bytes = [start, &opaque[..30]].concat();
            for text in [base64(&bytes), hex(&bytes)] {
                assert!(is_like_exchange(text.as_bytes()), "{text}");
            }
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
