//! Scalars in the spellings ProtoJSON allows: a number may be written as text, an enum as a number.
//! In a query string everything is text.

use std::fmt;

use mesh_agents_core::task::TaskState;
use serde::de::{Deserializer, Error, Visitor};

/// A whole number.
pub(super) fn int<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(Int)
}

/// A truth value.
pub(super) fn bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(Bool)
}

/// The name or the number of an enum's value, as text.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Word)
}

/// The state with this name or number; `None` for the unspecified one.
pub(super) fn state(name: &str) -> Result<Option<TaskState>, String> {
    Ok(Some(match name {
        "" | "0" | "TASK_STATE_UNSPECIFIED" => return Ok(None),
        "1" | "TASK_STATE_SUBMITTED" => TaskState::Submitted,
        "2" | "TASK_STATE_WORKING" => TaskState::Working,
        "3" | "TASK_STATE_COMPLETED" => TaskState::Completed,
        "4" | "TASK_STATE_FAILED" => TaskState::Failed,
        "5" | "TASK_STATE_CANCELED" => TaskState::Canceled,
        "6" | "TASK_STATE_INPUT_REQUIRED" => TaskState::InputRequired,
        "7" | "TASK_STATE_REJECTED" => TaskState::Rejected,
        "8" | "TASK_STATE_AUTH_REQUIRED" => TaskState::AuthRequired,
        other => {
            let other: String = other.chars().take(80).collect();
            return Err(format!(
                "{other:?} is not a task state; those are TASK_STATE_SUBMITTED, _WORKING, _COMPLETED, _FAILED, _CANCELED, _INPUT_REQUIRED, _REJECTED and _AUTH_REQUIRED"
            ));
        }
    }))
}

struct Int;

impl<'de> Visitor<'de> for Int {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // 1.0 and 1e2 are whole numbers to ProtoJSON; an int32 is exact in a float.
        let whole = value.fract() == 0.0 && value.abs() < 1e15;
        let number = whole.then(|| format!("{value:.0}").parse().ok()).flatten();
        number
            .map(Some)
            .ok_or_else(|| E::custom(format!("{value} is not a whole number")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let number = value.parse();
        number
            .map(Some)
            .map_err(|_no| E::custom(format!("{value:?} is not a whole number")))
    }
}

struct Bool;

impl<'de> Visitor<'de> for Bool {
    type Value = Option<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let read = value.to_ascii_lowercase().parse();
        read.map(Some)
            .map_err(|_no| E::custom(format!("{value:?} is not true or false")))
    }
}

struct Word;

impl<'de> Visitor<'de> for Word {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.to_owned()))
    }
}
