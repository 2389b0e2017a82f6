//! The one body of purge and invalidate, of a zone and of an environment.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::endpoint::Cost;
use crate::plan::{Batch, InvalidBatch};
use crate::target::{CacheKeyHeader, File, Kind, PurgeUrl, Target, Written};

/// What to purge or invalidate: everything, or a batch of targets of one kind.
///
/// It is written as the API documents it, in compact JSON:
///
/// | body | bytes |
/// |---|---|
/// | everything | `{"purge_everything":true}` |
/// | URLs | `{"files":["https://…"]}` |
/// | URLs of which one has cache-key headers | `{"files":[{"url":"https://…","headers":{"CF-IPCountry":"US"}}]}` |
/// | tags, hosts, prefixes | `{"tags":["…"]}`, `{"hosts":["…"]}`, `{"prefixes":["…"]}` |
///
/// Source: <https://developers.cloudflare.com/api/resources/cache/methods/purge/>, 2026-10. Invalidating everything is
/// written `purge_everything` as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a body is everything or it is a list")]
pub enum PurgeBody {
    /// Every file of the zone or environment. On a zone this clears *all* of its environments.
    Everything,
    /// Some files.
    Batch(Batch),
}

impl PurgeBody {
    /// Puts targets of one kind into a body, in the order given.
    ///
    /// This does not look at any limit; [`Planner`](crate::plan::Planner) does.
    ///
    /// # Errors
    ///
    /// [`InvalidBatch`] where there is no target (which would not mean "everything"), or not all are of one kind.
    pub fn of<T: Into<Target>>(targets: impl IntoIterator<Item = T>) -> Result<Self, InvalidBatch> {
        Batch::of(targets.into_iter().map(Into::into)).map(Self::Batch)
    }

    /// The name of the body's one field: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Everything => "purge_everything",
            Self::Batch(batch) => batch.kind().field(),
        }
    }

    /// What it costs of the purge limits.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::Batch(batch) if batch.kind() == Kind::Files => Cost::Urls(batch.len()),
            Self::Everything | Self::Batch(_) => Cost::Flexible,
        }
    }

    /// The body as it goes over the wire.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Writing strings to memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for PurgeBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Everything => map.serialize_entry(self.field(), &true)?,
            Self::Batch(batch) => map.serialize_entry(self.field(), &Written(batch.targets()))?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PurgeBody {
    /// Reads a body strictly, as a server would like to get it: one field, `purge_everything` only `true`, no empty
    /// list, and every entry one that the newtypes take.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;
        impl<'de> Visitor<'de> for Body {
            type Value = PurgeBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an object with one of `purge_everything`, `files`, `tags`, `hosts` or `prefixes`",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PurgeBody, A::Error> {
                let field: String = map.next_key()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let body = match Kind::ALL.iter().find(|kind| kind.field() == field) {
                    Some(kind) => {
                        let entries: Vec<RawEntry> = map.next_value()?;
                        let targets: Result<Vec<Target>, String> =
                            entries.into_iter().map(|entry| entry.parse(*kind)).collect();
                        PurgeBody::of(targets.map_err(A::Error::custom)?).map_err(A::Error::custom)?
                    }
                    None if field == "purge_everything" => match map.next_value()? {
                        true => PurgeBody::Everything,
                        false => return Err(A::Error::invalid_value(Unexpected::Bool(false), &"true")),
                    },
                    None => return Err(A::Error::unknown_field(&field, &["one of the documented five"])),
                };
                match map.next_key::<String>()? {
                    None => Ok(body),
                    Some(second) => Err(A::Error::custom(format_args!(
                        "`{second}` beside `{field}`: a body has one field"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(Body)
    }
}

/// An entry of a list as a body may hold it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum RawEntry {
    Text(String),
    Object {
        url: String,
        #[serde(default)]
        headers: alloc::collections::BTreeMap<String, String>,
    },
}

impl RawEntry {
    fn parse(self, kind: Kind) -> Result<Target, String> {
        let words = |error: &dyn fmt::Display| alloc::format!("{error}");
        match self {
            // A string in `files` is a URL, and never the JSON of an object.
            Self::Text(text) if kind == Kind::Files => {
                PurgeUrl::parse(&text).map(|url| File::from(url).into()).map_err(|error| words(&error))
            }
            Self::Text(text) => Target::parse(kind, &text).map_err(|error| words(&error)),
            Self::Object { url, headers } if kind == Kind::Files => {
                let mut file = File::from(PurgeUrl::parse(&url).map_err(|error| words(&error))?);
                for (name, value) in headers {
                    let header = CacheKeyHeader::new(&name, &value).map_err(|error| words(&error))?;
                    file = file.with_header(header).map_err(|error| words(&error))?;
                }
                Ok(file.into())
            }
            Self::Object { .. } => Err(alloc::format!("an object in `{}`", kind.field())),
        }
    }
}
