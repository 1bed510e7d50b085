//! The header fields of the request that carries a hit.

use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use crate::suite::CollectionUrl;

/// The `User-Agent` of passbridge itself. Analytics reads the viewer's user agent from the XML.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("passbridge/", env!("CARGO_PKG_VERSION")));
const XML: HeaderValue = HeaderValue::from_static("application/xml");

/// The header fields of every request, without the length, which the connection adds. There is no `Expect`, because
/// DIA refuses it before it reads the body.
pub(super) fn request_headers(url: &CollectionUrl) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    if let Ok(authority) = HeaderValue::try_from(url.authority()) {
        headers.insert(HOST, authority);
    }
    headers.insert(CONTENT_TYPE, XML);
    headers.insert(ACCEPT, XML);
    headers.insert(USER_AGENT, AGENT);
    headers
}
