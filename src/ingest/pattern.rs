//! Patterns of names, as shells have them.

/// Whether a name fits a pattern: `*` stands for any text, `?` for one byte.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|start| fits(rest, &name[start..])),
        ([b'?', rest @ ..], [_, behind @ ..]) => fits(rest, behind),
        ([letter, rest @ ..], [first, behind @ ..]) if letter == first => fits(rest, behind),
        _ => false,
    }
}
