//! Recognises a name that means the sum of all others.

use unicode_normalization::UnicodeNormalization;

/// What spreadsheets and pivot tables call a record that sums up others, as [`plain`] writes it.
const TOTALS: &str = "total|totals|grand total|grand totals|subtotal|sub total|overall|sum|all|insgesamt|gesamt|ergebnis|\
     gesamtergebnis|gesamtsumme|summe|total general|total général|sous total|somme|totale|totale complessivo|total geral|totaal|\
     eindtotaal|totalsumma|toplam|genel toplam|suma końcowa|razem|общий итог|итого|合计|总计|合計|総計|小計|σ";
/// The longest name of a total, in bytes: room for the longest word of [`TOTALS`] and the longest ID of a requestor.
const TOTAL_BYTES_MAX: usize = 200;

/// A name in small letters, without signs and without a number in brackets at its end.
pub(super) fn plain(text: &str) -> String {
    let numbered = text.strip_suffix([')', ']']).and_then(|text| text.rsplit_once(['(', '[']));
    let is_number = |(_, digits): &(&str, &str)| digits.bytes().all(|digit| digit.is_ascii_digit());
    let text = numbered.filter(is_number).map_or(text, |(text, _)| text);
    let small = text.nfkc().flat_map(char::to_lowercase);
    let letters: String = small.map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a name is a word for the sum of all others.
pub(super) fn is_total(name: &str) -> bool {
    total_of(name).is_some_and(|of| of.is_empty())
}

/// Of what a name says that it is the total; empty if it is a word for a total alone. `None` if it is no such name.
pub(super) fn total_of(text: &str) -> Option<String> {
    if text.len() > TOTAL_BYTES_MAX {
        return None;
    }
    if ["*", "∑"].contains(&text) {
        return Some(String::new());
    }
    let text = plain(text);
    let rest = |word: &str| {
        let rest =
            text.strip_suffix(word).map(|rest| rest.strip_suffix(' ').or(rest.is_empty().then_some("")));
        let behind = || Some(text.strip_prefix(word)?.strip_prefix(' '));
        rest.flatten().or_else(|| behind().flatten()).map(str::to_owned)
    };
    // The longest word counts: of "sous total" the rest is no requestor.
    TOTALS.split('|').filter_map(rest).min_by_key(String::len)
}
