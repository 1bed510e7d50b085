//! The text of a report in XML, whose declaration may name another encoding than UTF-8.

use crate::harmless::clip;
use crate::readers::lines::BYTE_ORDER_MARK;

/// The text of an XML document. Refuses one that is not UTF-8, and one that has letters beyond ASCII and says that its
/// encoding is another.
pub(super) fn text_of_xml(document: &[u8]) -> Result<&str, String> {
    if let Some(name) = other_encoding(document) {
        return Err(format!(
            "it says that its encoding is {name}: convert it, as iconv -f {name} -t UTF-8 FILE does, and take encoding=... out of its first line"
        ));
    }
    std::str::from_utf8(document).map_err(|error| error.to_string())
}

/// The encoding that the declaration of an XML document names, if it is not UTF-8 and matters for the document.
pub(super) fn other_encoding(document: &[u8]) -> Option<String> {
    let declaration = without_marks(document).trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(declaration, b"?>")?;
    let behind = std::str::from_utf8(&declaration[..end]).ok()?.split_once("encoding")?.1;
    let value = behind.trim_start().strip_prefix('=')?.trim_start();
    let name = value.trim_start_matches(['"', '\'']).split(['"', '\'']).next()?;
    let is_plain = ["utf-8", "utf8", "us-ascii", "ascii"].contains(&&*name.to_ascii_lowercase());
    (!is_plain && !document.is_ascii()).then(|| clip(name))
}

/// The document without a byte order mark and without the `sep=` line of a spreadsheet.
pub(super) fn without_marks(document: &[u8]) -> &[u8] {
    let document = document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document);
    let rest = document
        .strip_prefix(b"sep=")
        .and_then(|rest| rest.get(1..))
        .and_then(|rest| rest.strip_prefix(b"\r").unwrap_or(rest).strip_prefix(b"\n"));
    rest.unwrap_or(document)
}
