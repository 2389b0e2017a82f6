//! Identifiers that are used in paths.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::InvalidInput;
use crate::text::quote;

/// The only limit of the schema on an identifier: `maxLength: 32`.
///
/// Source: the API reference of every operation under `/zones/{zone_id}`, October 2026. It defines no minimum length
/// and no character set.
pub const MAX_ID_CHARS: usize = 32;

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident, $noun:literal;)*) => {$(
        $(#[$meta])*
        ///
        /// - 1 to [`MAX_ID_CHARS`] characters.
        /// - Only ASCII letters, digits, `-` and `_`, so that it cannot change the path that contains it. The API
        ///   documents no character set; real ids are hex digits.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses an id as shown by the dashboard and the API.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`] if it is empty, too long, or contains a character that would change the path.
            pub fn parse(text: &str) -> Result<Self, InvalidInput> {
                check($noun, text).map(|()| Self(text.to_owned()))
            }

            /// The id as given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// The id of a zone, as in `/zones/{zone_id}/…`.
    ZoneId, "a zone id";
    /// The id of an environment of a zone: what `GET /zones/{zone_id}/environments` calls `ref`.
    EnvironmentId, "an environment id";
    /// The id of an account, as in `/accounts/{account_id}/…`.
    AccountId, "an account id";
}

fn check(noun: &str, text: &str) -> Result<(), InvalidInput> {
    if text.is_empty() {
        return Err(InvalidInput::new(format!("{noun} must not be empty")));
    }
    // Checked first, and without showing the text: a token that was given by mistake is longer than any id.
    let chars = text.chars().count();
    if chars > MAX_ID_CHARS {
        return Err(InvalidInput::new(format!(
            "not {noun}: it has {chars} characters, and at most {MAX_ID_CHARS} are allowed"
        )));
    }
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if let Some((index, char)) = text.chars().enumerate().find(|(_, char)| !is_plain(*char)) {
        return Err(InvalidInput::new(format!(
            "{} is not {noun}: {char:?} at character {} is not a letter, digit, `-` or `_`",
            quote(text),
            index + 1
        )));
    }
    Ok(())
}
