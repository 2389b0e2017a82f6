//! The traits of validated text types: parsing, formatting and serialization.

use alloc::string::{String, ToString as _};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::InvalidInput;
use crate::id::{AccountId, EnvironmentId, ZoneId};
use crate::target::{File, Host, Prefix, PurgeUrl, Tag};

macro_rules! text_traits {
    ($($name:ident;)*) => {$(
        impl FromStr for $name {
            type Err = InvalidInput;

            fn from_str(text: &str) -> Result<Self, InvalidInput> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidInput;

            fn try_from(text: String) -> Result<Self, InvalidInput> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_traits! {
    ZoneId;
    EnvironmentId;
    AccountId;
    PurgeUrl;
    File;
    Tag;
    Host;
    Prefix;
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;
    use core::fmt;

    use super::*;

    #[test]
    fn text_types_round_trip_through_all_traits() {
        fn round<T>(text: &str)
        where
            T: FromStr
                + TryFrom<String>
                + fmt::Display
                + Serialize
                + for<'de> Deserialize<'de>
                + Into<String>,
            <T as FromStr>::Err: fmt::Debug,
        {
            let value: T = text.parse().unwrap();
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            let again: T = serde_json::from_str(&json).unwrap();
            assert_eq!((again.to_string(), value.into()), (text.to_owned(), text.to_owned()));
            assert!(T::try_from(String::new()).is_err() && serde_json::from_str::<T>("\"\"").is_err());
        }
        round::<ZoneId>("023e105f4ecef8ad9ca31a8372d0c353");
        round::<EnvironmentId>("abc");
        round::<AccountId>("abc");
        round::<PurgeUrl>("https://www.example.com/a");
        round::<File>("https://www.example.com/a");
        round::<File>(r#"{"url":"https://www.example.com/a","headers":{"CF-Device-Type":"mobile"}}"#);
        round::<Tag>("release-42");
        round::<Host>("www.example.com");
        round::<Prefix>("www.example.com/blog");
    }
}
