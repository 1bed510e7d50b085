//! How the numbers of a report are written: for people, in CSV, and exactly as in the JSON document.

use serde::Serialize;

/// Shown for an unknown number, and for a share or ratio that would divide by 0.
pub(super) const NONE: &str = "–";

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Number {
    /// A count. In each variant, `None` means that the number is unknown.
    Count(Option<u64>),
    Difference(Option<i64>),
    /// A share (1 is the whole) or a ratio; `None` also if it would divide by 0.
    Share(Option<f64>),
}

impl Number {
    /// The number in the form for people.
    pub(super) fn text(self) -> String {
        match self {
            Number::Count(Some(count)) => thousands(count),
            Number::Difference(Some(number)) if number < 0 => {
                format!("−{}", thousands(number.unsigned_abs()))
            }
            Number::Difference(Some(number)) => thousands(number.unsigned_abs()),
            Number::Share(Some(share)) => percent(share),
            Number::Count(None) | Number::Difference(None) | Number::Share(None) => NONE.to_owned(),
        }
    }

    /// The number in the digits of the JSON document; empty for `null`.
    pub(super) fn exact(self) -> String {
        let digits = match self {
            Number::Count(count) => count.map(|count| count.to_string()),
            Number::Difference(number) => number.map(|number| number.to_string()),
            Number::Share(share) => share.map(|share| share.to_string()),
        };
        digits.unwrap_or_default()
    }

    /// The number in the digits of CSV, where a share has six decimals.
    pub(super) fn in_csv(self) -> String {
        match self {
            Number::Share(Some(share)) => format!("{share:.6}"),
            Number::Share(None) | Number::Count(_) | Number::Difference(_) => self.exact(),
        }
    }
}

/// Digits in groups of three, as people read them.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent, without a line break. Below 1, it is never shown as 100 %; above 0, it is never shown as 0 %.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 {
        return "< 0.1\u{a0}%".to_owned();
    }
    if (99.95..100.0).contains(&percent) {
        return "> 99.9\u{a0}%".to_owned();
    }
    if (1_000.0..1e15).contains(&percent) {
        return format!("{}\u{a0}%", thousands(percent.round() as u64));
    }
    format!("{percent:.1}\u{a0}%")
}

/// A round number for an axis, in few characters.
pub(super) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")];
    for (unit, name) in UNITS {
        if number >= unit {
            let (whole, tenth) = (number / unit, number % unit / (unit / 10));
            return if tenth == 0 { format!("{whole}{name}") } else { format!("{whole}.{tenth}{name}") };
        }
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_in_groups_and_stay_exact() {
        for (number, text, exact) in [
            (Number::Count(Some(0)), "0", "0"),
            (Number::Count(Some(999)), "999", "999"),
            (Number::Count(Some(1_000)), "1,000", "1000"),
            (Number::Count(Some(12_345_678)), "12,345,678", "12345678"),
            (Number::Count(Some(u64::MAX)), "18,446,744,073,709,551,615", "18446744073709551615"),
            (Number::Difference(Some(1_022)), "1,022", "1022"),
            (Number::Difference(Some(-1_022)), "−1,022", "-1022"),
            (Number::Share(None), NONE, ""),
            (Number::Share(Some(0.524)), "52.4\u{a0}%", "0.524"),
            (Number::Share(Some(1.0 / 3.0)), "33.3\u{a0}%", "0.3333333333333333"),
        ] {
            assert_eq!((number.text().as_str(), number.exact().as_str()), (text, exact));
        }
    }

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        for (share, text) in [
            (0.0, "0.0\u{a0}%"),
            (0.000_1, "< 0.1\u{a0}%"),
            (0.000_6, "0.1\u{a0}%"),
            (0.999_4, "99.9\u{a0}%"),
            (0.999_6, "> 99.9\u{a0}%"),
            (1.0, "100.0\u{a0}%"),
            (1.907_9, "190.8\u{a0}%"),
            (12.345_6, "1,235\u{a0}%"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn an_axis_has_short_numbers() {
        for (number, text) in
            [(0, "0"), (500, "500"), (1_000, "1k"), (1_500, "1.5k"), (20_000, "20k"), (2_500_000, "2.5M")]
        {
            assert_eq!(short(number), text);
        }
    }
}
