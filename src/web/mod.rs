//! What the clients of Adobe's HTTPS interfaces have in common.
//!
//! - In: addresses, requests, the credentials of a project. Out: whole answers, access tokens.
//! - Guarantees: secrets go out in clear to this host only, and never through a proxy; a proxy that cannot be used is not passed
//!   by; no redirect is followed; an answer is no longer than its caller takes; a repeat waits as long as the server asks, within
//!   bounds; no secret is in any answer or message; an error names what was asked for, where, and why it was not had.
//! - Does not know: what is asked for, or what an answer means.
//! - Rules: section 6 of `reference/adobe-analytics.md`.

mod bulk;
mod error;
mod http;
mod ims;
mod pace;
mod proxy;
mod retry;
mod secret;
mod tls;

pub use bulk::{BulkClient, LookedUp, Upload, Uploaded, Validated};
pub use error::{ApiError, Cause, Endpoint, words};
pub use http::{Answer, Http, SetupError, address, beneath, host};
pub use ims::{ApiOptions, Ims, ImsOptions, check_token};
pub use pace::{Pace, Turn};
pub use proxy::{Proxy, ProxySettings};
pub use retry::{Backoff, Patience, doubled, retry_after};
pub use secret::{read_secret, read_secret_text};
pub use tls::{certificate_words, tls_words};

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers each request with the next of these texts, on a connection of its own.
    pub(super) async fn server(answers: Vec<String>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = [0; 4096];
                assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
                // A client that has heard enough leaves.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Url::parse(&url).expect("an address")
    }

    /// An answer with this status and body.
    pub(super) fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }
}
