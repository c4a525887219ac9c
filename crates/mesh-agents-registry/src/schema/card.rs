//! The schema of a card, from its shape.

use serde_json::{Map, Value, json};

use crate::card::shape::{CARD, Field, Kind, Shape};

pub(super) fn schema() -> Value {
    let mut definitions = Map::new();
    let mut card = object(&CARD, &mut definitions);
    card.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    card.insert(
        "title".to_owned(),
        json!("A2A 1.0 Agent Card of a mesh agent"),
    );
    card.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(card)
}

fn object(shape: &Shape, definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in shape.fields {
        properties.insert(field.name.to_owned(), value(field, definitions));
    }
    for old in shape.old {
        let gone = json!({ "not": {}, "deprecationMessage": format!("A2A 0.3: {}", old.fix) });
        properties.insert(old.name.to_owned(), gone);
    }
    let required: Vec<&str> = shape
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    let mut all = Map::new();
    all.insert("type".to_owned(), json!("object"));
    all.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        all.insert("required".to_owned(), json!(required));
    }
    if shape.one_of {
        let one = |field: &Field| json!({ "required": [field.name] });
        let each: Vec<Value> = shape.fields.iter().map(one).collect();
        all.insert("oneOf".to_owned(), Value::Array(each));
    }
    all
}

/// The schema of a field. What is optional may be `null`, which is as if it were not there.
fn value(field: &Field, definitions: &mut Map<String, Value>) -> Value {
    let line = || json!({ "type": "string", "pattern": "\\S" });
    let inner = match field.kind {
        Kind::Line if field.name == "protocolVersion" => {
            json!({ "type": "string", "pattern": "^1(\\.|$)" })
        }
        Kind::Line | Kind::Prose => line(),
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Lines => json!({ "type": "array", "minItems": 1, "items": line() }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Object(shape) => reference(shape, definitions),
        Kind::Objects(shape) => {
            json!({ "type": "array", "minItems": 1, "items": reference(shape, definitions) })
        }
        Kind::AnyObjects(shape) => {
            json!({ "type": "array", "items": reference(shape, definitions) })
        }
        Kind::Map(shape) => {
            json!({ "type": "object", "additionalProperties": reference(shape, definitions) })
        }
        Kind::TextMap => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Requirements => json!({ "type": "array", "items": { "type": "object" } }),
        Kind::Free => json!({ "type": "object" }),
    };
    let mut schema = match inner {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    if !field.required {
        let inner = Value::Object(std::mem::take(&mut schema));
        schema.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
    } else if schema.contains_key("$ref") {
        // What stands beside a reference is not looked at.
        let inner = Value::Object(std::mem::take(&mut schema));
        schema.insert("allOf".to_owned(), json!([inner]));
    }
    schema.insert("description".to_owned(), json!(field.about));
    Value::Object(schema)
}

fn reference(shape: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(shape.name) {
        let made = object(shape, definitions);
        definitions.insert(shape.name.to_owned(), Value::Object(made));
    }
    json!({ "$ref": format!("#/definitions/{}", shape.name) })
}
