//! The request body of purge and invalidate, for zones and environments.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::InvalidInput;
use crate::endpoint::Cost;
use crate::plan::Batch;
use crate::target::file::RawObject;
use crate::target::{File, Kind, PurgeUrl, Target};
use crate::text::quote;

/// What to purge or invalidate: everything, or a batch of targets of one kind.
///
/// It is encoded as the API documents it, in compact JSON:
///
/// | body | bytes |
/// |---|---|
/// | everything | `{"purge_everything":true}` |
/// | URLs | `{"files":["https://…"]}` |
/// | URLs of which one has cache-key headers | `{"files":[{"url":"https://…","headers":{"CF-IPCountry":"US"}}]}` |
/// | tags, hosts, prefixes | `{"tags":["…"]}`, `{"hosts":["…"]}`, `{"prefixes":["…"]}` |
///
/// Source: <https://developers.cloudflare.com/api/resources/cache/methods/purge/>, 2026-10. The field for invalidating
/// everything is `purge_everything` too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a body is everything or it is a list")]
pub enum PurgeBody {
    /// Every file of the zone or environment. On a zone this clears *all* of its environments.
    Everything,
    /// Some files.
    Batch(Batch),
}

impl PurgeBody {
    /// Creates a body from targets of one kind, in the given order.
    ///
    /// This checks no limits; [`Planner`](crate::plan::Planner) does.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is no target (which does not mean "everything"), or if the kinds differ.
    pub fn from_targets<T: Into<Target>>(targets: impl IntoIterator<Item = T>) -> Result<Self, InvalidInput> {
        Batch::from_targets(targets.into_iter().map(Into::into)).map(Self::Batch)
    }

    /// The name of the body's only field: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Everything => "purge_everything",
            Self::Batch(batch) => batch.kind().field(),
        }
    }

    /// The cost of the request in the purge limits.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::Batch(batch) => Cost::new(batch.kind(), batch.len()),
            Self::Everything => Cost::Flexible,
        }
    }

    /// The encoded body.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Writing strings to memory cannot fail.
        self.plain_json().unwrap_or_else(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// Encodes a list of strings that need no escapes, which is almost every list, by copying them.
    fn plain_json(&self) -> Option<String> {
        let Self::Batch(batch) = self else { return None };
        let (beginning, joint) = (["{\"", self.field(), "\":[\""].concat(), "\",\"");
        let bytes = batch.string_bytes() + batch.len() * ",".len();
        let mut json = String::with_capacity(beginning.len() + bytes + "]}".len());
        json.push_str(&beginning);
        for target in batch.targets() {
            json.push_str(target.unescaped()?);
            json.push_str(joint);
        }
        json.truncate(json.len() - ",\"".len());
        json.push_str("]}");
        Some(json)
    }
}

impl From<Batch> for PurgeBody {
    fn from(batch: Batch) -> Self {
        Self::Batch(batch)
    }
}

impl Serialize for PurgeBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Everything => map.serialize_entry(self.field(), &true)?,
            Self::Batch(batch) => map.serialize_entry(self.field(), batch)?,
        }
        map.end()
    }
}

/// The allowed fields, for messages.
const FIELDS: &str = "one of `purge_everything`, `files`, `tags`, `hosts`, `prefixes`";

impl<'de> Deserialize<'de> for PurgeBody {
    /// Parses a body strictly, as a server should: exactly one field, `purge_everything` only `true`, no empty list,
    /// and every entry valid.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;
        impl<'de> Visitor<'de> for Body {
            type Value = PurgeBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with {FIELDS}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PurgeBody, A::Error> {
                let field: String = map.next_key()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let body = match Kind::ALL.iter().find(|kind| kind.field() == field) {
                    Some(kind) => {
                        let entries: Vec<RawEntry> = map.next_value()?;
                        let mut targets = Vec::with_capacity(entries.len());
                        for (index, entry) in entries.into_iter().enumerate() {
                            let number = index + 1;
                            let wrong = |error| A::Error::custom(format_args!("entry {number}: {error}"));
                            targets.push(entry.parse(*kind).map_err(wrong)?);
                        }
                        PurgeBody::from_targets(targets).map_err(A::Error::custom)?
                    }
                    None if field == "purge_everything" => {
                        if map.next_value()? {
                            PurgeBody::Everything
                        } else {
                            return Err(A::Error::invalid_value(Unexpected::Bool(false), &"true"));
                        }
                    }
                    None => {
                        let field = quote(&field);
                        return Err(A::Error::custom(format_args!(
                            "unknown field {field}, expected {FIELDS}"
                        )));
                    }
                };
                match map.next_key::<String>()? {
                    None => Ok(body),
                    Some(second) => Err(A::Error::custom(format_args!(
                        "{} beside `{field}`: a body has one field",
                        quote(&second)
                    ))),
                }
            }
        }
        deserializer.deserialize_map(Body)
    }
}

/// An entry of a list in a body.
enum RawEntry {
    Text(String),
    Object(RawObject),
}

impl<'de> Deserialize<'de> for RawEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = RawEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or an object with `url` and `headers`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawEntry, E> {
                Ok(RawEntry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawEntry, A::Error> {
                RawObject::deserialize(MapAccessDeserializer::new(map)).map(RawEntry::Object)
            }
        }
        deserializer.deserialize_any(EntryVisitor)
    }
}

impl RawEntry {
    fn parse(self, kind: Kind) -> Result<Target, InvalidInput> {
        match self {
            // A string in `files` is a URL, never the JSON of an object.
            Self::Text(text) if kind == Kind::Files => Ok(File::from(PurgeUrl::parse(&text)?).into()),
            Self::Text(text) => Target::parse(kind, &text),
            Self::Object(object) if kind == Kind::Files => Ok(File::from_object(object, "{…}")?.into()),
            Self::Object(_) => {
                Err(InvalidInput::new(alloc::format!("an object in `{}`, which takes strings", kind.field())))
            }
        }
    }
}
