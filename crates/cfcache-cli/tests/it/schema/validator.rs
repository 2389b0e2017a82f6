//! The part of JSON Schema (draft 2020-12) that the schema uses. A complete library would add more than thirty crates.
//! An unsupported keyword is an error.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(super) struct Schema {
    root: Value,
}

/// The properties that were found so far, as `definition.property`.
pub(super) type Met = BTreeSet<String>;

impl Schema {
    pub(super) fn parse(text: &str) -> Self {
        Self { root: serde_json::from_str(text).unwrap() }
    }

    /// Returns the properties of every definition, as `definition.property`.
    pub(super) fn properties(&self) -> Met {
        let mut properties = Met::new();
        for (name, definition) in self.root["$defs"].as_object().unwrap() {
            let own = definition["properties"].as_object().into_iter().flatten();
            properties.extend(own.map(|(property, _)| format!("{name}.{property}")));
        }
        properties
    }

    /// Checks a value against the whole schema.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        self.node(&self.root, value, "", &mut Met::new())
    }

    /// Checks a value against one definition.
    pub(super) fn check_as(&self, definition: &str, value: &Value, met: &mut Met) -> Result<(), String> {
        self.definition(definition, value, "", met)
    }

    fn definition(&self, name: &str, value: &Value, at: &str, met: &mut Met) -> Result<(), String> {
        let definition = &self.root["$defs"][name];
        assert!(definition.is_object(), "there is no definition `{name}`");
        if let (Some(object), Some(properties)) = (value.as_object(), definition["properties"].as_object()) {
            let known = object.keys().filter(|key| properties.contains_key(*key));
            met.extend(known.map(|key| format!("{name}.{key}")));
        }
        self.node(definition, value, at, met)
    }

    fn node(&self, schema: &Value, value: &Value, at: &str, met: &mut Met) -> Result<(), String> {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema} is no schema"));
        for (keyword, wanted) in schema {
            let is_right = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.definition(name, value, at, met)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(types) => types.iter().any(|wanted| is_of(value, wanted)),
                    wanted => is_of(value, wanted),
                },
                "enum" => wanted.as_array().unwrap().contains(value),
                "const" => wanted == value,
                "minimum" => value.as_f64().is_none_or(|value| value >= wanted.as_f64().unwrap()),
                "minItems" => {
                    value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().unwrap())
                }
                "required" => value.as_object().is_none_or(|object| {
                    wanted.as_array().unwrap().iter().all(|key| object.contains_key(key.as_str().unwrap()))
                }),
                "properties" => {
                    self.properties_of(wanted.as_object().unwrap(), value, at, met)?;
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    let others = value.as_object().into_iter().flatten();
                    let mut others =
                        others.filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                    if wanted == false {
                        others.next().is_none()
                    } else {
                        for (key, other) in others {
                            self.node(wanted, other, &format!("{at}/{key}"), met)?;
                        }
                        true
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.node(wanted, item, &format!("{at}/{index}"), met)?;
                    }
                    true
                }
                "anyOf" => {
                    let ways = wanted.as_array().unwrap();
                    ways.iter().any(|way| {
                        let mut met_here = met.clone();
                        let is_it = self.node(way, value, at, &mut met_here).is_ok();
                        if is_it {
                            *met = met_here;
                        }
                        is_it
                    })
                }
                unknown => panic!("{at}: the keyword `{unknown}` is not known here"),
            };
            if !is_right {
                return Err(format!("{at}: {value} breaks `{keyword}`: {wanted}"));
            }
        }
        Ok(())
    }

    fn properties_of(
        &self,
        properties: &Map<String, Value>,
        value: &Value,
        at: &str,
        met: &mut Met,
    ) -> Result<(), String> {
        for (key, schema) in properties {
            if let Some(inner) = value.as_object().and_then(|object| object.get(key)) {
                self.node(schema, inner, &format!("{at}/{key}"), met)?;
            }
        }
        Ok(())
    }
}

fn is_of(value: &Value, wanted: &Value) -> bool {
    match wanted.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("the type `{unknown}` is not known here"),
    }
}

#[test]
fn an_unsupported_keyword_is_an_error() {
    for schema in [r#"{"patternProperties":{}}"#, r##"{"$defs":{"a":{"oneOf":[]}},"$ref":"#/$defs/a"}"##] {
        let schema = Schema::parse(schema);
        assert!(std::panic::catch_unwind(|| schema.check(&Value::Null)).is_err());
    }
}

#[test]
fn each_keyword_refuses_invalid_values() {
    for (schema, right, wrong) in [
        (r#"{"type":"integer"}"#, "1", "1.5"),
        (r#"{"type":["string","null"]}"#, "null", "false"),
        (r#"{"enum":["a","b"]}"#, r#""b""#, r#""c""#),
        (r#"{"const":true}"#, "true", "false"),
        (r#"{"minimum":1}"#, "1", "0"),
        (r#"{"type":"array","minItems":1,"items":{"type":"null"}}"#, "[null]", "[]"),
        (r#"{"items":{"type":"null"}}"#, "[null,null]", "[null,1]"),
        (r#"{"required":["a"]}"#, r#"{"a":1}"#, r#"{"b":1}"#),
        (r#"{"properties":{"a":{"type":"null"}}}"#, r#"{"a":null,"b":1}"#, r#"{"a":1}"#),
        (r#"{"properties":{"a":{}},"additionalProperties":false}"#, r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#, r#""""#, "1"),
        (r##"{"$defs":{"a":{"type":"null"}},"items":{"$ref":"#/$defs/a"}}"##, "[null]", "[1]"),
    ] {
        let schema_of = Schema::parse(schema);
        let check = |text: &str| schema_of.check(&serde_json::from_str(text).unwrap());
        assert_eq!(check(right), Ok(()), "{schema}");
        assert!(check(wrong).is_err(), "{schema}");
    }
}
