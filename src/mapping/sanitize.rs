//! Makes a hostile text fit for a hit: no value of an event can break the document, add a tag or be cut by Adobe.
//!
//! ```text
//! U+0000-001F except tab, line feed and return; U+FFFE, U+FFFF   dropped: XML 1.0 cannot carry them
//! tab, line feed, return, U+007F-009F                            become a space each: they corrupt exports
//! white space at the ends                                        trimmed
//! D= at the start                                                becomes D =, which names no variable
//! more bytes than Adobe stores                                   cut before the first character that does not fit
//! ```

use std::borrow::Cow;

use super::Note;
use crate::event::Property;

/// The text as a hit can carry it, in at most `bytes_max` bytes; `None` when nothing is left of it.
pub(super) fn clean<'a>(
    text: &'a str,
    property: Property,
    bytes_max: usize,
    notes: &mut Vec<Note>,
) -> Option<Cow<'a, str>> {
    if is_plain(text.as_bytes(), bytes_max) {
        return Some(Cow::Borrowed(text));
    }
    let text = narrow(carried(text, property, notes), str::trim);
    if text.is_empty() {
        notes.push(Note::Blank { property });
        return None;
    }
    // This comes after trimming: white space before `D=` would hide it here, and Adobe would trim that white space.
    let text = match text.strip_prefix("D=") {
        Some(name) => {
            notes.push(Note::DynamicVariableBroken { property });
            Cow::Owned(format!("D ={name}"))
        }
        None => text,
    };
    if text.len() <= bytes_max {
        return Some(text);
    }
    notes.push(Note::ValueCut { property, bytes: text.len() });
    Some(narrow(text, |text| text[..boundary_at_or_before(text, bytes_max)].trim_end()))
}

/// Whether a text can be sent unchanged: short, printable ASCII, no space at its ends, no `D=`. Most can.
fn is_plain(text: &[u8], bytes_max: usize) -> bool {
    let ([first, ..], [.., last]) = (text, text) else { return false };
    text.len() <= bytes_max
        && *first != b' '
        && *last != b' '
        && !text.starts_with(b"D=")
        // There is no early exit, so that this compiles to a few vector instructions.
        && !text.iter().fold(false, |odd, byte| odd | !matches!(byte, b' '..=b'~'))
}

fn becomes_space(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}')
}

fn is_dropped(character: char) -> bool {
    matches!(character, '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') && !becomes_space(character)
}

/// The text without the characters that XML cannot carry, and with spaces in the place of control characters.
fn carried<'a>(text: &'a str, property: Property, notes: &mut Vec<Note>) -> Cow<'a, str> {
    let dropped = text.chars().filter(|character| is_dropped(*character)).count();
    let replaced = text.chars().filter(|character| becomes_space(*character)).count();
    if dropped > 0 {
        notes.push(Note::CharactersDropped { property, characters: dropped });
    }
    if replaced > 0 {
        notes.push(Note::ControlsReplaced { property, characters: replaced });
    }
    if dropped + replaced == 0 {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().filter(|character| !is_dropped(*character));
    kept.map(|character| if becomes_space(character) { ' ' } else { character }).collect()
}

/// A part of the text, which is not copied if the text is borrowed.
fn narrow<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

fn boundary_at_or_before(text: &str, bytes: usize) -> usize {
    (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> (Option<String>, Vec<Note>) {
        let mut notes = Vec::new();
        let clean = clean(text, Property::Mvpd, 12, &mut notes).map(Cow::into_owned);
        (clean, notes)
    }

    #[test]
    fn each_damage_is_mended_and_told() {
        let property = Property::Mvpd;
        let dropped = |characters| Note::CharactersDropped { property, characters };
        let replaced = |characters| Note::ControlsReplaced { property, characters };
        let cut = |bytes| Note::ValueCut { property, bytes };
        let broken = Note::DynamicVariableBroken { property };
        let blank = Note::Blank { property };
        for (text, kept, notes) in [
            ("plain", Some("plain"), vec![]),
            ("ends ", Some("ends"), vec![]),
            ("\u{3000}ends\u{a0}", Some("ends"), vec![]),
            ("Müller 😀", Some("Müller 😀"), vec![]),
            ("a\0b\u{1b}c\u{fffe}\u{ffff}", Some("abc"), vec![dropped(4)]),
            ("a\tb\r\nc\u{7f}d\u{85}", Some("a b  c d"), vec![replaced(5)]),
            ("\u{1}\tx", Some("x"), vec![dropped(1), replaced(1)]),
            ("D=v1", Some("D =v1"), vec![broken]),
            ("D=", Some("D ="), vec![broken]),
            (" \u{2}D=v1", Some("D =v1"), vec![dropped(1), broken]),
            ("d=v1", Some("d=v1"), vec![]),
            ("D =v1", Some("D =v1"), vec![]),
            ("123456789012", Some("123456789012"), vec![]),
            ("1234567890123", Some("123456789012"), vec![cut(13)]),
            ("12345678901é", Some("12345678901"), vec![cut(13)]),
            ("123456789😀", Some("123456789"), vec![cut(13)]),
            ("12345678   90", Some("12345678   9"), vec![cut(13)]),
            ("123456789   0", Some("123456789"), vec![cut(13)]),
            ("D=1234567890", Some("D =123456789"), vec![broken, cut(13)]),
            ("", None, vec![blank]),
            (" \u{2028} ", None, vec![blank]),
            ("\0\u{1}", None, vec![dropped(2), blank]),
            ("\n", None, vec![replaced(1), blank]),
        ] {
            assert_eq!(cleaned(text), (kept.map(str::to_owned), notes), "{text:?}");
        }
    }

    #[test]
    fn what_needs_no_change_is_not_copied() {
        for text in ["plain", "Müller", " ends ", "a long text, cut"] {
            let clean = clean(text, Property::Mvpd, 12, &mut Vec::new());
            assert!(matches!(clean, Some(Cow::Borrowed(_))), "{text}");
        }
    }
}
