//! Opens a stream to a collection host: resolves its name, connects by TCP, opens the proxy's tunnel, and begins TLS.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::certificate::Verifier;
use super::socket::{Socket, Stream};
use crate::delivery::NotReceived;
use crate::suite::CollectionUrl;
use crate::web::{Proxy, tls_words};

/// The root certificates that are trusted for a collection host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// The system's certificates (a proxy that inspects TLS has its own there), or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    System,
    /// The system's certificates, and these in PEM.
    Extra(Vec<u8>),
}

/// Why nothing can be sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectionError {
    #[error("cannot use the extra root certificates: {0}")]
    BadRoots(String),
    /// A proxy variable of the environment cannot be used. Sending around that proxy would be worse than not sending.
    #[error("no way to {host}: {why}")]
    Proxy { host: String, why: String },
}

/// The extra certificates, to which the system's are added later.
pub(super) fn extra_roots(roots: &Roots) -> Result<RootCertStore, CollectionError> {
    let bad = |why: String| CollectionError::BadRoots(why);
    let mut store = RootCertStore::empty();
    if let Roots::Extra(pem) = roots {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            store.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(bad("there is no certificate in them".to_owned()));
        }
    }
    Ok(store)
}

/// Adds the system's certificates to `store`. Without any certificate, each TLS connection fails and says so.
/// This is no error yet, because a collector on loopback needs no certificate.
pub(super) fn tls_config(mut store: RootCertStore) -> Arc<ClientConfig> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "cannot read some of the system's root certificates");
    }
    store.add_parsable_certificates(system.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring's default suites cover TLS 1.2 and 1.3");
    let store = Arc::new(store);
    let builder = match WebPkiServerVerifier::builder_with_provider(store.clone(), provider).build() {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier(verifier))),
        // There is no root certificate. Each handshake will fail and say so.
        Err(_) => builder.with_root_certificates(store),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The address of a host, with the proxy and the TLS settings for it.
pub(super) struct Address {
    pub(super) url: CollectionUrl,
    /// `None` if the host is reached directly.
    pub(super) proxy: Option<Proxy>,
    /// `None` for plain http.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Address {
    /// Connects by `deadline`. Each error says which step failed.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Stream, NotReceived> {
        let tcp = match &self.proxy {
            None => dial(self.url.host(), self.url.port(), deadline).await?,
            Some(proxy) => {
                let mut tcp =
                    dial(&proxy.host, proxy.port, deadline).await.map_err(|cause| of_proxy(cause, proxy))?;
                let opened =
                    timeout_at(deadline, proxy.open_tunnel(&mut tcp, self.url.host(), self.url.port())).await;
                let opened = opened.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                opened.map_err(|why| NotReceived::Proxy(format!("{proxy}: {why}")))?;
                tcp
            }
        };
        let socket = Socket { tcp, written_bytes: 0 };
        let Some(config) = &self.tls else { return Ok(Box::new(socket)) };
        self.secure(Arc::clone(config), socket, deadline).await.map_err(|why| {
            // The proxy may be at fault: it may answer in the place of the host, or not forward anything.
            let way =
                self.proxy.as_ref().map_or_else(String::new, |proxy| format!("through the proxy {proxy}: "));
            NotReceived::Tls(way + &why)
        })
    }

    async fn secure(
        &self,
        config: Arc<ClientConfig>,
        socket: Socket,
        deadline: Instant,
    ) -> Result<Stream, String> {
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|_| format!("{:?} is no name for a certificate", self.url.host()))?;
        let handshake = TlsConnector::from(config).connect(name, socket);
        match timeout_at(deadline, handshake).await {
            Ok(Ok(tls)) => Ok(Box::new(tls)),
            Ok(Err(error)) => Err(describe_tls(&error)),
            Err(_) => Err("the handshake timed out".to_owned()),
        }
    }
}

/// Connects to the first address of `host` that answers. Each address gets an equal part of the remaining
/// time, so that an address that never answers does not use up all of it.
async fn dial(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, NotReceived> {
    let found = timeout_at(deadline, lookup_host((host, port)))
        .await
        .map_err(|_| NotReceived::Resolve(format!("{host}: no answer in time")))?
        .map_err(|error| match is_open_files(&error) {
            true => NotReceived::OpenFiles(error.to_string()),
            false => NotReceived::Resolve(format!("{host}: {error}")),
        })?;
    let addresses: Vec<_> = found.collect();
    let mut failure = NotReceived::Resolve(format!("{host}: no address"));
    for (tried, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(now) / left;
        let connected = timeout_at(now + share, TcpStream::connect(address)).await;
        let connected =
            connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "timed out")));
        match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => return Ok(tcp),
            Err(error) if is_open_files(&error) => return Err(NotReceived::OpenFiles(error.to_string())),
            Err(error) => failure = NotReceived::Connect(format!("{address}: {error}")),
        }
    }
    Err(failure)
}

/// Whether this process, or the whole system, has no file descriptor left.
pub(crate) fn is_open_files(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Reports a failure to reach a proxy as the proxy's fault, not as the host's.
fn of_proxy(cause: NotReceived, proxy: &Proxy) -> NotReceived {
    if matches!(cause, NotReceived::OpenFiles(_)) {
        return cause;
    }
    NotReceived::Proxy(format!("{proxy}: {cause}"))
}

/// Why the TLS handshake failed. If a certificate was refused, says whose it is and why it was refused.
fn describe_tls(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    // If there were a root certificate, `Verifier` would have replaced this error. So the system has none.
    if let Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) = cause {
        return "this system has no root certificates: install ca-certificates".to_owned();
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the connection ended during the handshake".to_owned();
    }
    tls_words(error).unwrap_or_else(|| error.to_string())
}
