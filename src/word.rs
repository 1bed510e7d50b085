//! Values that are written as words, with one spelling in JSON, SQL, listings, arguments and the configuration.

/// A text that is not one of the words that a value can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {choices}")]
pub struct UnknownWord {
    pub text: String,
    /// All allowed words.
    pub choices: String,
}

/// Defines enumerations in which each variant has a word.
macro_rules! words {
    ($($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$about])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the declaration.
            $vis const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            $vis fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> &'static str {
                value.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::word::UnknownWord;

            fn from_str(text: &str) -> Result<$name, $crate::word::UnknownWord> {
                let known = $name::ALL.into_iter().find(|value| value.as_str() == text);
                known.ok_or_else(|| $crate::word::UnknownWord {
                    text: text.to_owned(),
                    choices: $name::ALL.map($name::as_str).join(", "),
                })
            }
        }

        $crate::word::serde_as_text!($name);
    )+};
}

/// Serialises a type by its `Display`, and reads it by its `FromStr`.
macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

pub(crate) use {serde_as_text, words};
