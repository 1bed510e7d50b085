//! Letters of text from outside that do harm where the text is shown: in a terminal, a log, a page or a table.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a letter steers a terminal (C0 and C1 controls), ends a line unseen (U+2028, U+2029), or is an embedding,
/// override, isolate or mark of the Unicode Bidirectional Algorithm, which turns the direction of the text after it.
pub fn is_harmful(letter: char) -> bool {
    let turns_direction = matches!(letter, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') || turns_direction
}

/// The text with its harmful letters written as `\uXXXX`, which JSON reads back. Line feeds and tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |letter| is_harmful(letter) && letter != '\n' && letter != '\t')
}

/// The text on one line: its line feeds and tabs are escaped too.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_escaped(letter) {
            write!(out, "\\u{:04x}", u32::from(letter)).expect("a String takes all");
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_text_is_escaped_and_lines_stay() {
        for (text, expected) in [
            ("plain ä 中\n\t", "plain ä 中\n\t"),
            ("a\u{1b}[31mb\r", "a\\u001b[31mb\\u000d"),
            ("a\u{9b}31m\u{85}", "a\\u009b31m\\u0085"),
            ("a\u{2028}b\u{2029}", "a\\u2028b\\u2029"),
            ("\u{202e}cod\u{2066}\u{200f}", "\\u202ecod\\u2066\\u200f"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(on_one_line("a\nb"), "a\\u000ab");
    }
}
