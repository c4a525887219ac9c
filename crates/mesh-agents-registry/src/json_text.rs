//! Small changes of a card as text, and where things stand in it.

use std::ops::Range;

/// The name of the field whose value begins at `value`, quotes included. The text is JSON.
pub(crate) fn key_before(text: &str, value: usize) -> Option<Range<usize>> {
    let end = text[..value].trim_end().strip_suffix(':')?.trim_end().len();
    let inside = text[..end].strip_suffix('"')?;
    let start = inside
        .char_indices()
        .rev()
        .find(|(at, c)| *c == '"' && !escaped(inside, *at))?
        .0;
    Some(start..end)
}

/// Whether the character at `at` has an odd number of backslashes before it.
fn escaped(text: &str, at: usize) -> bool {
    let slashes = text[..at].len() - text[..at].trim_end_matches('\\').len();
    slashes % 2 == 1
}

/// The bytes to take out so that a field goes: with the comma after it, or the one before.
pub(crate) fn field(text: &str, key: &Range<usize>, value: &Range<usize>) -> Range<usize> {
    let after = &text[value.end..];
    if let Some(next) = after.trim_start().strip_prefix(',') {
        let start = next.trim_start();
        return key.start..text.len() - start.len();
    }
    let before = text[..key.start].trim_end();
    let start = before.strip_suffix(',').map_or(key.start, str::len);
    start..value.end
}

/// The field `name` with the value `json`, written first into the object at `object`.
pub(crate) fn added(
    text: &str,
    object: &Range<usize>,
    name: &str,
    json: &str,
) -> (Range<usize>, String) {
    let at = object.start + 1;
    let inside = &text[at..object.end];
    let rest = inside.trim_start();
    let white = &inside[..inside.len() - rest.len()];
    let comma = if rest.starts_with('}') { "" } else { "," };
    (at..at, format!("{white}\"{name}\": {json}{comma}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str, name: &str, value: &str) -> String {
        let value_at = text.find(&format!(" {value}")).unwrap() + 1;
        let key = key_before(text, value_at).unwrap();
        assert_eq!(&text[key.clone()], name);
        let mut left = text.to_owned();
        left.replace_range(field(text, &key, &(value_at..value_at + value.len())), "");
        left
    }

    #[test]
    fn a_field_goes_with_one_comma() {
        let text = "{\n  \"a\": 1,\n  \"b\\\"\\\\\": 2,\n  \"c\": 3\n}";
        assert_eq!(
            without(text, "\"a\"", "1"),
            "{\n  \"b\\\"\\\\\": 2,\n  \"c\": 3\n}"
        );
        assert_eq!(
            without(text, "\"b\\\"\\\\\"", "2"),
            "{\n  \"a\": 1,\n  \"c\": 3\n}"
        );
        assert_eq!(
            without(text, "\"c\"", "3"),
            "{\n  \"a\": 1,\n  \"b\\\"\\\\\": 2\n}"
        );
        assert_eq!(without("{ \"a\": 1 }", "\"a\"", "1"), "{  }");
    }

    #[test]
    fn a_field_is_added_as_the_others_are_laid_out() {
        let text = "{\n  \"a\": 1\n}";
        let (at, new) = added(text, &(0..text.len()), "b", "[]");
        let mut more = text.to_owned();
        more.replace_range(at, &new);
        assert_eq!(more, "{\n  \"b\": [],\n  \"a\": 1\n}");
        assert_eq!(added("{}", &(0..2), "b", "[]").1, "\"b\": []");
    }
}
