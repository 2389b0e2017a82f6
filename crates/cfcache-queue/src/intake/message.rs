//! Converts the body of an HTTP request into requests of the queue, or into a list of its problems.
//!
//! CloudEvents are accepted in the JSON format (structured and batched) and in the binary mode of the HTTP binding.
//! Sources: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>, and
//! `formats/json-format.md` in the same repository.

mod json;
mod query;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cfcache_model::Kind;
use cfcache_model::endpoint::Action;
use cfcache_model::id::EnvironmentId;
use cfcache_model::target::Target;
use cfcache_model::text::{CLIP_CHARS, clip, is_invisible, quote};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;

use crate::intake::message::json::{Elements, ObjectPairs};
use crate::intake::message::query::Query;
use crate::intake::sources::{self, Source};
use crate::request::{NewRequest, Subject};

/// The maximum number of items in one HTTP request.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// The maximum size of an item, in bytes. The stores and the SQL functions have the same limit.
const MAX_KEY_BYTES: usize = 32 << 10;

/// The longest delay, in seconds: a day, as in the SQL functions.
const MAX_DELAY_SECONDS: u64 = 24 * 60 * 60;

/// The maximum number of problems in an answer; the rest is counted.
const MAX_SHOWN_PROBLEMS: usize = 100;

/// The maximum length of the `id` and the `source` of an event, in characters.
const MAX_ATTRIBUTE_CHARS: usize = 256;

const PURGE: &str = "dev.cfcache.purge.v1";
const INVALIDATE: &str = "dev.cfcache.invalidate.v1";

/// The content of a body.
#[derive(Debug)]
pub(crate) struct Message {
    /// The requests, in the order of the body. There is at least one.
    pub(crate) requests: Vec<NewRequest>,
    /// Entries that are accepted but are probably mistakes.
    pub(crate) warnings: Problems,
}

/// Why a whole body is refused.
#[derive(Debug)]
pub(crate) enum MessageError {
    /// Its media type or its encoding is not supported.
    MediaType(String),
    /// It contains more than [`MAX_ITEMS`].
    TooMany,
    /// A part of it is invalid, or its source is not allowed to request it.
    Problems(Problems),
}

/// The problems of a body: errors or warnings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    /// The first problems, at most 100.
    pub(crate) shown: Vec<Problem>,
    /// The number of problems.
    pub(crate) total: usize,
    /// The number of problems about permissions of the source.
    pub(crate) forbidden: usize,
}

/// A problem, and its location.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The location, such as `urls[3]`, `[2].data.zone` or `line 7`; empty for the whole body.
    pub(crate) at: String,
    /// The problem, and a suggestion if there is one.
    pub(crate) message: String,
}

impl Problems {
    fn add(&mut self, at: impl fmt::Display, message: impl Into<String>) {
        self.total += 1;
        if self.shown.len() < MAX_SHOWN_PROBLEMS {
            self.shown.push(Problem { at: at.to_string(), message: message.into() });
        }
    }
}

/// Parses the body of a request from `source`. `query` is the query of its URL.
///
/// # Errors
///
/// [`MessageError`]; nothing of the body may be stored then.
pub(crate) fn read(
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
    source: &Source,
) -> Result<Message, MessageError> {
    let format = MessageFormat::find(headers)?;
    let mut reader = MessageReader {
        source,
        requests: Vec::new(),
        warnings: Problems::default(),
        problems: Problems::default(),
        items: 0,
    };
    let query = Query::read(query, format == MessageFormat::Lines, &mut reader.problems);
    match core::str::from_utf8(body) {
        Ok(body) => reader.body(format, headers, query, body.strip_prefix('\u{feff}').unwrap_or(body))?,
        Err(error) => {
            reader.problems.add("", format!("the body is not UTF-8 (byte {})", error.valid_up_to() + 1));
        }
    }
    let MessageReader { requests, warnings, problems, .. } = reader;
    if problems.total > 0 {
        Err(MessageError::Problems(problems))
    } else {
        Ok(Message { requests, warnings })
    }
}

/// Returns the source in the query of the URL, such as `?source=shop`.
pub(super) fn source(query: Option<&str>) -> Option<String> {
    query::source(query)
}

/// The supported formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageFormat {
    /// A CloudEvent as a JSON object.
    Structured,
    /// CloudEvents in a JSON array.
    Batch,
    /// A CloudEvent whose attributes are headers.
    Binary,
    /// The data of an event, without the event.
    Plain,
    /// One entry per line.
    Lines,
}

impl MessageFormat {
    const SUPPORTED: &'static str = "`application/json`, `application/x-ndjson`, `application/cloudevents+json` or \
         `application/cloudevents-batch+json`";

    fn find(headers: &HeaderMap) -> Result<Self, MessageError> {
        let refuse =
            |found: String| Err(MessageError::MediaType(format!("{found}; send {}", Self::SUPPORTED)));
        if let Some(encoding) = headers.get(http::header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            return refuse("a `content-encoding` is not supported".to_owned());
        }
        let is_event = headers.keys().any(|name| name.as_str().starts_with("ce-"));
        let Some(value) = headers.get(CONTENT_TYPE) else {
            // Libraries omit it if the event has no `datacontenttype`. The data is JSON then.
            return if is_event { Ok(Self::Binary) } else { refuse("there is no `content-type`".to_owned()) };
        };
        let value = value.to_str().unwrap_or_default();
        let mut parts = value.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return refuse(format!("the charset {} is not UTF-8", quote(value)));
            }
        }
        match media_type.as_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            "application/json" if is_event => Ok(Self::Binary),
            "application/json" => Ok(Self::Plain),
            "application/x-ndjson" | "application/ndjson" if !is_event => Ok(Self::Lines),
            other => refuse(format!("the media type {} is not supported", quote(other))),
        }
    }
}

/// The fields that apply to all items of an event, or of a body without events.
#[derive(Clone)]
struct Context {
    zone: Option<String>,
    environment: Option<String>,
    action: Option<Action>,
    priority: i16,
    delay: Duration,
    source: String,
    event: Option<String>,
}

struct MessageReader<'s> {
    source: &'s Source,
    requests: Vec<NewRequest>,
    warnings: Problems,
    problems: Problems,
    items: usize,
}

/// The location of a value in the body as a path, such as `[2].data`.
#[derive(Clone, Copy)]
struct Location<'a> {
    parent: Option<&'a Self>,
    part: LocationPart<'a>,
}

#[derive(Clone, Copy)]
enum LocationPart<'a> {
    Body,
    Field(&'a str),
    Element(usize),
    Line(usize),
}

impl Location<'static> {
    const BODY: Self = Self { parent: None, part: LocationPart::Body };
}

impl<'a> Location<'a> {
    const fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), part: LocationPart::Field(name) }
    }

    const fn element(&'a self, index: usize) -> Self {
        Self { parent: Some(self), part: LocationPart::Element(index) }
    }
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_first = self.parent.is_none_or(|parent| matches!(parent.part, LocationPart::Body));
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.part {
            LocationPart::Body => Ok(()),
            LocationPart::Field(name) => {
                write!(f, "{}{}", if is_first { "" } else { "." }, clip(name, CLIP_CHARS))
            }
            LocationPart::Element(index) => write!(f, "[{index}]"),
            LocationPart::Line(number) if is_first => write!(f, "line {number}"),
            LocationPart::Line(number) => write!(f, ", line {number}"),
        }
    }
}

impl MessageReader<'_> {
    fn body(
        &mut self,
        format: MessageFormat,
        headers: &HeaderMap,
        query: Query,
        body: &str,
    ) -> Result<(), MessageError> {
        let before = self.problems.total;
        match format {
            MessageFormat::Structured => {
                if let Some(event) = self.json(Location::BODY, body) {
                    self.event(Location::BODY, event)?;
                }
            }
            MessageFormat::Batch => {
                let Some(events) = self.elements(Location::BODY, body)? else { return Ok(()) };
                for (index, event) in events.into_iter().enumerate() {
                    self.event(Location::BODY.element(index), event)?;
                }
            }
            MessageFormat::Binary => {
                let context = self.binary_head(headers);
                self.data(Location::BODY, body, context)?;
            }
            MessageFormat::Plain => {
                let context = self.context(None, None);
                self.data(Location::BODY, body, context)?;
            }
            MessageFormat::Lines => self.lines(query, body)?,
        }
        if self.requests.is_empty() && self.problems.total == before {
            self.problems.add("", "it contains no items");
        }
        Ok(())
    }

    fn context(&self, source: Option<String>, event: Option<String>) -> Context {
        Context {
            zone: None,
            environment: None,
            action: None,
            priority: 0,
            delay: Duration::ZERO,
            source: source.unwrap_or_else(|| self.source.name().to_owned()),
            event,
        }
    }

    fn json<'j>(&mut self, place: Location<'_>, text: &'j str) -> Option<&'j RawValue> {
        match serde_json::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.add(place, format!("it is not valid JSON: {error}"));
                None
            }
        }
    }

    fn elements<'j>(
        &mut self,
        place: Location<'_>,
        text: &'j str,
    ) -> Result<Option<Vec<&'j RawValue>>, MessageError> {
        match serde_json::from_str(text) {
            Ok(Elements::All(elements)) => Ok(Some(elements)),
            Ok(Elements::TooMany) => Err(MessageError::TooMany),
            Err(error) if error.is_data() => {
                self.problems.add(place, "it must be an array");
                Ok(None)
            }
            Err(error) => {
                self.problems.add(place, format!("it is not valid JSON: {error}"));
                Ok(None)
            }
        }
    }

    /// Parses an object, and reports duplicate fields.
    fn fields<'j>(&mut self, place: Location<'_>, text: &'j str) -> Option<Vec<(String, &'j RawValue)>> {
        let pairs = match serde_json::from_str(text) {
            Ok(ObjectPairs(pairs)) => pairs,
            Err(error) if error.is_data() => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                self.problems.add(place, clip(message, 2 * CLIP_CHARS));
                return None;
            }
            Err(error) => {
                self.problems.add(place, format!("it is not valid JSON: {error}"));
                return None;
            }
        };
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(other, _)| other == name) {
                self.problems.add(place.field(name), "it is given twice");
            }
        }
        Some(pairs)
    }

    fn string(&mut self, place: Location<'_>, value: &RawValue) -> Option<String> {
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) => Some(text),
            Err(error) if error.is_data() => {
                self.problems.add(place, "it must be a string");
                None
            }
            Err(error) => {
                self.problems.add(place, format!("it is not a valid string: {error}"));
                None
            }
        }
    }

    /// Parses a CloudEvent in the form of a JSON object.
    fn event(&mut self, place: Location<'_>, event: &RawValue) -> Result<(), MessageError> {
        let Some(fields) = self.fields(place, event.get()) else { return Ok(()) };
        let (mut id, mut source, mut kind, mut version) = (None, None, None, None);
        let (mut data, mut base64) = (None, None);
        for (name, value) in &fields {
            let at = place.field(name);
            match name.as_str() {
                "specversion" => version = Some(self.string(at, value).unwrap_or_default()),
                "id" => id = Some(self.string(at, value).unwrap_or_default()),
                "source" => source = Some(self.string(at, value).unwrap_or_default()),
                "type" => kind = Some(self.string(at, value).unwrap_or_default()),
                "datacontenttype" => {
                    let media_type = self.string(at, value).unwrap_or_default();
                    if !is_json(&media_type) {
                        self.problems.add(at, "the data must be `application/json`");
                    }
                }
                "dataschema" | "subject" | "time" => drop(self.string(at, value)),
                "data" => data = Some(*value),
                "data_base64" => base64 = Some(*value),
                // Extensions are scalars whose names consist of lower-case letters and digits. They are ignored.
                _ => {
                    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                    if !is_name || name.is_empty() || value.get().starts_with(['{', '[']) {
                        self.problems.add(at, "it is neither an attribute of a CloudEvent nor an extension");
                    }
                }
            }
        }
        let context = self.head(place, version, id, source, kind);
        match (data, base64) {
            (Some(data), None) => self.data(place.field("data"), data.get(), context),
            (None, Some(encoded)) => {
                let at = place.field("data_base64");
                let Some(encoded) = self.string(at, encoded) else { return Ok(()) };
                let decoded =
                    BASE64_STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                match decoded {
                    Some(text) => self.data(at, &text, context),
                    None => {
                        self.problems.add(at, "it is not base64 of UTF-8");
                        Ok(())
                    }
                }
            }
            (None, None) => {
                self.problems.add(place.field("data"), "it is missing");
                Ok(())
            }
            (Some(_), Some(_)) => {
                self.problems.add(place.field("data_base64"), "both `data` and `data_base64` are given");
                Ok(())
            }
        }
    }

    /// Reads the attributes of a CloudEvent in binary mode.
    fn binary_head(&mut self, headers: &HeaderMap) -> Context {
        let mut attribute = |name: &'static str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?;
            // Characters other than visible ASCII should be percent-encoded here, but some libraries do not encode
            // them.
            let text = percent_encoding::percent_decode(value.as_bytes()).decode_utf8().ok();
            if text.is_none() || values.next().is_some() {
                self.problems
                    .add(format_args!("header `{name}`"), "it is given twice, or is not valid UTF-8");
            }
            Some(text.unwrap_or_default().into_owned())
        };
        let version = attribute("ce-specversion");
        let (id, source, kind) = (attribute("ce-id"), attribute("ce-source"), attribute("ce-type"));
        self.head(Location::BODY, version, id, source, kind)
    }

    /// Checks the required attributes of a CloudEvent.
    fn head(
        &mut self,
        place: Location<'_>,
        version: Option<String>,
        id: Option<String>,
        source: Option<String>,
        kind: Option<String>,
    ) -> Context {
        match version.as_deref() {
            Some("1.0") => {}
            Some(other) => {
                self.problems
                    .add(place.field("specversion"), format!("it is {}, and must be `1.0`", quote(other)));
            }
            None => self.problems.add(place.field("specversion"), "it is missing, and must be `1.0`"),
        }
        let id = self.attribute(place.field("id"), id);
        let source = self.attribute(place.field("source"), source);
        let mut context = self.context(source, id);
        context.action = match kind.as_deref() {
            Some(PURGE) => Some(Action::Purge),
            Some(INVALIDATE) => Some(Action::Invalidate),
            found => {
                let found =
                    found.map_or("it is missing".to_owned(), |found| format!("it is {}", quote(found)));
                self.problems
                    .add(place.field("type"), format!("{found}, and must be `{PURGE}` or `{INVALIDATE}`"));
                None
            }
        };
        context
    }

    fn attribute(&mut self, place: Location<'_>, text: Option<String>) -> Option<String> {
        match text {
            None => self.problems.add(place, "it is missing"),
            Some(text) if text.is_empty() => self.problems.add(place, "it is empty, or is not valid UTF-8"),
            Some(text) if text.chars().count() > MAX_ATTRIBUTE_CHARS => {
                self.problems.add(place, format!("it is longer than {MAX_ATTRIBUTE_CHARS} characters"));
            }
            Some(text) if text.chars().any(is_invisible) => {
                self.problems.add(place, "it contains a control character or an invisible one");
            }
            Some(text) => return Some(text),
        }
        None
    }

    /// Parses the data: the targets to purge or invalidate.
    fn data(&mut self, place: Location<'_>, text: &str, mut context: Context) -> Result<(), MessageError> {
        let Some(fields) = self.fields(place, text) else { return Ok(()) };
        let mut lists = Vec::new();
        let mut is_everything = false;
        let has_type = context.action.is_some();
        for (name, value) in &fields {
            let at = place.field(name);
            // Many libraries write `null` for a field without a value.
            if value.get() == "null" && is_field(name) {
                continue;
            }
            match name.as_str() {
                "zone" => context.zone = self.string(at, value).or(Some(String::new())),
                "environment" => context.environment = self.string(at, value),
                "priority" => match serde_json::from_str(value.get()) {
                    Ok(priority) => context.priority = priority,
                    Err(_) => self.problems.add(at, "it must be a whole number from -32768 to 32767"),
                },
                "delay" => match delay(value.get()) {
                    Ok(delay) => context.delay = delay,
                    Err(message) => self.problems.add(at, message),
                },
                "everything" => match value.get() {
                    "true" => is_everything = true,
                    "false" => {}
                    _ => self.problems.add(at, "it must be `true` or `false`"),
                },
                "action" => {
                    let Some(word) = self.string(at, value) else { continue };
                    let action = self.action(at, &word);
                    if has_type && action.is_some() && action != context.action {
                        self.problems.add(at, "it differs from the type of the event");
                    }
                    context.action = action.or(context.action);
                }
                word => match Kind::ALL.iter().find(|kind| kind.word() == word) {
                    Some(kind) => lists.push((*kind, *value)),
                    None => {
                        let hint = word
                            .parse::<Kind>()
                            .ok()
                            .map(|kind| format!(": is `{}` meant?", kind.word()))
                            .unwrap_or_default();
                        self.problems.add(at, format!("there is no such field{hint}"));
                    }
                },
            }
        }
        // The items are checked even if the zone or another field is invalid, so that one answer lists every problem.
        let request = self.request(place, &context);
        let before = (self.items, self.problems.total);
        if is_everything {
            self.items += 1;
            if let Some(request) = &request {
                self.push(place.field("everything"), request, Subject::Everything);
            }
        }
        self.items(place, &lists, request.as_ref())?;
        if (self.items, self.problems.total) == before {
            self.problems.add(place, "it contains no items");
        }
        Ok(())
    }

    fn items(
        &mut self,
        place: Location<'_>,
        lists: &[(Kind, &RawValue)],
        request: Option<&NewRequest>,
    ) -> Result<(), MessageError> {
        for (kind, list) in lists {
            let list_place = place.field(kind.word());
            let Some(elements) = self.elements(list_place, list.get())? else { continue };
            for (index, element) in elements.into_iter().enumerate() {
                let at = list_place.element(index);
                let raw = element.get();
                if *kind == Kind::Files && raw.starts_with('{') {
                    self.entry(at, *kind, raw, request)?;
                } else if !raw.starts_with('"') {
                    let or_object = if *kind == Kind::Files { " or an object with `url`" } else { "" };
                    self.problems.add(at, format!("it must be a string{or_object}"));
                } else if let Some(text) = self.string(at, element) {
                    self.entry(at, *kind, text.trim(), request)?;
                }
            }
        }
        Ok(())
    }

    /// Parses one item in the same way as an entry of a list on the command line.
    fn entry(
        &mut self,
        place: Location<'_>,
        kind: Kind,
        text: &str,
        request: Option<&NewRequest>,
    ) -> Result<(), MessageError> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(MessageError::TooMany);
        }
        if text.len() > MAX_KEY_BYTES {
            self.problems.add(place, format!("it is longer than {MAX_KEY_BYTES} bytes"));
            return Ok(());
        }
        match Target::parse(kind, text) {
            Ok(target) => {
                target.warnings(&mut |warning| self.warnings.add(place, warning.to_string()));
                if let Some(request) = request {
                    self.push(place, request, Subject::Target(target));
                }
            }
            Err(invalid) => {
                let cure = invalid.cure().map(|cure| format!(" ({cure})")).unwrap_or_default();
                self.problems.add(place, format!("{invalid}{cure}"));
            }
        }
        Ok(())
    }

    fn push(&mut self, place: Location<'_>, request: &NewRequest, subject: Subject) {
        let request = NewRequest { subject, ..request.clone() };
        match self.source.check(&request) {
            Ok(()) => self.requests.push(request),
            Err(message) => {
                self.problems.forbidden += 1;
                self.problems.add(place, message);
            }
        }
    }

    fn zone(&mut self, place: Location<'_>, text: Option<&str>) -> Option<String> {
        let Some(text) = text.or_else(|| self.source.default_zone()) else {
            self.problems.add(place.field("zone"), "it is missing: a zone's id, or its domain");
            return None;
        };
        sources::zone(text).map_err(|message| self.problems.add(place.field("zone"), message)).ok()
    }

    /// Returns `None` if the id is invalid.
    fn environment(&mut self, place: Location<'_>, text: Option<&str>) -> Option<Option<String>> {
        match text.map(EnvironmentId::parse).transpose() {
            Ok(id) => Some(id.map(|id| id.as_str().to_owned())),
            Err(invalid) => {
                self.problems.add(place.field("environment"), invalid.to_string());
                None
            }
        }
    }

    fn action(&mut self, place: impl fmt::Display, word: &str) -> Option<Action> {
        match word {
            "purge" => Some(Action::Purge),
            "invalidate" => Some(Action::Invalidate),
            other => {
                self.problems
                    .add(place, format!("it is {}, and must be `purge` or `invalidate`", quote(other)));
                None
            }
        }
    }

    /// Parses entries as in a list on the command line, or as JSON: a string, an object with `url`, or an object as in
    /// `application/json`.
    fn lines(&mut self, query: Query, body: &str) -> Result<(), MessageError> {
        let mut context = self.context(None, None);
        let Query { zone, environment, action, priority, delay, kind } = query;
        context.zone = zone;
        context.environment = environment;
        context.action = action.and_then(|word| self.action("query, `action`", &word));
        context.priority = priority;
        context.delay = delay;
        let is_scoped = context.zone.is_some() || self.source.default_zone().is_some();
        let request = if is_scoped { self.request(Location::BODY.field("query"), &context) } else { None };
        for (index, line) in body.split('\n').enumerate() {
            let place = Location { parent: Some(&Location::BODY), part: LocationPart::Line(index + 1) };
            // The command line also treats a carriage return as the end of a line.
            let lines = line.split('\r').map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                if line.starts_with('{') && !(kind == Kind::Files && has_url(line)) {
                    self.data(place, line, context.clone())?;
                    continue;
                }
                if !is_scoped {
                    self.problems.add(place, "there is no zone: name it in the URL, as `?zone=example.com`");
                }
                if line.starts_with('"') {
                    let text = self.json(place, line).and_then(|value| self.string(place, value));
                    let Some(text) = text else { continue };
                    self.entry(place, kind, text.trim(), request.as_ref())?;
                } else {
                    self.entry(place, kind, line, request.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Returns a request with the common fields of a context; `None` if one of them is invalid.
    fn request(&mut self, place: Location<'_>, context: &Context) -> Option<NewRequest> {
        let zone = self.zone(place, context.zone.as_deref());
        let environment = self.environment(place, context.environment.as_deref());
        let (zone, environment) = zone.zip(environment)?;
        Some(NewRequest {
            zone,
            environment,
            action: context.action.unwrap_or(Action::Purge),
            subject: Subject::Everything,
            priority: context.priority,
            delay: context.delay,
            source: Some(context.source.clone()),
            event: context.event.clone(),
        })
    }
}

/// Parses a delay in whole seconds.
fn delay(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0..=MAX_DELAY_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("it must be a whole number of seconds from 0 to {MAX_DELAY_SECONDS}")),
    }
}

/// Returns whether a media type is JSON, with or without parameters or a prefix such as `ld+`.
fn is_json(media_type: &str) -> bool {
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    bare == "application/json" || (bare.starts_with("application/") && bare.ends_with("+json"))
}

/// Returns whether the data has a field with that name.
fn is_field(name: &str) -> bool {
    ["zone", "environment", "priority", "delay", "everything", "action"].contains(&name)
        || Kind::ALL.iter().any(|kind| kind.word() == name)
}

/// Returns whether a line is a file with headers, and not an object with lists.
fn has_url(line: &str) -> bool {
    let is_url = |pairs: ObjectPairs<'_>| pairs.0.iter().any(|(name, _)| name == "url");
    serde_json::from_str(line).is_ok_and(is_url)
}

#[cfg(test)]
mod tests;
