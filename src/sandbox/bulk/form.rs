//! The form of an upload: multipart/form-data (RFC 7578), of which one field is wanted.

use bytes::Bytes;
use memchr::memmem;

/// The file of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilePart {
    /// The name that the client has given it; empty where it gave none.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// Why there is no file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("the content type is {0:?}, not multipart/form-data with a boundary")]
    ContentType(String),
    #[error("the form is broken off or has no boundary")]
    Broken,
    #[error("the form has no field 'file'")]
    NoFile,
}

/// The field `file` of a form.
pub(super) fn file_of(content_type: &str, body: &Bytes) -> Result<FilePart, FormError> {
    let refused = || FormError::ContentType(content_type.to_owned());
    let boundary = boundary_of(content_type).ok_or_else(refused)?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter may stand at the very beginning, without its line end.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        memmem::find(body, delimiter.as_bytes()).ok_or(FormError::Broken)? + delimiter.len()
    };
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Err(FormError::NoFile);
        }
        // A part without headers has nothing between the line end of its delimiter and the empty line.
        let head_length = memmem::find(rest, b"\r\n\r\n").ok_or(FormError::Broken)?;
        let start = at + head_length + 4;
        let length = memmem::find(&body[start..], delimiter.as_bytes()).ok_or(FormError::Broken)?;
        let disposition = disposition_of(&String::from_utf8_lossy(&rest[..head_length]));
        if parameter(&disposition, "name").as_deref() == Some("file") {
            let name = parameter(&disposition, "filename").unwrap_or_default();
            return Ok(FilePart { name, bytes: body.slice(start..start + length) });
        }
        at = start + length + delimiter.len();
    }
}

fn boundary_of(content_type: &str) -> Option<String> {
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())
}

/// The value of the header Content-Disposition; empty where there is none.
fn disposition_of(head: &str) -> String {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    named.map(|(_, value)| value.trim().to_owned()).next().unwrap_or_default()
}

/// A parameter of a header, without its quotes. No semicolon stands in those that we ask for.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let is_it = key.trim().eq_ignore_ascii_case(name);
        is_it.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    fn read(content_type: &str, body: &str) -> Result<(String, String), FormError> {
        file_of(content_type, &Bytes::copy_from_slice(body.as_bytes()))
            .map(|file| (file.name, String::from_utf8_lossy(&file.bytes).into_owned()))
    }

    #[test]
    fn the_file_is_found_among_other_fields() {
        let body = "--x-1\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\na\r\n--x-1\r\n\
            content-type: application/gzip\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.gz\"\r\n\r\n\
            b\r\n--x-\r\nc\r\n--x-1--\r\n";
        let file = ("a.gz".to_owned(), "b\r\n--x-\r\nc".to_owned());
        assert_eq!(read(TYPE, body), Ok(file.clone()));
        assert_eq!(read("Multipart/Form-Data;boundary=x-1", &format!("preamble\r\n{body}")), Ok(file));
    }

    #[test]
    fn what_is_no_such_form_says_why() {
        let body = "--x-1\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\na\r\n--x-1--\r\n";
        assert_eq!(read(TYPE, body), Err(FormError::NoFile));
        assert_eq!(read(TYPE, &body[..body.len() - 10]), Err(FormError::Broken));
        assert_eq!(read(TYPE, "a"), Err(FormError::Broken));
        assert_eq!(read(TYPE, ""), Err(FormError::Broken));
        for content_type in ["", "application/gzip", "multipart/form-data", "multipart/form-data; boundary="]
        {
            assert_eq!(read(content_type, body), Err(FormError::ContentType(content_type.to_owned())));
        }
    }
}
