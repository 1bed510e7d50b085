//! Recognises an input that the caller gave in a wrong form: packed or encoded in another way, or one document
//! instead of lines. Otherwise each line would be rejected for a reason that does not help.

use super::error::InputError;
use super::unpack::Packing;
use crate::readers::{BYTE_ORDER_MARK, Format, guess, stranger, wide_encoding};

/// The bytes after a byte order mark, if there is one.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The first byte that is not white space, a byte order mark, a zero byte or a record separator.
pub(super) fn first_letter(start: &[u8]) -> Option<u8> {
    // An incomplete byte order mark is no letter.
    if BYTE_ORDER_MARK.starts_with(start) {
        return None;
    }
    without_mark(start).iter().copied().find(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0 | 0x1E))
}

/// Says why these bytes are no text: they are packed, have another encoding, or are zeros.
pub(super) fn why_no_text(start: &[u8]) -> Option<String> {
    if first_letter(start).is_none() && start.contains(&0) {
        return Some(InputError::OnlyZeros.to_string());
    }
    if let Some(packing) = Packing::of(start) {
        let name = packing.name();
        return Some(format!(
            "is {name}: send its events plain; by HTTP gzip is taken too, and by files Zstandard"
        ));
    }
    let wide = || wide_encoding(start).map(|name| InputError::Encoding(name).to_string());
    stranger(start).map(str::to_owned).or_else(wide)
}

/// Says what the input is if no line could be read. `is_all` means that `start` is the whole input.
pub(super) fn why_no_lines(start: &[u8], is_all: bool) -> Option<String> {
    if first_letter(start) == Some(b'[') {
        let why = "is one JSON list; one object per line is taken here, as jq -c '.[]' writes them";
        return Some(why.to_owned());
    }
    let format = guess(start, is_all)?.format;
    let what = match format {
        Format::Ndjson | Format::RestV2 => return None,
        Format::Csv => "CSV",
        Format::Har => "an HTTP archive",
        Format::Esm => "a report of ESM",
    };
    let name = format.as_str();
    Some(format!("is {what}: ingest it as a file, with passbridge ingest --format {name} FILE"))
}
