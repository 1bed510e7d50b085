//! Letters of text from outside that do harm where the text is shown: in a terminal, a log, a page or a table.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a letter steers a terminal (C0 and C1 controls), ends a line unseen (U+2028, U+2029), or is not seen itself
/// (Unicode's property `Default_Ignorable_Code_Point`, and the marks of annotations): such a letter makes two names look
/// alike, hides text, or turns the direction of the text after it.
pub fn is_harmful(letter: char) -> bool {
    let is_unseen = matches!(letter, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}')
        || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}')
        || matches!(letter, '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}')
        || matches!(letter, '\u{E0000}'..='\u{E0FFF}');
    letter.is_control() || is_unseen
}

/// The text with its harmful letters written as `\uXXXX`, which JSON reads back. Line feeds and tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |letter| is_harmful(letter) && letter != '\n' && letter != '\t')
}

/// The text on one line: its line feeds and tabs are escaped too.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

/// The start of a text that may be long and hostile, short enough for a message.
pub fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first `most` of these texts, harmless, and how many others there are.
pub fn few(texts: impl IntoIterator<Item = impl AsRef<str>>, most: usize) -> Vec<String> {
    let mut texts = texts.into_iter();
    let first = texts.by_ref().take(most);
    let mut few: Vec<String> = first.map(|text| on_one_line(text.as_ref()).into_owned()).collect();
    let others = texts.count();
    few.extend((others > 0).then(|| format!("and {others} others")));
    few
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_escaped(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a String takes all");
            }
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
    fn what_steers_a_terminal_turns_text_or_is_not_seen_is_escaped_and_lines_stay() {
        for (text, expected) in [
            ("plain ä 中\n\t", "plain ä 中\n\t"),
            ("a\u{1b}[31mb\r", "a\\u001b[31mb\\u000d"),
            ("a\u{9b}31m\u{85}", "a\\u009b31m\\u0085"),
            ("a\u{2028}b\u{2029}", "a\\u2028b\\u2029"),
            ("\u{202e}cod\u{2066}\u{200f}", "\\u202ecod\\u2066\\u200f"),
            ("Cable\u{200b}co\u{200d}\u{2060}\u{feff}\u{ad}", "Cable\\u200bco\\u200d\\u2060\\ufeff\\u00ad"),
            ("a\u{e0041}\u{fe0f}\u{3164}", "a\\udb40\\udc41\\ufe0f\\u3164"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(on_one_line("a\nb"), "a\\u000ab");
    }

    #[test]
    fn a_list_names_a_few_and_counts_the_others_and_a_long_text_is_cut() {
        assert_eq!(few(["a", "b\u{1b}"], 2), ["a", "b\\u001b"]);
        assert_eq!(few(["a", "b", "c", "d"], 2), ["a", "b", "and 2 others"]);
        assert_eq!(clip(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(clip(&"é".repeat(64)), "é".repeat(64));
    }
}
