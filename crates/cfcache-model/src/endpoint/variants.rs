//! `GET`, `PATCH` and `DELETE /zones/{zone_id}/cache/variants`
//!
//! Variants define which other types of an image may be cached for its file extension. They only apply if the origin
//! sends `Vary: Accept`. If the origin does not serve a configured variant, the response is not cached (`BYPASS`).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::InvalidInput;
use crate::endpoint::{
    ApiRequest, Area, Descriptor, Method, Replay, Sample, Setting, example, refusal, sample,
    settings_permission, success,
};
use crate::id::ZoneId;
use crate::pairs::pairs;
use crate::text::{clip, quote};

/// The file extensions that can have variants.
///
/// Source: the schema of `value` in the API reference, 2026-10. (The guide omits `jpg2`.)
pub const EXTENSIONS: [&str; 11] =
    ["avif", "bmp", "gif", "jp2", "jpeg", "jpg", "jpg2", "png", "tif", "tiff", "webp"];

/// The types that may be served for file extensions.
///
/// - Each extension is one of [`EXTENSIONS`] and occurs once.
/// - Each has at least one type, without repetition, in the form `image/webp`.
/// - The given order is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variants {
    rows: Vec<(String, Vec<String>)>,
}

impl Variants {
    /// Creates an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds an extension and its types.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the extension is unknown or already present, or if a type is missing, malformed or
    /// repeated.
    pub fn with<'t>(
        mut self,
        extension: &str,
        types: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, InvalidInput> {
        if !EXTENSIONS.contains(&extension) {
            let message = alloc::format!(
                "{} has no variants: the extensions are `{}`",
                quote(extension),
                EXTENSIONS.join("`, `")
            );
            let bare = extension.trim_start_matches('.').to_ascii_lowercase();
            let is_known = EXTENSIONS.contains(&bare.as_str());
            return Err(
                InvalidInput::new(message).with_cure(is_known.then(|| alloc::format!("write `{bare}`")))
            );
        }
        let extension = extension.to_owned();
        if self.rows.iter().any(|(have, _)| *have == extension) {
            return Err(InvalidInput::new(alloc::format!("the extension `{extension}` is given twice")));
        }
        let mut row: Vec<String> = Vec::new();
        for found in types {
            let has_form = found.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
            if !has_form {
                let message = alloc::format!(
                    "{} is not a type for `{extension}`: it is written like `image/webp`",
                    quote(found)
                );
                let kind = if found == "jpg" { "jpeg" } else { found };
                let is_known = EXTENSIONS.contains(&kind);
                return Err(InvalidInput::new(message)
                    .with_cure(is_known.then(|| alloc::format!("write `image/{kind}`"))));
            }
            let found = found.to_owned();
            if row.contains(&found) {
                let message = alloc::format!("the type {} is given twice for `{extension}`", quote(&found));
                return Err(InvalidInput::new(message));
            }
            row.push(found);
        }
        if row.is_empty() {
            return Err(InvalidInput::new(alloc::format!("the extension `{extension}` has no type")));
        }
        self.rows.push((extension, row));
        Ok(self)
    }

    /// Parses the JSON of a `value`, such as `{"avif":["image/webp","image/jpeg"]}`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if it is not such JSON, or for the reasons of [`Variants::with`].
    pub fn from_json(text: &str) -> Result<Self, InvalidInput> {
        let mut json = serde_json::Deserializer::from_str(text);
        let rows = pairs(&mut json).and_then(|rows: Vec<(String, Vec<String>)>| json.end().map(|()| rows));
        let rows = rows.map_err(|error| {
            let reason = clip(&error.to_string(), 200);
            InvalidInput::new(alloc::format!(
                r#"this is not the JSON of variants, such as `{{"avif":["image/webp"]}}`: {reason}"#
            ))
        })?;
        rows.iter().try_fold(Self::new(), |variants, (extension, types)| {
            variants.with(extension, types.iter().map(String::as_str))
        })
    }

    /// The extensions and their types, in the given order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.rows.iter().map(|(extension, types)| (extension.as_str(), types.as_slice()))
    }

    /// Returns whether there are no variants. Setting an empty list removes those of the zone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Returns whether a text is a `token` of RFC 9110, as both parts of a media type are.
fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

impl Serialize for Variants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.rows.len()))?;
        for (extension, types) in &self.rows {
            map.serialize_entry(extension, types)?;
        }
        map.end()
    }
}

/// The variants of a zone as the API returns them; a value can be null.
pub type StoredVariants = BTreeMap<String, Option<Vec<String>>>;

impl ApiRequest<Setting<StoredVariants>> {
    /// Reads the variants. The response is 404 if they were never set.
    #[must_use]
    pub fn variants(zone: &ZoneId) -> Self {
        Self::new(&GET, [zone.as_str()])
    }

    /// Sets the variants. This replaces the whole value.
    #[must_use]
    pub fn set_variants(zone: &ZoneId, variants: &Variants) -> Self {
        Self::new(&EDIT, [zone.as_str()]).with_value(variants)
    }

    /// Deletes the variants.
    #[must_use]
    pub fn delete_variants(zone: &ZoneId) -> Self {
        Self::new(&DELETE, [zone.as_str()])
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&GET, &EDIT, &DELETE];

static GET: Descriptor = descriptor(Method::Get, Replay::Safe, "get_variants", "Read Variants", read_samples);
static EDIT: Descriptor =
    descriptor(Method::Patch, Replay::Safe, "edit_variants", "Replace Variants", edit_samples);
static DELETE: Descriptor =
    descriptor(Method::Delete, Replay::UndeliveredOnly, "delete_variants", "Delete Variants", delete_samples);

const fn descriptor(
    method: Method,
    replay: Replay,
    name: &'static str,
    summary: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method,
        path: "/zones/{zone_id}/cache/variants",
        area: Area::Settings,
        replay,
        permission: settings_permission(method),
        plans: "Pro and up",
        page: "https://developers.cloudflare.com/api/resources/cache/subresources/variants/",
        samples,
    }
}

const STORED: &str = r#"{"id":"variants","editable":true,"value":{"avif":["image/webp","image/jpeg"],"bmp":["image/webp","image/jpeg"]}}"#;

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::variants(&zone);
    // The code for reading unset variants is not documented; 1142 is that of other settings.
    let unset = "Unable to retrieve variants setting value. The zone setting does not exist.";
    Vec::from([
        sample("set", &request, 200, success(STORED)),
        sample("refused_unset", &request, 404, refusal(1142, unset)),
    ])
}

fn edit_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let types = ["image/webp", "image/jpeg"];
    let variants = Variants::new().with("avif", types).and_then(|variants| variants.with("bmp", types));
    let Ok(variants) = variants else { return Vec::new() };
    let request = ApiRequest::set_variants(&zone, &variants);
    let refused = "This setting is not available for your plan type";
    Vec::from([
        sample("two", &request, 200, success(STORED)),
        sample("refused_plan", &request, 403, refusal(1135, refused)),
    ])
}

fn delete_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::delete_variants(&zone);
    let unset = "Unable to delete variants setting value. The zone setting does not exist.";
    Vec::from([
        sample("deleted", &request, 200, success(r#"{"id":"variants","editable":true}"#)),
        sample("refused_unset", &request, 404, refusal(1144, unset)),
    ])
}
