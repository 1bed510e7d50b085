//! Makes self-contained HTML documents: one file, nothing that a browser must fetch, and no script but one of our own.
//!
//! - In: markup, in which `maud` has escaped every text. Out: a document in which no text can change the direction of
//!   the text after it.
//! - Guarantees: a document's policy forbids requests and scripts; a live one may run one script, which asks its host.
//! - Does not know: what the pages say.

use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::harmless::is_harmful;

/// What a document may use: its own styles, and pictures that are embedded in it. If a mistake of ours let text of an
/// event become markup, the browser would still load and run nothing from it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// A whole document. `title` is plain text, `style` a style sheet of this program. Harmful letters become
/// replacement characters, except line feeds.
pub fn document(title: &str, style: &str, body: &Markup) -> String {
    whole(title, style, POLICY, &html! {}, body)
}

/// A document that brings itself up to date by this one script of this program, which may ask its own host only.
pub fn live_document(title: &str, style: &str, script: &'static str, body: &Markup) -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(script));
    let policy = format!("{POLICY}; script-src 'sha256-{digest}'; connect-src 'self'");
    whole(title, style, &policy, &html! { script { (PreEscaped(script)) } }, body)
}

fn whole(title: &str, style: &str, policy: &str, script: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                // The empty icon keeps browsers from asking for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) (script) }
        }
    };
    page.into_string().replace(|letter| is_harmful(letter) && letter != '\n', "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        for (text, expected) in [
            ("plain", "plain"),
            ("</td><script>x('&')</script>", "&lt;/td&gt;&lt;script&gt;x('&amp;')&lt;/script&gt;"),
            ("a\" onload=\"b", "a&quot; onload=&quot;b"),
            ("a\0b\nc\u{85}d", "a\u{FFFD}b\nc\u{FFFD}d"),
            ("a\u{2028}b\u{2029}", "a\u{FFFD}b\u{FFFD}"),
            ("12\u{202E}34\u{2066}", "12\u{FFFD}34\u{FFFD}"),
            ("日本 é 😀", "日本 é 😀"),
        ] {
            let page = document(text, "", &html! { p title=(text) { (text) } });
            assert!(page.contains(&format!("<p title=\"{expected}\">{expected}</p>")), "{page}");
            assert!(page.contains(&format!("<title>{expected}</title>")), "{page}");
        }
    }

    #[test]
    fn a_document_forbids_what_it_does_not_need() {
        let page = document("a < b", "p{color:red}\n", &html! { p { "x" } });
        assert!(page.contains("<title>a &lt; b</title>"));
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:;"));
    }
}
