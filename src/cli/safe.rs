//! What may reach a terminal or a log: harmful characters are escaped, and a password in a URL is written as `***`.

use std::ops::Range;

use crate::harmless::escaped;

/// The schemes of URLs that a person may write without slashes.
const SCHEMES: [&str; 4] = ["http", "https", "ftp", "socks5"];
/// The ends of names of passwords that are given as `name=password`, as in a connection string.
const PASSWORDS: [&str; 3] = ["password", "passwd", "pwd"];

/// What an `@` and a `:` are written as where they stand for themselves.
const AT: [&str; 2] = ["@", "%40"];
const COLONS: [&str; 3] = [":", "%3A", "%3a"];

/// Escapes harmful characters and hides passwords in URLs.
pub(super) fn safe(text: &str) -> String {
    without_passwords(&escaped(text))
}

/// Whether a URL has signs that a password may have, such as an escaped `@` (`%40`). Then nobody knows where it ends.
pub(super) fn has_odd_signs(url: &str) -> bool {
    url.contains(|letter: char| letter.is_whitespace() || "\"'`;".contains(letter)) || url.contains("%40")
}

/// Hides the password of every `scheme://user:password@host` (RFC 3986, section 3.2), also with fewer slashes, of every
/// `password=...`, and of every `;name=...`, as the path of a URL may have.
pub(super) fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_in_url) = (text, false);
    while let Some(at) = rest.find([':', '=']) {
        let word = rest[..at].rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next();
        let word = word.unwrap_or_default().to_ascii_lowercase();
        let slashes = rest[at + 1..].bytes().take_while(|byte| *byte == b'/').count();
        let is_url = rest[at..].starts_with(':') && (slashes > 0 || SCHEMES.contains(&word.as_str()));
        is_in_url &= !rest[..at].contains(ends_url);
        let is_parameter = is_in_url && rest[..at].contains(';');
        let is_named = rest[at..].starts_with('=')
            && (is_parameter || PASSWORDS.iter().any(|name| word.ends_with(name)));
        is_in_url |= is_url;
        let (before, behind) = rest.split_at(at + 1 + if is_url { slashes } else { 0 });
        out.push_str(before);
        rest = behind;
        let hidden = if is_named { Some(0..value(behind)) } else { password(behind).filter(|_| is_url) };
        if let Some(at) = hidden {
            out.push_str(&behind[..at.start]);
            out.push_str("***");
            rest = &behind[at.end..];
        }
    }
    out.push_str(rest);
    out
}

fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || "\"'<>".contains(letter)
}

/// The length of a value in a connection string, a query or a text with quotes.
fn value(text: &str) -> usize {
    text.find(|letter: char| letter.is_whitespace() || "\"'`;&,<>\\".contains(letter)).unwrap_or(text.len())
}

/// Hides what `without_passwords` hides, passwords in incomplete URLs (`user:password@host`), and the user and the
/// query of a URL, because those may be tokens. For messages that quote a wrong value.
pub(super) fn without_secrets(text: &str) -> String {
    let text = without_passwords(text);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(letter) = rest.chars().next() {
        let word = match letter {
            '"' | '\'' | '`' => quoted(rest).unwrap_or(1),
            _ if letter.is_whitespace() => letter.len_utf8(),
            _ => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at(word);
        rest = behind;
        if let Some(at) = odd_url(word) {
            out.extend([&word[..at.start], "***", &word[at.end..]]);
            continue;
        }
        let word = match loose_password(word) {
            Some(at) => [&word[..at.start], "***", &word[at.end..]].concat(),
            None => word.to_owned(),
        };
        out.push_str(&without_token(&word));
    }
    out
}

/// The position of a URL with odd signs, where it fills its quotes or a word. Of such a URL nothing is shown.
fn odd_url(word: &str) -> Option<Range<usize>> {
    let quotes = ['"', '\'', '`'];
    let url = word.trim_matches(quotes);
    let scheme = scheme_of(url)?;
    let start = word.len() - word.trim_start_matches(quotes).len();
    let url = url.trim_end_matches([';', ',', '.', ':']);
    has_odd_signs(&url[scheme.len()..]).then(|| start..start + url.len())
}

/// The scheme that a text starts with, also if its colon is missing.
fn scheme_of(text: &str) -> Option<&'static str> {
    let is_start = |scheme: &&str| {
        let start = text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        start && text[scheme.len()..].starts_with([':', '/'])
    };
    SCHEMES.into_iter().find(is_start)
}

/// Hides the user and the query of a URL. Without a scheme, only a query with an `=` is recognised.
fn without_token(word: &str) -> String {
    let (scheme, url) = word.split_at(word.find("://").map_or(0, |at| at + 3));
    let is_query = |at: &usize| !scheme.is_empty() || url[*at..].contains('=');
    let query = url.find(['?', '#']).filter(is_query).unwrap_or(url.len());
    let (address, query) = url.split_at(query);
    let host = address.rfind('@').filter(|_| !scheme.is_empty()).unwrap_or(0);
    let user = if host > 0 { "***" } else { "" };
    // A quote at the end is not part of the URL.
    let hidden_to = query.trim_end_matches(['"', '\'', '`']).len();
    let hidden = if hidden_to > 0 { "?***" } else { "" };
    [scheme, user, &address[host..], hidden, &query[hidden_to..]].concat()
}

/// The length of a quoted text. A closing quote has no backslash before it, no letter or digit after it, and, if the
/// text is a URL, no `@` between it and the next quote.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let is_url = scheme_of(&text[1..]).is_some();
    let ends = |(at, _): &(usize, &str)| {
        let escapes = text[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        let behind = &text[at + 1..];
        let next = behind.split_once(quote).map_or("", |(next, _)| next);
        escapes % 2 == 0
            && !behind.starts_with(char::is_alphanumeric)
            && !(is_url && AT.iter().any(|at| next.contains(at)))
    };
    text.match_indices(quote).skip(1).find(ends).map(|(at, _)| at + 1)
}

/// The position of the password in `user:password@host`, after anything that looks like a scheme.
fn loose_password(word: &str) -> Option<Range<usize>> {
    // `without_passwords` handles complete URLs.
    if word.contains("://") && !word.contains(char::is_whitespace) {
        return None;
    }
    let end = AT.iter().filter_map(|at| word.rfind(at)).max()?;
    let mut start = word.find(':')? + 1;
    let slashes = word[start..].find(|letter| !matches!(letter, '/' | '\\')).unwrap_or(0);
    if slashes > 0 {
        start += slashes + word[start + slashes..].find(':')? + 1;
    }
    (start <= end).then_some(start..end)
}

/// The position of the password in a URL without its scheme.
fn password(url: &str) -> Option<Range<usize>> {
    let url = url.split(ends_url).next()?;
    let authority = url.split(['/', '?', '#']).next()?;
    let start = COLONS.iter().filter_map(|colon| Some(url.find(colon)? + colon.len())).min()?;
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // A password with an unescaped `/`, `?` or `#` makes no valid URL, but must be hidden too.
    let is_in_authority = authority.contains('@') || authority.starts_with('[');
    let within = if is_in_authority || authority.get(start..).is_none_or(is_port) { authority } else { url };
    let end = AT.iter().filter_map(|at| within.rfind(at)).max()?;
    (start <= end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_concealed_and_the_rest_stays() {
        for (text, expected) in [
            ("https://u:p@h:8080/a:b@c", "https://u:***@h:8080/a:b@c"),
            ("cannot use \"http://u:p@ss@h\"", "cannot use \"http://u:***@h\""),
            ("http://h:80/ and socks5://:x@y", "http://h:80/ and socks5://:***@y"),
            ("https://u@h/?mail=a:b@c", "https://u@h/?mail=a:b@c"),
            ("no url: a:b@c", "no url: a:b@c"),
            ("/tmp/ftp:/u:p@h/copy.db", "/tmp/ftp:/u:***@h/copy.db"),
            ("http://u:p/a?s#s@h, later", "http://u:***@h, later"),
            ("http://[::1]:80/a@b https://h:80/a@b", "http://[::1]:80/a@b https://h:80/a@b"),
            ("HTTPS:u:p@h and a:b:c@d", "HTTPS:u:***@h and a:b:c@d"),
            ("\"https://h/;DB_PWD=p;a=b\": passwords=x", "\"https://h/;DB_PWD=***;a=***\": passwords=x"),
            ("h?password=p&a=b, password = x", "h?password=***&a=b, password = x"),
            ("https://u:p%40h/a or https://u%3Ap%40h", "https://u:***%40h/a or https://u%3A***%40h"),
            ("https://h:80/a%40b https://h/a:b%40c", "https://h:80/a%40b https://h/a:b%40c"),
            (
                "https://h/a;token=t;b=c, x;a=b http://h/ x;a=b",
                "https://h/a;token=***;b=***, x;a=b http://h/ x;a=b",
            ),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
        for (text, expected) in [
            ("no URL: a:b@c", "no URL: a:***@c"),
            ("'//u:p@h' and \"HTTPS:\\\\u:p@h\"", "'//u:***@h' and \"HTTPS:\\\\u:***@h\""),
            ("\"u:p \\\" q@h\": no URL", "\"u:***@h\": no URL"),
            ("'https://u:p q@h' for it's", "'***' for it's"),
            ("\"https://t@h/?k=t't\": 'https://h#t' h?k=t", "\"***\": 'https://h?***' h?***"),
            ("what? \"why?\" https://h/, a@h", "what? \"why?\" https://h/, a@h"),
            ("https:u:p@h and 'h;pwd=p'", "https:***@h and 'h;pwd=***'"),
            ("no URL: u:p%40h", "no URL: u:***%40h"),
            ("'https://u:p%40h/a' is no URL", "'***' is no URL"),
            ("\"https://h/a;token=t\" https://h/a;token=t;", "\"***\" ***;"),
            ("'https://u:p' q@h' for '--url'", "'***' for '--url'"),
            ("ask ann@h at 10:30, c.toml:3: `a`", "ask ann@h at 10:30, c.toml:3: `a`"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }
}
