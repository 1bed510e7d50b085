//! Cuts names to a length, so that they can still be told apart.

/// Cuts the end of a text that is too long.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Cuts the middle of a text that is too long.
fn cut_inside(text: &str, chars_max: usize) -> String {
    let (chars, tail) = (text.chars().count(), (chars_max - 1) / 2);
    if chars <= chars_max {
        return text.to_owned();
    }
    let head = text.chars().take(chars_max - 1 - tail);
    head.chain(['…']).chain(text.chars().skip(chars - tail)).collect()
}

/// Cuts names at the end, or in the middle if only that keeps a name unique. Keeps a name if neither does.
pub(super) fn cut_apart(names: &[&str], chars_max: usize) -> Vec<String> {
    let ways = [cut, cut_inside]
        .map(|cut| -> Vec<String> { names.iter().map(|name| cut(name, chars_max)).collect() });
    let is_alone =
        |way: &&Vec<String>, index: usize| way.iter().filter(|name| **name == way[index]).count() == 1;
    let named = |(index, name): (usize, &&str)| {
        let way = ways.iter().find(|way| is_alone(way, index));
        way.map_or_else(|| (*name).to_owned(), |way| way[index].clone())
    };
    names.iter().enumerate().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_stay_different() {
        let names = ["Dish", "Comcast Xfinity East", "Comcast Xfinity West", "Another cable company"];
        assert_eq!(cut_apart(&names, 13), ["Dish", "Comcas…y East", "Comcas…y West", "Another cabl…"]);
        assert_eq!(cut("Comcast", 7), "Comcast");
        assert_eq!(cut(&"é".repeat(300), 4), "ééé…");
        let alike = ["Comcast of the East, Xfinity", "Comcast of the West, Xfinity"];
        assert_eq!(cut_apart(&alike, 13), alike);
    }
}
