//! Text and documents of HTML that stand for themselves: one file, no script, nothing that is fetched.
//!
//! - In: text of any origin. Out: text that can neither end an element or an attribute nor turn the direction of what follows it.
//! - Guarantees: a document forbids every request and every script by its own policy.
//! - Does not know: what the pages say.

/// What a document may use: its own styles, and pictures that are spelt out in it. So a browser refuses everything that text of an
/// event could have brought in, even if a mistake of ours let it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// A whole document from the title as plain text, a style sheet of ours, and the markup of its body.
pub fn document(title: &str, style: &str, body: &str) -> String {
    let title = escaped(title);
    // The empty icon keeps browsers from asking for one.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n"
    )
}

/// Text for an element or a quoted attribute. Control characters, and those that change the direction of the text around them,
/// become replacement characters.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() || turns_direction(letter) => out.push(char::REPLACEMENT_CHARACTER),
            letter => out.push(letter),
        }
    }
    out
}

/// Embeddings, overrides, isolates and marks of the Unicode Bidirectional Algorithm.
pub fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        for (text, expected) in [
            ("plain", "plain"),
            ("</td><script>x('&')</script>", "&lt;/td&gt;&lt;script&gt;x(&#39;&amp;&#39;)&lt;/script&gt;"),
            ("a\" onload=\"b", "a&quot; onload=&quot;b"),
            ("a\0b\nc\u{85}d", "a\u{FFFD}b\u{FFFD}c\u{FFFD}d"),
            ("12\u{202E}34\u{2066}", "12\u{FFFD}34\u{FFFD}"),
            ("日本 é 😀", "日本 é 😀"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_document_forbids_what_it_does_not_need() {
        let page = document("a < b", "p{color:red}\n", "<p>x</p>\n");
        assert!(page.contains("<title>a &lt; b</title>"));
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:;"));
    }
}
