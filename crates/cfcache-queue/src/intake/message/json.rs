//! Parses JSON one level at a time, so that every invalid part can be reported, and not only the first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::intake::message::MAX_ITEMS;

/// The maximum number of fields of one object, to limit the work.
const MAX_FIELDS: usize = 64;

/// The pairs of an object, including duplicate names.
pub(super) struct ObjectPairs<'j>(pub(super) Vec<(String, &'j RawValue)>);

/// The elements of an array.
pub(super) enum Elements<'j> {
    All(Vec<&'j RawValue>),
    /// There are more than [`MAX_ITEMS`].
    TooMany,
}

impl<'de> Deserialize<'de> for ObjectPairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = ObjectPairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectPairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    if pairs.len() == MAX_FIELDS {
                        return Err(A::Error::custom(format_args!("it has more than {MAX_FIELDS} fields")));
                    }
                    pairs.push(pair);
                }
                Ok(ObjectPairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = array.next_element()? {
                    if elements.len() == MAX_ITEMS {
                        while array.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Elements::TooMany);
                    }
                    elements.push(element);
                }
                Ok(Elements::All(elements))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
