//! Checks `AD-Service-Token`, a signed statement of who a viewer is, if the operator has the keys of its issuer.
//!
//! The results are only counted and shown: Adobe's answer already shows whether the token was good.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use spki::der::Document;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::state::ms_of;
use crate::event::Instant;
use crate::word::words;

/// The longest token that is checked, in bytes. Servers refuse longer headers.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// How far the issuer's clock may be ahead, in milliseconds.
const CLOCK_SKEW_MS: f64 = 60_000.0;
const AUDIENCE: &str = "adobe";
/// The algorithm `rsaEncryption` of RFC 8017.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The public keys of identity services, by the `kid` that their tokens name.
#[derive(Debug, Clone, Default)]
pub struct ServiceKeys(BTreeMap<String, Vec<u8>>);

/// Why a text is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceKeyError {
    #[error("it is no PEM text: {0}")]
    NotPem(String),
    #[error(
        "it holds a {0}; a PUBLIC KEY is needed, as `openssl x509 -pubkey -noout` writes it of a certificate"
    )]
    OtherKind(String),
    #[error("it is no RSA key; tokens are signed with RS256")]
    NotRsa,
}

words! {
    /// The result of the checks of a token. The checks run in the order of the variants after `Valid`.
    pub enum TokenCheck {
        /// The signature is right, the token is for Adobe, and it was valid when it was sent.
        Valid = "valid",
        /// The token is too long, or it is not a header, claims and a signature in Base64.
        Malformed = "malformed",
        /// The token is signed with another algorithm than RS256, or not at all.
        OtherAlgorithm = "other_algorithm",
        UnknownKey = "unknown_key",
        BadSignature = "bad_signature",
        /// The token is not for Adobe.
        OtherAudience = "other_audience",
        NotYetIssued = "not_yet_issued",
        Expired = "expired",
    }
}

impl ServiceKeys {
    /// Adds the key of a `kid`: PEM of a SubjectPublicKeyInfo or of a PKCS #1 RSAPublicKey.
    pub fn add(&mut self, kid: &str, pem: &str) -> Result<(), ServiceKeyError> {
        let (label, document) = Document::from_pem(pem.trim_start())
            .map_err(|error| ServiceKeyError::NotPem(error.to_string()))?;
        let key = match label {
            "PUBLIC KEY" => {
                let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes())
                    .map_err(|error| ServiceKeyError::NotPem(error.to_string()))?;
                if info.algorithm.oid != RSA {
                    return Err(ServiceKeyError::NotRsa);
                }
                info.subject_public_key.as_bytes().ok_or(ServiceKeyError::NotRsa)?.to_vec()
            }
            "RSA PUBLIC KEY" => document.as_bytes().to_vec(),
            other => return Err(ServiceKeyError::OtherKind(other.to_owned())),
        };
        self.0.insert(kid.to_owned(), key);
        Ok(())
    }

    /// Checks a token at the instant when it was sent; `None` if no keys are configured.
    pub(super) fn check(&self, token: &str, sent_at: Instant) -> Option<TokenCheck> {
        (!self.0.is_empty()).then(|| self.look(token, sent_at).err().unwrap_or(TokenCheck::Valid))
    }

    fn look(&self, token: &str, sent_at: Instant) -> Result<(), TokenCheck> {
        use TokenCheck::{
            BadSignature, Expired, Malformed, NotYetIssued, OtherAlgorithm, OtherAudience, UnknownKey,
        };
        let token = token.trim();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| Malformed);
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Malformed)?;
        if header.alg != "RS256" {
            return Err(OtherAlgorithm);
        }
        let key = header.kid.and_then(|kid| self.0.get(kid.as_ref())).ok_or(UnknownKey)?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| BadSignature)?;
        let claims: Claims<'_> = serde_json::from_slice(&claims).map_err(|_| Malformed)?;
        if !claims.aud.is_some_and(|audience| audience.has(AUDIENCE)) {
            return Err(OtherAudience);
        }
        let sent_ms = ms_of(sent_at) as f64;
        if claims.iat.is_some_and(|iat| iat * 1000.0 > sent_ms + CLOCK_SKEW_MS) {
            return Err(NotYetIssued);
        }
        if claims.exp.is_none_or(|exp| exp * 1000.0 <= sent_ms) { Err(Expired) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
}

/// The claims of RFC 7519. Their instants are seconds, with or without a fraction.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    aud: Option<Audience<'a>>,
    iat: Option<f64>,
    exp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience<'a> {
    #[serde(borrow)]
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl Audience<'_> {
    /// Case is ignored: Adobe's page says "Adobe", but its sample says "adobe".
    fn has(&self, name: &str) -> bool {
        match self {
            Audience::One(one) => one.eq_ignore_ascii_case(name),
            Audience::Many(many) => many.iter().any(|one| one.eq_ignore_ascii_case(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the tokens were made for these tests with `openssl genrsa` and `openssl dgst -sha256 -sign`.
    const KEY: &str = include_str!("../../../fixtures/service-token/key.pem");
    const TOKENS: &str = include_str!("../../../fixtures/service-token/tokens.txt");
    /// 2026-11-20T12:00:00Z, the instant when the tokens are sent.
    const SENT_NANOS: i64 = 1_795_176_000_000_000_000;

    #[test]
    fn each_token_is_what_its_line_says() {
        let mut keys = ServiceKeys::default();
        let sent_at = Instant::from_nanos(SENT_NANOS);
        assert_eq!(keys.check("a.b.c", sent_at), None, "without keys nothing is looked at");
        keys.add("key-1", KEY).expect("a key");
        let mut seen = Vec::new();
        for line in TOKENS.lines().filter(|line| !line.starts_with('#')) {
            let (expected, token) = line.split_once(' ').expect("a word and a token");
            let found = keys.check(token, sent_at).map(TokenCheck::as_str);
            assert_eq!(found, Some(expected), "{token}");
            seen.push(expected);
        }
        for check in TokenCheck::ALL {
            assert!(seen.contains(&check.as_str()), "no token is {check}");
        }
    }

    #[test]
    fn what_is_no_public_key_of_rsa_is_refused() {
        let mut keys = ServiceKeys::default();
        let private = KEY.replace("PUBLIC", "PRIVATE");
        assert_eq!(keys.add("k", &private), Err(ServiceKeyError::OtherKind("PRIVATE KEY".to_owned())));
        assert!(matches!(keys.add("k", "not a key"), Err(ServiceKeyError::NotPem(_))));
    }
}
