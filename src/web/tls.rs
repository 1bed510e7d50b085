//! Says in words why TLS failed: rustls itself says it with names of its types, and times in seconds since 1970.

use std::io;

use chrono::{DateTime, SecondsFormat};
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, OtherError};

use super::error::{WORDS_CHARS_MAX, words};

/// Why a connection failed; `None` if the cause was not TLS.
pub fn tls_words(error: &io::Error) -> Option<String> {
    let cause = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match cause {
        Error::InvalidCertificate(why @ CertificateError::Other(_)) => certificate_words(why),
        Error::InvalidCertificate(why) => {
            format!("the certificate of the host is refused: {}", certificate_words(why))
        }
        Error::InvalidMessage(_) => {
            "the answer is not TLS: something that speaks plain HTTP, or another protocol, listens there"
                .to_owned()
        }
        Error::AlertReceived(alert) => {
            format!("the host refused the handshake: {}", in_words(&format!("{alert:?}")))
        }
        Error::PeerIncompatible(why) => {
            format!("the host and this program cannot agree on TLS: {}", in_words(&format!("{why:?}")))
        }
        cause => in_words(&cause.to_string()),
    })
}

/// Why a certificate is refused.
pub fn certificate_words(why: &CertificateError) -> String {
    let date = |at: &UnixTime| {
        let at = i64::try_from(at.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        at.map_or("a time without a date".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    let words = match why {
        CertificateError::UnknownIssuer => {
            "no root certificate of this system vouches for the host (install the CA of your network, or ca-certificates)"
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!("it expired at {}, by this host's clock", date(not_after));
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            return format!("it is valid from {} on, and this host's clock is before that", date(not_before));
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // rustls writes the kind of each name around the name: `DnsName("b.example")`.
            let bare = |name: &String| {
                let inner = name.split_once('(').map_or(&**name, |(_, inner)| inner.trim_end_matches(')'));
                inner.trim_matches('"').to_owned()
            };
            let names = presented.iter().map(bare).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name".to_owned() } else { words(&names, WORDS_CHARS_MAX) };
            return format!("it is not valid for name {:?}, but for {names}", expected.to_str());
        }
        CertificateError::BadSignature => {
            "the certificate's signature does not fit: it was changed on its way, or made by another CA of the same name"
        }
        CertificateError::BadEncoding => "it is not encoded as a certificate must be",
        CertificateError::Revoked => "it was revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it was not issued for a server"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not supported here"
        }
        CertificateError::Other(OtherError(error)) if error.to_string() == "CaUsedAsEndEntity" => {
            "it is the certificate of a CA, and not of a server: the host must present one that a CA issued to it"
        }
        // A text with spaces comes from our own verifier, and is readable already.
        CertificateError::Other(OtherError(error)) if error.to_string().contains(' ') => {
            return error.to_string();
        }
        CertificateError::Other(OtherError(error)) => return in_words(&error.to_string()),
        other => return in_words(&format!("{other:?}")),
    };
    words.to_owned()
}

/// The name of a type as words: `UnknownCriticalExtension` is "unknown critical extension".
fn in_words(name: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    #[test]
    fn why_tls_failed_is_said_in_words() {
        let other = |text: &str| {
            CertificateError::Other(OtherError(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(
                text,
            ))))
        };
        for (error, words) in [
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "the answer is not TLS"),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the host refused the handshake: handshake failure",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "no root certificate of this system vouches",
            ),
            (
                Error::InvalidCertificate(CertificateError::BadSignature),
                "the certificate's signature does not fit",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("a.example").expect("a name"),
                    presented: [r#"DnsName("b.example")"#, "IpAddress(127.0.0.1)", "DirectoryName"]
                        .map(str::to_owned)
                        .to_vec(),
                }),
                "not valid for name \"a.example\", but for b.example, 127.0.0.1, DirectoryName",
            ),
            (Error::InvalidCertificate(other("CaUsedAsEndEntity")), "it is the certificate of a CA"),
            (Error::InvalidCertificate(other("PathLenConstraintViolated")), "path len constraint violated"),
            (
                Error::InvalidCertificate(other("the certificate of \"A\": No")),
                "the certificate of \"A\": No",
            ),
        ] {
            let found = tls_words(&io::Error::other(error)).expect("a fault of TLS");
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(tls_words(&io::Error::other("another one")), None);
    }
}
