//! What the clients of Adobe's HTTPS APIs share, and the client of the Bulk Data Insertion API.
//!
//! - In: addresses, requests, the credentials of a project. Out: whole answers, access tokens.
//! - Guarantees: secrets are sent without TLS only to this host, and then never through a proxy. If a proxy
//!   is set but cannot be used, nothing is sent. No redirect is followed. No answer is longer than its caller
//!   allows. A repeat comes after the pause that the server asks for, within bounds. No answer or message
//!   contains a secret. An error names what was asked for, the address and the cause.
//! - Does not know: the meaning of requests and answers, except in `bulk`.
//! - Rules: "OAuth Server-to-Server credential" on developer.adobe.com.

mod bulk;
mod error;
mod http;
mod ims;
mod pace;
mod ping;
mod proxy;
mod retry;
mod secret;
mod tls;
mod tunnel;

pub use bulk::{BulkClient, LookedUp, Upload, Uploaded, Validated};
pub use error::{ApiError, Cause, Endpoint, words};
pub use http::{Answer, Http, SetupError, address, beneath, host};
pub use ims::{ApiOptions, Ims, check_word};
pub use pace::{Pace, Turn};
pub use ping::{Ping, Pinger, ping_address};
pub use proxy::{Proxy, ProxySettings};
pub use retry::{Backoff, Patience, doubled, retry_after};
pub use secret::{read_secret, read_secret_text};
pub use tls::{certificate_words, tls_words};

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers each request with the next of these texts, each on a new connection.
    pub(super) async fn server(answers: Vec<String>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = [0; 4096];
                assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
                // A client that has read enough may close the connection.
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
