//! Writes CSV as in RFC 4180, but with line feeds. All CSV tables of passbridge are written here.

use std::borrow::Cow;

use crate::harmless::escaped;

/// Appends a row.
pub fn csv_row<C: AsRef<str>>(cells: impl IntoIterator<Item = C>, file: &mut Vec<u8>) {
    for (index, value) in cells.into_iter().enumerate() {
        if index > 0 {
            file.push(b',');
        }
        cell(value.as_ref(), file);
    }
    file.push(b'\n');
}

/// A value from outside, made safe for a file that a terminal may show or a spreadsheet open. Harmful letters are
/// escaped. A value that a spreadsheet would run as a formula gets an apostrophe in front; a dash alone is no formula.
pub fn safe_value(value: &str) -> Cow<'_, str> {
    let value = escaped(value);
    let is_formula = value != "-" && value.starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{value}").into() } else { value }
}

/// Appends a value, in quotes if it needs them, with its own quotes doubled.
pub(super) fn cell(value: &str, file: &mut Vec<u8>) {
    if !value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        file.extend_from_slice(value.as_bytes());
        return;
    }
    file.push(b'"');
    for part in value.split_inclusive('"') {
        file.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            file.push(b'"');
        }
    }
    file.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values_and_formulas_become_text() {
        let mut file = Vec::new();
        csv_row(["a", "", "One, \"two\"", "x\ny"], &mut file);
        assert_eq!(String::from_utf8(file).expect("UTF-8"), "a,,\"One, \"\"two\"\"\",\"x\ny\"\n");
        for (value, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("-", "-"),
            ("a=1", "a=1"),
            ("=\u{2028}\u{202e}1", "'=\\u2028\\u202e1"),
        ] {
            assert_eq!(safe_value(value), written);
        }
    }
}
