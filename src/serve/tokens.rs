//! The bearer tokens of the senders: a file with one token a line, which is read again when it changes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

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
    #[error("cannot read the tokens of serve.tokens_file in {path:?}")]
    Unreadable { path: PathBuf, source: io::Error },
    /// A line is no token. The message does not quote the line.
    #[error(
        "{path:?} has no token in line {line}: one is at least {TOKEN_CHARACTERS_MIN} letters, digits or -._~+/="
    )]
    NotAToken { path: PathBuf, line: usize },
    #[error("{0:?} has no token: nobody could be let in")]
    None(PathBuf),
}

#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Digests of the tokens, so that the comparison takes the same time for tokens of any length.
    digests: Vec<[u8; 32]>,
    /// Identifies the version of the file that was read last, valid or not; `None` if there was no file.
    stamp: Option<Stamp>,
    looked_at: Instant,
    /// The reason why all senders are refused, and the time of the last log line about it.
    problem: Option<(TokensError, Option<Instant>)>,
}

/// Values that change when the file changes: its inode, its length, and the time of its last change.
type Stamp = [i64; 4];

impl Tokens {
    pub(super) fn read(path: &Path) -> Result<Tokens, TokensError> {
        let stamp = stamp(path);
        let state = State { digests: read(path)?, stamp, looked_at: Instant::now(), problem: None };
        Ok(Tokens { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Tells if this is one of the tokens. Takes the same time for every token, known or unknown.
    pub(super) fn has(&self, token: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(token).into();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() >= LOOK_EVERY {
            self.look(&mut state);
        }
        let found =
            state.digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&presented));
        found.into()
    }

    pub(super) fn look_now(&self) {
        self.look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the file again if it has changed. If it is missing, empty or wrong, all senders are refused: otherwise a
    /// mistake in the file would keep a removed token valid.
    fn look(&self, state: &mut State) {
        let now = Instant::now();
        state.looked_at = now;
        let stamp = stamp(&self.path);
        if stamp.is_none() || stamp != state.stamp {
            state.stamp = stamp;
            match read(&self.path) {
                Ok(digests) => {
                    tracing::info!(tokens = digests.len(), "the tokens have changed");
                    (state.digests, state.problem) = (digests, None);
                }
                Err(error) => {
                    state.digests.clear();
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
            tracing::error!(error, "nobody is let in until serve.tokens_file is mended");
            *told_at = Some(now);
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let (inode, bytes) = (metadata.ino().cast_signed(), metadata.len().cast_signed());
    Some([inode, bytes, metadata.ctime(), metadata.ctime_nsec()])
}

fn read(path: &Path) -> Result<Vec<[u8; 32]>, TokensError> {
    let unreadable = |source| TokensError::Unreadable { path: path.to_owned(), source };
    warn_if_open(path);
    let text = read_secret_text(path).map_err(unreadable)?;
    let mut digests = Vec::new();
    for (line, token) in (1..).zip(text.lines().map(str::trim)) {
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        // RFC 6750, section 2.1, allows these characters in a token.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.len() < TOKEN_CHARACTERS_MIN || !token.bytes().all(is_allowed) {
            return Err(TokensError::NotAToken { path: path.to_owned(), line });
        }
        digests.push(Sha256::digest(token).into());
    }
    if digests.is_empty() { Err(TokensError::None(path.to_owned())) } else { Ok(digests) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens, TokensError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        Tokens::read(file.path())
    }

    #[test]
    fn each_line_but_comments_is_a_token() {
        let both =
            tokens("# of the gateway\nfirst-token-of-two\n\n  second-token-of-two==\r\n").expect("two");
        assert!(both.has(b"first-token-of-two") && both.has(b"second-token-of-two=="));
        for stranger in
            ["", "# of the gateway", "first-token-of-tw", "first-token-of-two ", "FIRST-TOKEN-OF-TWO"]
        {
            assert!(!both.has(stranger.as_bytes()), "{stranger:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_token() {
        assert!(tokens("\u{feff}first-token-of-two\r\n").expect("one").has(b"first-token-of-two"));
    }

    #[test]
    fn a_file_that_lets_nobody_in_or_anybody_is_refused() {
        assert!(matches!(tokens("# none yet\n"), Err(TokensError::None(_))));
        assert!(matches!(
            tokens("a-good-long-token-it-is\nshort\n"),
            Err(TokensError::NotAToken { line: 2, .. })
        ));
        assert!(matches!(tokens("a token with blanks in it\n"), Err(TokensError::NotAToken { line: 1, .. })));
        assert!(matches!(Tokens::read(Path::new("/nowhere")), Err(TokensError::Unreadable { .. })));
    }
}
