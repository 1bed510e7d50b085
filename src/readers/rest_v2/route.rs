//! Finds the endpoint of a request by method and path. Hosts are ignored: they differ between deployments.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::event::VisitorRules;
use crate::word::words;

words! {
    /// The endpoints of the REST API V2 and the user agent's way to the MVPD. `route` has their paths.
    pub(super) enum Endpoint {
        Configuration = "configuration",
        CreateSession = "create session",
        ResumeSession = "resume session",
        RetrieveSession = "retrieve session",
        UserAgent = "authenticate in user agent",
        Profiles = "profiles",
        ProfileOfMvpd = "profile of mvpd",
        ProfileOfCode = "profile of code",
        Authorize = "authorize",
        Preauthorize = "preauthorize",
        Logout = "logout",
        PartnerSession = "partner session",
        PartnerProfile = "partner profile",
        /// A redirect of another server, which a browser may follow during a logout.
        Elsewhere = "logout in user agent",
    }
}

/// Whether a code or a session ID tells a login from others: it is no mask, no word for "unknown" and no placeholder,
/// as in a route's template (`{code}`, `:code`, `<code>`).
pub(super) fn names_login(code: &str) -> bool {
    let marks = ['*', '•', '…', '{', '}', '<', '>', '[', ']', '$', '%'];
    VisitorRules::default().known(code).is_some() && !code.contains(marks) && !code.trim().starts_with(':')
}

/// The endpoint of a request and the parts of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub endpoint: Endpoint,
    /// `{sp}`, the requestor ID.
    pub service_provider: Cow<'a, str>,
    /// `{mvpd}` or `{partner}`.
    pub name: Option<Cow<'a, str>>,
    /// `{code}`, which must not be stored in clear.
    pub code: Option<Cow<'a, str>>,
}

impl Route<'_> {
    /// The route of a redirect that is not a call of the API.
    pub(super) fn elsewhere() -> Route<'static> {
        Route { endpoint: Endpoint::Elsewhere, service_provider: "".into(), name: None, code: None }
    }
}

/// The path of a URL, without its query. The URL may lack scheme and host.
pub(super) fn path_of(url: &str) -> &str {
    let rest = match url.find("://") {
        Some(at) => {
            let rest = &url[at + 3..];
            &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..]
        }
        None => url,
    };
    &rest[..rest.find(['?', '#']).unwrap_or(rest.len())]
}

/// A URL in the form in which RFC 3986 (section 6.2.2) compares URLs: escapes in capitals, and no escape of a
/// character that needs none. An invalid escape stays as it is.
pub(super) fn normal(url: &str) -> Cow<'_, str> {
    let mut parts = url.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.map(|digits| (digits, u8::from_str_radix(digits, 16))) {
            Some((_, Ok(byte))) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
            }
            Some((digits, _)) => normal.extend(["%", &digits.to_ascii_uppercase()]),
            None => normal.push('%'),
        }
        normal.push_str(digits.map_or(part, |digits| &part[digits.len()..]));
    }
    if normal == url { Cow::Borrowed(url) } else { Cow::Owned(normal) }
}

/// The query of a URL, without its question mark.
pub(super) fn query_of(url: &str) -> &str {
    let url = &url[..url.find('#').unwrap_or(url.len())];
    url.find('?').map_or("", |at| &url[at + 1..])
}

/// A URL without its scheme, host and fragment. It is the same in logs with and without hosts.
pub(super) fn hop_of(url: &str) -> &str {
    let path = path_of(url);
    let (start, end) = (path.as_ptr() as usize - url.as_ptr() as usize, url.find('#').unwrap_or(url.len()));
    &url[start.min(end)..end]
}

/// A URL without its query and fragment: the place where a browser arrives, whatever parameters were added.
pub(super) fn place_of(url: &str) -> &str {
    url[..url.find(['?', '#']).unwrap_or(url.len())].trim_end_matches('/')
}

/// The decoded value of a parameter of a form or a query; `None` if it is missing or blank.
pub(super) fn parameter(form: &str, name: &str) -> Option<String> {
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(decoded(value, true).into_owned()).filter(|value| !value.trim().is_empty())
}

/// The route of a request; `None` if it is for no endpoint.
pub(super) fn route<'a>(method: &str, path: &'a str) -> Option<Route<'a>> {
    let inside = path.strip_prefix("/api/v2/")?;
    // A web server may add parameters to a part (RFC 3986, section 3.3), such as `;jsessionid=` with a secret.
    let bare =
        |part: &'a str| part.split(';').next().and_then(|part| part.split("%3B").next()).unwrap_or_default();
    let mut parts: Vec<&str> = inside.split('/').map(bare).collect();
    parts.pop_if(|last| last.is_empty());
    let is_post = method.eq_ignore_ascii_case("POST");
    if parts.contains(&"") || !is_post && !method.eq_ignore_ascii_case("GET") {
        return None;
    }
    let (endpoint, sp, name, code) = match (is_post, &parts[..]) {
        (false, ["authenticate", sp, code]) => (Endpoint::UserAgent, sp, None, Some(code)),
        // Samples on two of Adobe's pages have `sessions` and `logout` before the service provider.
        (false, ["sessions", sp, code]) => (Endpoint::RetrieveSession, sp, None, Some(code)),
        (false, ["logout", sp, mvpd]) => (Endpoint::Logout, sp, Some(mvpd), None),
        (false, [sp, "configuration"]) => (Endpoint::Configuration, sp, None, None),
        (true, [sp, "sessions"]) => (Endpoint::CreateSession, sp, None, None),
        (true, [sp, "sessions", "sso", partner]) => (Endpoint::PartnerSession, sp, Some(partner), None),
        (true, [sp, "sessions", code]) => (Endpoint::ResumeSession, sp, None, Some(code)),
        (false, [sp, "sessions", code]) => (Endpoint::RetrieveSession, sp, None, Some(code)),
        (false, [sp, "profiles"]) => (Endpoint::Profiles, sp, None, None),
        (false, [sp, "profiles", "code", code]) => (Endpoint::ProfileOfCode, sp, None, Some(code)),
        (true, [sp, "profiles", "sso", partner]) => (Endpoint::PartnerProfile, sp, Some(partner), None),
        (false, [sp, "profiles", mvpd]) => (Endpoint::ProfileOfMvpd, sp, Some(mvpd), None),
        (true, [sp, "decisions" | "decision", "authorize", mvpd]) => {
            (Endpoint::Authorize, sp, Some(mvpd), None)
        }
        (true, [sp, "decisions" | "decision", "preauthorize", mvpd]) => {
            (Endpoint::Preauthorize, sp, Some(mvpd), None)
        }
        (false, [sp, "logout", mvpd]) => (Endpoint::Logout, sp, Some(mvpd), None),
        (false, [sp, "logout"]) => (Endpoint::Logout, sp, None, None),
        _ => return None,
    };
    Some(Route {
        endpoint,
        service_provider: decoded(sp, false),
        name: name.map(|name| decoded(name, false)),
        code: code.map(|code| decoded(code, false)),
    })
}

/// Percent-decoded text; in a form `+` is a blank. Invalid escapes stay. A text that would not be UTF-8 stays too.
pub(super) fn decoded(text: &str, is_form: bool) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = if is_form { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&spaced).decode_utf8().map_or(Cow::Borrowed(text), |it| Cow::Owned(it.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_and_alias_is_found_by_method_and_path() {
        use Endpoint::*;
        for (method, url, expected) in [
            ("GET", "https://h/api/v2/REF30/configuration", Some((Configuration, "REF30", "", ""))),
            ("GET", "/api/v2/REF30/configuration/", Some((Configuration, "REF30", "", ""))),
            ("POST", "/api/v2/REF30/sessions", Some((CreateSession, "REF30", "", ""))),
            ("POST", "/api/v2/REF30/sessions/AB", Some((ResumeSession, "REF30", "", "AB"))),
            ("GET", "/api/v2/REF30/sessions/AB", Some((RetrieveSession, "REF30", "", "AB"))),
            ("GET", "/api/v2/sessions/REF30/AB", Some((RetrieveSession, "REF30", "", "AB"))),
            ("GET", "/api/v2/authenticate/REF30/AB?x=y", Some((UserAgent, "REF30", "", "AB"))),
            ("get", "/api/v2/REF30/profiles", Some((Profiles, "REF30", "", ""))),
            ("GET", "/api/v2/REF30/profiles/Cable%20One", Some((ProfileOfMvpd, "REF30", "Cable One", ""))),
            ("GET", "/api/v2/REF30/profiles/code/AB", Some((ProfileOfCode, "REF30", "", "AB"))),
            ("POST", "/api/v2/REF30/decisions/authorize/M", Some((Authorize, "REF30", "M", ""))),
            ("POST", "/api/v2/REF30/decision/authorize/M", Some((Authorize, "REF30", "M", ""))),
            ("POST", "/api/v2/REF30/decisions/preauthorize/M", Some((Preauthorize, "REF30", "M", ""))),
            ("GET", "/api/v2/REF30/logout/M?redirectUrl=a%2Fb", Some((Logout, "REF30", "M", ""))),
            ("GET", "/api/v2/logout/REF30/M", Some((Logout, "REF30", "M", ""))),
            ("GET", "/api/v2/REF30/logout", Some((Logout, "REF30", "", ""))),
            ("POST", "/api/v2/REF30/sessions/sso/Apple", Some((PartnerSession, "REF30", "Apple", ""))),
            ("POST", "/api/v2/REF30/profiles/sso/Apple", Some((PartnerProfile, "REF30", "Apple", ""))),
            ("GET", "/api/v1/REF30/profiles", None),
            ("POST", "/o/client/register", None),
            ("DELETE", "/api/v2/REF30/profiles", None),
            ("GET", "/api/v2//profiles", None),
            ("GET", "", None),
        ] {
            let route = route(method, path_of(url));
            let found = route.as_ref().map(|route| {
                let text = |part: &Option<Cow<'_, str>>| part.as_deref().unwrap_or("").to_owned();
                (route.endpoint, route.service_provider.to_string(), text(&route.name), text(&route.code))
            });
            let expected = expected.map(|(endpoint, sp, name, code)| {
                (endpoint, sp.to_owned(), name.to_owned(), code.to_owned())
            });
            assert_eq!(found, expected, "{method} {url}");
        }
    }

    #[test]
    fn a_url_has_one_form_however_its_escapes_are_written() {
        for (url, expected) in [
            ("/api/v2/REF30", "/api/v2/REF30"),
            ("/%61pi/v2/REF%33%30?a=b%2fc%2Fd%3d", "/api/v2/REF30?a=b%2Fc%2Fd%3D"),
            ("/a%2Db%2e%5f%7Ec%20%c3%a9", "/a-b._~c%20%C3%A9"),
            ("/100%&%zz%+1%2", "/100%&%zz%+1%2"),
            ("%%41%é", "%A%é"),
            ("/%2541", "/%2541"),
        ] {
            assert_eq!(normal(url), expected);
            assert_eq!(normal(expected), expected);
        }
    }

    #[test]
    fn parameters_are_decoded_and_hostile_escapes_stay() {
        assert_eq!(parameter("a=1&mvpd=Cable+One%21", "mvpd").as_deref(), Some("Cable One!"));
        assert_eq!(parameter("xmvpd=1", "mvpd"), None);
        assert_eq!(decoded("100%", false), "100%");
        assert_eq!(decoded("%ff%4", false), "%ff%4");
        assert_eq!(query_of("/p?mso_id=a#b?c"), "mso_id=a");
    }
}
