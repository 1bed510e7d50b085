//! Recognises what another encoding, or the escapes of another format, left in a value.

use super::rest_v2::has_escapes;
use crate::event::is_invisible;

/// What the first byte of a letter in UTF-8 becomes if it is read as Latin-1 or Windows-1252, and what the next byte
/// becomes in Windows-1252. In Latin-1 the next byte becomes a sign from U+0080 to U+00BF.
const LATIN_STARTS: &str = "ÂÃÄÅÎÏÐÑâ";
const WINDOWS_SIGNS: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";

/// Whether an identifier has escapes as PostgreSQL's COPY and MySQL's OUTFILE write them: a doubled backslash, or a
/// letter by its number. A single backslash is ordinary (`DOM\ann`), and so is the one before the name of a user
/// (`DOM\tom`). In other identifiers it may begin a tab, a line end or a zero byte.
pub(super) fn has_backslashes(text: &str, is_user: bool) -> bool {
    let is_hex = |digits: &str| digits.len() >= 4 && digits.as_bytes()[..4].iter().all(u8::is_ascii_hexdigit);
    let is_escape = |rest: &str| {
        let is_control = !is_user && rest.starts_with(['t', 'n', 'r', '0']);
        is_control || rest.strip_prefix('u').is_some_and(is_hex)
    };
    text.contains('\\') && (text.contains("\\\\") || text.split('\\').skip(1).any(is_escape))
}

/// What programs put around a value when they print it, or a list that has it alone: what stands before it, a space,
/// and what stands behind it. Bars stand between the pairs.
const WRAPPERS: &str = "\" \"|b' '|b\" \"|Optional( )|Optional[ ]|Some( )|ObjectId( )|[' ']|[\" \"]|\\x ";

/// Whether an identifier is printed in a program's own way (`"u1"`, `Optional[u1]`, `b'u1'`, `dXNlcg%3D%3D`), or has
/// letters that nobody sees.
pub(super) fn is_wrapped(text: &str) -> bool {
    let is_between = |around: &str| {
        around
            .split_once(' ')
            .is_some_and(|(open, close)| text.starts_with(open) && text[open.len()..].ends_with(close))
    };
    let is_hidden =
        |letter: char| is_invisible(letter) || matches!(letter, '\u{ad}' | '\u{202a}'..='\u{202e}');
    // Nearly all identifiers begin with another letter, so that no wrapper is looked for.
    text.starts_with(['"', 'b', 'O', 'S', '[', '\\']) && WRAPPERS.split('|').any(is_between)
        || text.ends_with("%3D")
        || !text.is_ascii() && text.contains(is_hidden)
}

/// Whether a name of an MVPD is written in another way than in plain letters: `Cable%20Co`, `&amp;`, UTF-8 that was read
/// as Latin-1 (`TÃ©lÃ©`), accents apart from their letters, or an apostrophe that a spreadsheet put in front.
pub(super) fn has_leftovers(name: &str) -> bool {
    let is_accent = |letter: char| matches!(letter, '\u{300}'..='\u{36f}');
    let is_latin = |(first, second): (char, char)| {
        let is_sign = matches!(second, '\u{80}'..='\u{bf}') || WINDOWS_SIGNS.contains(second);
        LATIN_STARTS.contains(first) && is_sign
    };
    has_escapes(name)
        || name.starts_with('\'')
        || name.contains(is_accent)
        || name.chars().zip(name.chars().skip(1)).any(is_latin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_dumps_are_known_and_ordinary_backslashes_are_not() {
        for (text, of_user, of_other) in [
            (r"DOM\\ann", true, true),
            (r"\\", true, true),
            (r"J\u00fcrgen", true, true),
            (r"RES\t1", false, true),
            (r"DOM\tom", false, true),
            (r"a\0", false, true),
            (r"DOM\ann", false, false),
            (r"DOM\user", false, false),
            (r"C:\", false, false),
            ("plain", false, false),
        ] {
            assert_eq!(has_backslashes(text, true), of_user, "{text}");
            assert_eq!(has_backslashes(text, false), of_other, "{text}");
        }
    }

    #[test]
    fn names_with_leftovers_of_an_encoding_are_known() {
        for name in
            ["Cable%20Co", "Cable%E9", "TÃ©lÃ©", "Ã‰cole", "Cableco &amp; Sons", "Te\u{301}", "'Cableco"]
        {
            assert!(has_leftovers(name), "{name}");
        }
        for name in ["Cableco", "Télé", "TÉLÉ’s", "AT&T", "100 %", "Cable & Co; Sons", "O'Hara", "日本"]
        {
            assert!(!has_leftovers(name), "{name}");
        }
    }
}
