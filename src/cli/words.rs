//! Parsers of values that are given as a word on the command line.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parses a word to a value; the help explains each word.
pub(super) fn explained<T, const N: usize>(values: [(T, &'static str); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + FromStr<Err: Debug> + Into<&'static str> + Send + Sync + 'static,
{
    words(values.map(|(value, meaning)| PossibleValue::new(value.into()).help(meaning)))
}

/// Parses one of these words to the value with that name.
pub(super) fn words<T>(words: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Debug> + Clone + Send + Sync + 'static,
{
    words.into().map(|word| word.parse().expect("only the words of the values are possible"))
}

/// Parses the path of a file or folder to write. Refuses `-`, because the output cannot go to standard output.
pub(super) fn written() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("this cannot go to standard output; name a file, one of this name as ./-"),
        false => Ok(path),
    })
}
