//! What a wrong key or value was probably meant to be.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::Repair;
use crate::near::nearest;

/// What an unknown key was probably meant to be: for a person, and for a program.
pub(super) fn what_was_meant(
    key: &str,
    span: &Range<usize>,
    value: &Spanned<DeValue<'_>>,
    keys: &[&str],
    elsewhere: impl Fn(&str) -> Option<&'static str>,
) -> (String, Option<Repair>) {
    if let Some(near) = nearest(key, keys.iter().copied()) {
        let repair = Repair::Replace(span.clone(), near.to_owned());
        return (format!("did you mean {near:?}?"), Some(repair));
    }
    let in_seconds = key.rsplit_once('_').and_then(|(stem, unit)| {
        let meant = format!("{stem}{SECONDS}");
        let factor = unit_seconds(unit)?;
        let number = u32::try_from(value.get_ref().as_integer().and_then(whole)?).ok()?;
        keys.contains(&meant.as_str())
            .then(|| Some((meant, number.checked_mul(factor)?)))?
    });
    if let Some((meant, seconds)) = in_seconds {
        let repair = Repair::Replace(span.start..value.span().end, format!("{meant} = {seconds}"));
        let fix = format!("did you mean {meant:?}? It counts seconds: {seconds}");
        return (fix, Some(repair));
    }
    let Some(table) = elsewhere(key) else {
        return (format!("valid here: {}", keys.join(", ")), None);
    };
    if value.get_ref().is_table() {
        let full = match table {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        };
        let fix = format!("write it as [{full}]");
        return (fix, Some(Repair::Header(span.clone(), full)));
    }
    let fix = if table.is_empty() {
        "it belongs at the top of the file, before the first [table]".to_owned()
    } else {
        format!("it belongs under [{table}]")
    };
    let repair = Repair::Move(span.clone(), value.span(), table.to_owned());
    (fix, Some(repair))
}

pub(super) fn replace(value: &Spanned<DeValue<'_>>, text: &str) -> Repair {
    Repair::Replace(value.span(), text.to_owned())
}

/// A number, a date or a truth value in quotes.
pub(super) fn quoted(value: &Spanned<DeValue<'_>>) -> Option<Repair> {
    let plain = !matches!(value.get_ref(), DeValue::Array(_) | DeValue::Table(_));
    plain.then(|| Repair::Wrap(value.span(), "\"", "\""))
}

fn whole(integer: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(super) fn meant_bool(value: &DeValue<'_>) -> Option<&'static str> {
    let word = match value {
        DeValue::String(text) => text.to_ascii_lowercase(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        _ => return None,
    };
    match word.as_str() {
        "true" | "yes" | "on" | "1" => Some("true"),
        "false" | "no" | "off" | "0" => Some("false"),
        _ => None,
    }
}

/// The whole number that was meant: `"900"`, `60.0`, and for a key that counts seconds `"15m"`.
pub(super) fn meant_number(value: &DeValue<'_>, key: &str) -> Option<u32> {
    let text: &str = match value {
        DeValue::String(text) => text,
        DeValue::Float(number) => number.as_str().strip_suffix(".0")?,
        _ => return None,
    };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" => 1,
        unit if key.ends_with(SECONDS) => unit_seconds(unit)?,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// How keys end that hold a time.
pub(super) const SECONDS: &str = "_seconds";

fn unit_seconds(unit: &str) -> Option<u32> {
    match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3600),
        "d" | "day" | "days" => Some(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_whatever_they_were_written_in() {
        let number = |text: &str, key| {
            let table = toml::de::DeTable::parse(text).unwrap();
            let (_, value) = table.get_ref().iter().next().unwrap();
            meant_number(value.get_ref(), key)
        };
        let seconds = "idle_seconds";
        assert_eq!(number("k = \"15m\"", seconds), Some(900));
        assert_eq!(number("k = \" 2 hours \"", seconds), Some(7200));
        assert_eq!(number("k = \"900\"", seconds), Some(900));
        assert_eq!(number("k = 60.0", seconds), Some(60));
        assert_eq!(number("k = 1.5", seconds), None);
        assert_eq!(number("k = \"soon\"", seconds), None);
        assert_eq!(number("k = \"99999999h\"", seconds), None);
        assert_eq!(number("k = \"15m\"", "max_attempts"), None);
    }
}
