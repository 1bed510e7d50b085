//! The rows that memory keeps for ESM: `esm TOTAL BEFORE` for a count, `esm GROUPING` for an hour of a requestor.

/// The start of every row for ESM, which distinguishes it from rows about a person.
pub const ROW_PREFIX: &str = "esm ";

/// The first word after the prefix: the total or the grouping.
pub(super) fn first_word(row: &str) -> Option<&str> {
    row.strip_prefix(ROW_PREFIX)?.split(' ').next()
}

/// Whether a row may still replace the stored row. Two ingests of the same hour may read the same total before either
/// stores a new one; the second would then count the increase of the first again. So a row contains the total before
/// it, which must be the stored total. The grouping of an hour never changes.
pub fn follows_from(row: &str, stored: Option<&str>) -> bool {
    let known = stored.and_then(first_word);
    match row.split(' ').collect::<Vec<_>>()[..] {
        [_, _, before] => known.unwrap_or("0") == before,
        _ => known.is_none() || known == first_word(row),
    }
}
