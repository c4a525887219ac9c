//! JSON Schemas of argument and result types, without what no reader needs.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of an argument type: an object, its properties described.
pub(super) fn input<T: JsonSchema>() -> Map<String, Value> {
    let schema = settings().for_deserialize().into_generator();
    slim(schema.into_root_schema_for::<T>().to_value(), true)
}

/// The schema of a result type: an object; what its fields mean is said in words elsewhere.
pub(super) fn output<T: JsonSchema>() -> Map<String, Value> {
    let schema = settings().for_serialize().into_generator();
    slim(schema.into_root_schema_for::<T>().to_value(), false)
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}

fn slim(schema: Value, described: bool) -> Map<String, Value> {
    let mut schema = match schema {
        Value::Object(schema) => schema,
        // A type that is no struct; the tests of the table would show it.
        _ => Map::new(),
    };
    schema.remove("description");
    slim_object(&mut schema, described);
    schema
}

fn slim_object(schema: &mut Map<String, Value>, described: bool) {
    // `format: uint32` and the like are Rust's own words; `minimum: 0` goes without saying.
    for key in ["title", "format"] {
        schema.remove(key);
    }
    if !described {
        schema.remove("description");
    }
    if schema.get("minimum") == Some(&Value::from(0)) {
        schema.remove("minimum");
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(true)) {
        schema.remove("additionalProperties");
    }
    // An absent value is written by leaving it out, so `null` need not be named.
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            slim_value(property, described);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        slim_value(items, described);
    }
}

fn slim_value(value: &mut Value, described: bool) {
    if *value == Value::Bool(true) {
        // The same thing in a form every reader of schemas knows.
        *value = Value::Object(Map::new());
    }
    if let Value::Object(schema) = value {
        slim_object(schema, described);
    }
}
