//! Values that are given by a word on the command line.

use std::fmt::Debug;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Takes the words of some values, each listed with what it means.
pub(super) fn explained<T, const N: usize>(values: [(T, &'static str); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + FromStr<Err: Debug> + Into<&'static str> + Send + Sync + 'static,
{
    words(values.map(|(value, meaning)| PossibleValue::new(value.into()).help(meaning)))
}

/// Takes one of some words for the value that is written so.
pub(super) fn words<T>(words: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Debug> + Clone + Send + Sync + 'static,
{
    words.into().map(|word| word.parse().expect("only the words of the values are possible"))
}
