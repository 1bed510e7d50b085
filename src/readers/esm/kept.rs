//! The rows that are remembered of counts: `esm TOTAL BEFORE` of a count, `esm GROUPING` of a requestor's hour.

/// What every row begins with: it tells them from rows that are about a person.
pub const ROW_PREFIX: &str = "esm ";

/// The first word of a row: its total, or its grouping.
pub(super) fn first_word(row: &str) -> Option<&str> {
    row.strip_prefix(ROW_PREFIX)?.split(' ').next()
}

/// Whether a row of ours still follows from what is stored. Two ingests of one hour's counts may have read the same total before
/// either stored its own: the second would count what the first did again. A total says what it was before, and the grouping
/// of an hour never changes.
pub fn follows_from(row: &str, stored: Option<&str>) -> bool {
    let known = stored.and_then(first_word);
    match row.split(' ').collect::<Vec<_>>()[..] {
        [_, _, before] => known.unwrap_or("0") == before,
        _ => known.is_none() || known == first_word(row),
    }
}
