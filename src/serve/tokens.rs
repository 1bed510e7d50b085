//! The bearer tokens of those who may send or look: a file with one token a line, which is read again when it changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::reply::Refusal;
use crate::readers::Map;
use crate::web::read_secret_text;
use crate::whole_file::warn_if_open;

/// The shortest token, in characters. Nobody can guess 16 random characters.
const TOKEN_CHARACTERS_MIN: usize = 16;
/// The time between two checks of the file, so a removed token is accepted at most this long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The shortest time between two log lines that say that the file is wrong and all senders are refused.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The reason why all senders are refused.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("cannot read the tokens of {key} in {path:?}")]
    Unreadable { key: &'static str, path: PathBuf, source: io::Error },
    /// A line is no token. The message does not quote the line.
    #[error(
        "{path:?} has no token in line {line}: one is at least {TOKEN_CHARACTERS_MIN} letters, digits or -._~+/="
    )]
    NotAToken { path: PathBuf, line: usize },
    #[error(
        "{path:?} names in line {line} no map of the configuration: behind a token may stand map=NAME, where there is a section [map.NAME]"
    )]
    NoMap { path: PathBuf, line: usize },
    #[error("{0:?} has no token: nobody could be let in")]
    None(PathBuf),
}

#[derive(Debug)]
pub(super) struct Tokens {
    /// The key of the configuration that names the file, for messages.
    key: &'static str,
    path: PathBuf,
    maps: Maps,
    state: Mutex<State>,
}

pub(super) type Maps = BTreeMap<String, Arc<Map>>;

/// The digest of a token and the map of its sender. Comparing digests takes the same time for tokens of any length.
type Known = ([u8; 32], Option<Arc<Map>>);

#[derive(Debug)]
struct State {
    known: Vec<Known>,
    /// Identifies the version of the file that was read last, valid or not; `None` if there was no file.
    stamp: Option<Stamp>,
    looked_at: Instant,
    /// The reason why all senders are refused, and the time of the last log line about it.
    problem: Option<(TokensError, Option<Instant>)>,
}

/// Values that change when the file changes: its inode, its length, and the time of its last change.
type Stamp = [i64; 4];

/// Fails if a file of tokens, which this key names, cannot be used.
pub fn check(path: &Path, key: &'static str, maps: &Maps) -> Result<(), TokensError> {
    read(path, key, maps).map(drop)
}

impl Tokens {
    pub(super) fn read(path: &Path, key: &'static str, maps: Maps) -> Result<Tokens, TokensError> {
        let stamp = stamp(path);
        let state = State { known: read(path, key, &maps)?, stamp, looked_at: Instant::now(), problem: None };
        Ok(Tokens { key, path: path.to_owned(), maps, state: Mutex::new(state) })
    }

    /// The map of this token's sender, or `Some(None)` if the sender has no map; `None` if the file does not have the
    /// token. Takes the same time for every token, known or unknown.
    pub(super) fn find(&self, token: &[u8]) -> Option<Option<Arc<Map>>> {
        let presented: [u8; 32] = Sha256::digest(token).into();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() >= LOOK_EVERY {
            self.look(&mut state);
        }
        let is_it = |(known, _): &Known| bool::from(known.ct_eq(&presented));
        let found =
            state.known.iter().fold(None, |found, known| if is_it(known) { Some(known) } else { found });
        found.map(|(_, map)| map.clone())
    }

    pub(super) fn look_now(&self) {
        self.look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the file again if it has changed. If the file is missing, empty or wrong, all senders are refused:
    /// otherwise a mistake in it would keep a removed token valid.
    fn look(&self, state: &mut State) {
        let now = Instant::now();
        state.looked_at = now;
        let stamp = stamp(&self.path);
        if stamp.is_none() || stamp != state.stamp {
            state.stamp = stamp;
            match read(&self.path, self.key, &self.maps) {
                Ok(known) => {
                    tracing::info!(tokens = known.len(), "the tokens have changed");
                    (state.known, state.problem) = (known, None);
                }
                Err(error) => {
                    state.known.clear();
                    let known =
                        state.problem.take().filter(|(known, _)| known.to_string() == error.to_string());
                    state.problem = Some((error, known.and_then(|(_, told_at)| told_at)));
                }
            }
        }
        if let Some((error, told_at)) = &mut state.problem
            && told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY)
        {
            let error = &*error as &dyn std::error::Error;
            tracing::error!(error, "nobody is let in until {} is mended", self.key);
            *told_at = Some(now);
        }
    }
}

/// The map of the sender of a request, if the sender has one. Refuses a request without a token of the file.
pub(super) fn sender_of(request: &Request<Incoming>, tokens: &Tokens) -> Result<Option<Arc<Map>>, Refusal> {
    bearer(request).and_then(|token| tokens.find(token)).ok_or_else(|| {
        let why = format!("needs a bearer token of {}", tokens.key);
        Refusal::new(StatusCode::UNAUTHORIZED, why).with(WWW_AUTHENTICATE, "Bearer")
    })
}

/// Refuses a request without a token as [`sender_of`] does, but also takes the token as a password, which browsers ask
/// for. A post needs the bearer token: a browser adds a known password to any request, even of another site's page.
pub(super) fn looker_of(request: &Request<Incoming>, tokens: &Tokens) -> Result<(), Refusal> {
    if password(request).is_some_and(|token| tokens.find(&token).is_some()) {
        return Ok(());
    }
    let ask = |refusal: Refusal| refusal.with(WWW_AUTHENTICATE, "Basic realm=\"passbridge\", Bearer");
    sender_of(request, tokens).map(drop).map_err(ask)
}

/// The password of HTTP's Basic authentication (RFC 7617).
fn password(request: &Request<Incoming>) -> Option<Vec<u8>> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, packed) = value.split_at_checked(b"Basic ".len())?;
    let plain = BASE64_STANDARD.decode(packed.trim_ascii()).ok()?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    scheme.eq_ignore_ascii_case(b"Basic ").then(|| plain[colon + 1..].to_vec())
}

fn bearer(request: &Request<Incoming>) -> Option<&[u8]> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let (inode, bytes) = (metadata.ino().cast_signed(), metadata.len().cast_signed());
    Some([inode, bytes, metadata.ctime(), metadata.ctime_nsec()])
}

fn read(path: &Path, key: &'static str, maps: &Maps) -> Result<Vec<Known>, TokensError> {
    let unreadable = |source| TokensError::Unreadable { key, path: path.to_owned(), source };
    warn_if_open(path);
    let text = read_secret_text(path).map_err(unreadable)?;
    let mut known = Vec::new();
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (token, behind) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        // RFC 6750, section 2.1, allows these characters in a token.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.len() < TOKEN_CHARACTERS_MIN || !token.bytes().all(is_allowed) {
            return Err(TokensError::NotAToken { path: path.to_owned(), line });
        }
        let map = behind.trim_start().strip_prefix("map=").and_then(|name| maps.get(name));
        if map.is_none() && !behind.is_empty() {
            return Err(TokensError::NoMap { path: path.to_owned(), line });
        }
        known.push((Sha256::digest(token).into(), map.cloned()));
    }
    if known.is_empty() { Err(TokensError::None(path.to_owned())) } else { Ok(known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens, TokensError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        let map = Map::new(&Default::default()).expect("an empty map");
        let maps = [("warehouse".to_owned(), Arc::new(map))].into();
        Tokens::read(file.path(), "serve.tokens_file", maps)
    }

    #[test]
    fn each_line_but_comments_is_a_token() {
        let both =
            tokens("# of the gateway\nfirst-token-of-two\n\n  second-token-of-two==\r\n").expect("two");
        assert!(both.find(b"first-token-of-two").is_some() && both.find(b"second-token-of-two==").is_some());
        for stranger in
            ["", "# of the gateway", "first-token-of-tw", "first-token-of-two ", "FIRST-TOKEN-OF-TWO"]
        {
            assert!(both.find(stranger.as_bytes()).is_none(), "{stranger:?}");
        }
    }

    #[test]
    fn a_token_may_name_a_map_of_the_configuration() {
        let both = tokens("first-token-of-two\nsecond-token-of-two  map=warehouse\n").expect("two");
        let has_map = |token: &[u8]| both.find(token).expect("a token").is_some();
        assert!(!has_map(b"first-token-of-two") && has_map(b"second-token-of-two"));
        for line in ["first-token-of-two map=other", "first-token-of-two warehouse"] {
            assert!(matches!(tokens(line), Err(TokensError::NoMap { line: 1, .. })), "{line}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_token() {
        assert!(tokens("\u{feff}first-token-of-two\r\n").expect("one").find(b"first-token-of-two").is_some());
    }

    #[test]
    fn a_file_that_lets_nobody_in_or_anybody_is_refused() {
        assert!(matches!(tokens("# none yet\n"), Err(TokensError::None(_))));
        assert!(matches!(
            tokens("a-good-long-token-it-is\nshort\n"),
            Err(TokensError::NotAToken { line: 2, .. })
        ));
        assert!(matches!(tokens("a token with blanks in it\n"), Err(TokensError::NotAToken { line: 1, .. })));
        assert!(matches!(
            Tokens::read(Path::new("/nowhere"), "serve.tokens_file", Maps::new()),
            Err(TokensError::Unreadable { .. })
        ));
    }
}
