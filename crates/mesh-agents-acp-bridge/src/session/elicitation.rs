//! Forms a harness wants filled (`elicitation/create`), as questions with one answer.
//!
//! A form of one field is a question in itself: its choices are options, its text is the answer. A
//! form of several fields is answered by a JSON object. Whether an answer fits is said here; ranges,
//! lengths and patterns are the harness's to check.

use mesh_agents_core::run::{Answer, QuestionKind, QuestionOption};
use serde_json::{Map, Value, json};

use super::questions::{Question, chosen};

/// The kind of options that are values of a field. Ours: ACP has kinds for permissions only.
const VALUE_KIND: &str = "value";

/// A form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    message: String,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: String,
    title: Option<String>,
    required: bool,
    shape: Shape,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Text,
    /// One of these texts.
    Choice(Vec<QuestionOption>),
    /// Any of these texts.
    Choices(Vec<QuestionOption>),
    Yes,
    Integer,
    Number,
    /// Of a type nobody knows yet: any JSON.
    Other,
}

impl Form {
    /// The form of an `elicitation/create`; `None` for a mode other than a form, which we do not
    /// say that we can show.
    pub(super) fn of(params: &Value) -> Option<Self> {
        let mode = params.get("mode").and_then(Value::as_str);
        let schema = params.get("requestedSchema");
        if mode.is_some_and(|mode| mode != "form") || (mode.is_none() && schema.is_none()) {
            return None;
        }
        let message = params.get("message").and_then(Value::as_str);
        let required: Vec<_> = array(schema, "required").collect();
        let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
        let fields = properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| Field {
                name: name.clone(),
                title: title(schema),
                required: required.iter().any(|one| one.as_str() == Some(name)),
                shape: Shape::of(schema),
            });
        Some(Self {
            message: message
                .unwrap_or("The harness wants to know something.")
                .to_owned(),
            fields: fields.collect(),
        })
    }

    /// The form as a question.
    pub(super) fn question(&self) -> Question {
        let (hint, options) = match self.fields.as_slice() {
            [] => (String::new(), vec![option("accept", "Accept")]),
            [field] => (field.hint(), field.shape.options()),
            fields => (several(fields), Vec::new()),
        };
        let text = match hint.is_empty() {
            true => self.message.clone(),
            false => format!("{}\n{hint}", self.message),
        };
        Question {
            kind: QuestionKind::Elicitation,
            text,
            options,
        }
    }

    /// The content of the form with this answer, or why it does not fit.
    pub(super) fn fill(&self, answer: &Answer) -> Result<Value, String> {
        match self.fields.as_slice() {
            [] => Ok(json!({})),
            [field] => Ok(json!({ &field.name: field.shape.value(answer)? })),
            fields => {
                let (Answer::Text(text) | Answer::Option(text)) = answer else {
                    return Err("Nothing was answered".to_owned());
                };
                let object: Map<String, Value> = serde_json::from_str(text)
                    .map_err(|error| format!("That is not a JSON object ({error})"))?;
                check(fields, &object)?;
                Ok(Value::Object(object))
            }
        }
    }
}

fn check(fields: &[Field], object: &Map<String, Value>) -> Result<(), String> {
    if let Some(unknown) = object
        .keys()
        .find(|name| !fields.iter().any(|f| f.name == **name))
    {
        return Err(format!("There is no field {unknown:?}"));
    }
    for field in fields {
        match object.get(&field.name) {
            None if field.required => return Err(format!("The field {:?} is missing", field.name)),
            Some(value) if !field.shape.takes(value) => {
                return Err(format!("{:?} takes {}", field.name, field.shape.words()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn several(fields: &[Field]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|field| {
            let title = field.title.as_ref().map(|title| format!(" ({title})"));
            let optional = if field.required { "" } else { ", optional" };
            let title = title.unwrap_or_default();
            format!("{:?}{title}: {}{optional}", field.name, field.shape.words())
        })
        .collect();
    format!(
        "Answer with a JSON object of the fields {}.",
        fields.join("; ")
    )
}

impl Field {
    fn hint(&self) -> String {
        let title = self.title.as_deref().unwrap_or(&self.name);
        match &self.shape {
            Shape::Choice(_) | Shape::Yes => title.to_owned(),
            shape => format!("{title}: {}", shape.words()),
        }
    }
}

impl Shape {
    fn of(schema: &Value) -> Self {
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => match values(schema) {
                values if values.is_empty() => Self::Text,
                values => Self::Choice(values),
            },
            Some("boolean") => Self::Yes,
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("array") => Self::Choices(schema.get("items").map(values).unwrap_or_default()),
            _ => Self::Other,
        }
    }

    fn options(&self) -> Vec<QuestionOption> {
        match self {
            Self::Choice(options) => options.clone(),
            Self::Yes => vec![option("true", "Yes"), option("false", "No")],
            _ => Vec::new(),
        }
    }

    fn words(&self) -> String {
        let ids = |options: &[QuestionOption]| {
            let ids: Vec<_> = options.iter().map(|option| option.id.as_str()).collect();
            ids.join(", ")
        };
        match self {
            Self::Text => "a text".to_owned(),
            Self::Choice(options) => format!("one of {}", ids(options)),
            Self::Choices(options) => {
                format!("any of {}, as a JSON array or with commas", ids(options))
            }
            Self::Yes => "true or false".to_owned(),
            Self::Integer => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Other => "any JSON".to_owned(),
        }
    }

    /// The value of the only field.
    fn value(&self, answer: &Answer) -> Result<Value, String> {
        let options = self.options();
        if let Some(option) = chosen(answer, &options) {
            return Ok(match self {
                Self::Yes => Value::Bool(option.id == "true"),
                _ => Value::from(option.id.as_str()),
            });
        }
        let (Answer::Text(text) | Answer::Option(text)) = answer else {
            return Err("Nothing was answered".to_owned());
        };
        let value = match self {
            Self::Text => Value::from(text.as_str()),
            Self::Choices(options) => {
                list(text, options).ok_or_else(|| format!("That is not {}", self.words()))?
            }
            _ => serde_json::from_str(text.trim()).unwrap_or_default(),
        };
        if self.takes(&value) {
            Ok(value)
        } else {
            Err(format!("That is not {}", self.words()))
        }
    }

    fn takes(&self, value: &Value) -> bool {
        let known = |options: &[QuestionOption], value: &Value| {
            options
                .iter()
                .any(|option| value.as_str() == Some(&option.id))
        };
        match self {
            Self::Text => value.is_string(),
            Self::Choice(options) => known(options, value),
            Self::Choices(options) => value
                .as_array()
                .is_some_and(|values| values.iter().all(|value| known(options, value))),
            Self::Yes => value.is_boolean(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Other => !value.is_null(),
        }
    }
}

/// Several of the options: a JSON array, or their ids or names with commas between them.
fn list(text: &str, options: &[QuestionOption]) -> Option<Value> {
    if let Ok(Value::Array(values)) = serde_json::from_str(text.trim()) {
        return Some(Value::Array(values));
    }
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let option = chosen(&Answer::Text(part.to_owned()), options)?;
            Some(Value::from(option.id.as_str()))
        })
        .collect()
}

/// The values a schema lists: `enum`, or `oneOf` and `anyOf` with titles.
fn values(schema: &Value) -> Vec<QuestionOption> {
    let plain = array(Some(schema), "enum").filter_map(Value::as_str);
    let plain = plain.map(|value| option(value, value));
    let titled = array(Some(schema), "oneOf").chain(array(Some(schema), "anyOf"));
    let titled = titled.filter_map(|one| {
        let value = one.get("const")?.as_str()?;
        Some(option(
            value,
            &title(one).unwrap_or_else(|| value.to_owned()),
        ))
    });
    plain.chain(titled).collect()
}

fn array<'a>(value: Option<&'a Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    let array = value.and_then(|value| value.get(key)?.as_array());
    array.into_iter().flatten()
}

fn title(schema: &Value) -> Option<String> {
    let word = |key| schema.get(key).and_then(Value::as_str);
    word("title").or(word("description")).map(str::to_owned)
}

fn option(id: &str, name: &str) -> QuestionOption {
    QuestionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: VALUE_KIND.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(properties: &Value) -> Form {
        let schema = json!({ "type": "object", "properties": properties, "required": ["a"] });
        let params = json!({ "mode": "form", "message": "Well?", "requestedSchema": schema });
        Form::of(&params).unwrap()
    }

    fn filled(form: &Form, text: &str) -> Result<Value, String> {
        form.fill(&Answer::Text(text.to_owned()))
    }

    fn ids(form: &Form) -> Vec<String> {
        let options = form.question().options;
        options.into_iter().map(|option| option.id).collect()
    }

    #[test]
    fn a_text_field_takes_whatever_is_said() {
        let form = form(&json!({ "a": { "type": "string", "title": "Name" } }));
        assert_eq!(form.question().text, "Well?\nName: a text");
        assert_eq!(ids(&form), Vec::<String>::new());
        assert_eq!(
            filled(&form, "12 {\"x\"}"),
            Ok(json!({ "a": "12 {\"x\"}" }))
        );
    }

    #[test]
    fn choices_and_yes_or_no_become_options() {
        let plain = form(&json!({ "a": { "type": "string", "enum": ["red", "blue"] } }));
        assert_eq!(ids(&plain), ["red", "blue"]);
        assert_eq!(filled(&plain, "RED"), Ok(json!({ "a": "red" })));
        assert!(filled(&plain, "green").unwrap_err().contains("red, blue"));
        let titled = form(&json!({ "a": { "type": "string", "oneOf": [
            { "const": "r", "title": "Red" }, { "const": "b", "title": "Blue" },
        ]}}));
        let answer = Answer::Option("b".to_owned());
        assert_eq!(titled.fill(&answer), Ok(json!({ "a": "b" })));
        assert_eq!(filled(&titled, "Red"), Ok(json!({ "a": "r" })));
        let yes = form(&json!({ "a": { "type": "boolean" } }));
        assert_eq!(ids(&yes), ["true", "false"]);
        assert_eq!(filled(&yes, "no"), Ok(json!({ "a": false })));
        assert_eq!(
            yes.fill(&Answer::Option("true".into())),
            Ok(json!({ "a": true }))
        );
    }

    #[test]
    fn numbers_and_lists_are_read_and_what_does_not_fit_is_told() {
        let whole = form(&json!({ "a": { "type": "integer" } }));
        assert_eq!(filled(&whole, " 7 "), Ok(json!({ "a": 7 })));
        assert_eq!(
            filled(&whole, "7.5").unwrap_err(),
            "That is not a whole number"
        );
        let number = form(&json!({ "a": { "type": "number" } }));
        assert_eq!(filled(&number, "7.5"), Ok(json!({ "a": 7.5 })));
        assert!(filled(&number, "many").is_err());
        let items = json!({ "type": "string", "enum": ["x", "y", "z"] });
        let several = form(&json!({ "a": { "type": "array", "items": items } }));
        assert_eq!(filled(&several, "x, z"), Ok(json!({ "a": ["x", "z"] })));
        assert_eq!(filled(&several, "[\"y\"]"), Ok(json!({ "a": ["y"] })));
        assert!(filled(&several, "x, w").is_err());
        assert!(filled(&several, "[1]").is_err());
    }

    #[test]
    fn several_fields_take_a_json_object() {
        let form = form(&json!({
            "a": { "type": "string", "description": "who" },
            "b": { "type": "integer" },
        }));
        let text = form.question().text;
        assert!(
            text.contains("\"a\" (who): a text; \"b\": a whole number, optional"),
            "{text}"
        );
        assert_eq!(filled(&form, "{\"a\": \"me\"}"), Ok(json!({ "a": "me" })));
        assert!(
            filled(&form, "me")
                .unwrap_err()
                .contains("not a JSON object")
        );
        assert!(
            filled(&form, "{\"b\": 1}")
                .unwrap_err()
                .contains("\"a\" is missing")
        );
        assert!(
            filled(&form, "{\"a\": \"x\", \"b\": 1.5}")
                .unwrap_err()
                .contains("whole")
        );
        assert!(
            filled(&form, "{\"a\": \"x\", \"c\": 1}")
                .unwrap_err()
                .contains("\"c\"")
        );
    }

    #[test]
    fn a_form_without_fields_is_a_button_and_other_modes_are_none() {
        let form = form(&json!({}));
        assert_eq!(ids(&form), ["accept"]);
        assert_eq!(form.fill(&Answer::Option("accept".into())), Ok(json!({})));
        assert_eq!(Form::of(&json!({ "mode": "url", "url": "http://x" })), None);
        assert_eq!(Form::of(&json!({})), None);
    }
}
