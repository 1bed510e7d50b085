//! Values that are given by a word on the command line.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};

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

/// Takes the path of a file or folder to write. It goes to no standard output, which `-` would mean.
pub(super) fn written() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("this cannot go to standard output; name a file, one of this name as ./-"),
        false => Ok(path),
    })
}
