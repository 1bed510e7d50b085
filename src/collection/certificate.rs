//! Checks a host's certificate as rustls does, and names the certificate in each refusal.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::web::certificate_words;

/// The longest name of a certificate that is shown, in characters.
const NAME_CHARS_MAX: usize = 100;
/// The attributes of a name, in DER: common name, organization (X.520). The first that a name has is shown.
const SHOWN: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

/// The verifier of rustls, with the certificate's names in its refusals.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            Error::InvalidCertificate(why) => {
                let said: Box<dyn std::error::Error + Send + Sync> = refusal(end_entity, &why).into();
                Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::from(said))))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Says whose certificate was refused, and why.
fn refusal(certificate: &[u8], why: &CertificateError) -> String {
    let (issuer, subject) = names(certificate).unwrap_or_default();
    format!("the certificate of {subject:?}, issued by {issuer:?}: {}", certificate_words(why))
}

/// Issuer and subject of a certificate (RFC 5280: optional version, serial, algorithm, issuer, validity, subject).
fn names(certificate: &[u8]) -> Option<(String, String)> {
    let (_, whole, _) = element(certificate)?;
    let (_, fields, _) = element(whole)?;
    let fields = std::iter::successors(element(fields), |(_, _, rest)| element(rest));
    let mut names = fields.skip_while(|(tag, ..)| *tag == 0xA0).map(|(_, name, _)| shown(name)).skip(2);
    Some((names.next()?, names.nth(1)?))
}

fn shown(name: &[u8]) -> String {
    let attributes = std::iter::successors(element(name), |(_, _, rest)| element(rest));
    let pairs: Vec<(&[u8], &[u8])> = attributes
        .filter_map(|(_, set, _)| {
            let (_, pair, _) = element(set)?;
            let (_, attribute, rest) = element(pair)?;
            Some((attribute, element(rest)?.1))
        })
        .collect();
    let value = SHOWN.iter().find_map(|of| pairs.iter().find(|(attribute, _)| attribute == of));
    value.map_or_else(String::new, |(_, value)| {
        String::from_utf8_lossy(value).chars().take(NAME_CHARS_MAX).collect()
    })
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=127 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long - 128).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
