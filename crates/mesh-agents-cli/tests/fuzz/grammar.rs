//! Inputs that get past the first brace: values by grammar, and good samples gone wrong.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Texts that have broken programs before.
const ODD: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{202e}",
    "\u{feff}",
    "../..",
    "a/../../b",
    "{{ env.HOME }}",
    "{{ task.id }}",
    "{{",
    "${HOME}",
    "$$",
    "1e999",
    "-1",
    "18446744073709551616",
    "1970-01-01T00:00:00Z",
    "9999-99-99T99:99:99Z",
    "TASK_STATE_WORKING",
    "https://[::1]:99999/",
    "Ünïcode\n\r\t",
];

/// A JSON text whose keys and strings are taken from `words` as a rule. Now and then it is no JSON.
pub(crate) fn json(u: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    let mut text = String::new();
    value(u, words, 0, &mut text)?;
    if u.ratio(1, 16)? {
        text = damaged(u, text.as_bytes())?;
    }
    Ok(text)
}

fn value(u: &mut Unstructured<'_>, words: &[&str], depth: u8, out: &mut String) -> Result<()> {
    let kinds = if depth > 6 || u.is_empty() { 5 } else { 8 };
    match u.int_in_range(0..=kinds - 1)? {
        0 => out.push_str("null"),
        1 => out.push_str(if bool::arbitrary(u)? { "true" } else { "false" }),
        2 => out.push_str(&i64::arbitrary(u)?.to_string()),
        3 => out.push_str(u.choose(&["0", "-0", "1.10", "1e400", "9007199254740993", "01"])?),
        4 => string(u, words, out)?,
        5 => list(u, words, depth, out)?,
        _ => object(u, words, depth, out)?,
    }
    Ok(())
}

fn list(u: &mut Unstructured<'_>, words: &[&str], depth: u8, out: &mut String) -> Result<()> {
    out.push('[');
    for n in 0..u.int_in_range(0..=4)? {
        if n > 0 {
            out.push(',');
        }
        value(u, words, depth + 1, out)?;
    }
    out.push(']');
    Ok(())
}

fn object(u: &mut Unstructured<'_>, words: &[&str], depth: u8, out: &mut String) -> Result<()> {
    out.push('{');
    for n in 0..u.int_in_range(0..=6)? {
        if n > 0 {
            out.push(',');
        }
        string(u, words, out)?;
        out.push(':');
        value(u, words, depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}

fn string(u: &mut Unstructured<'_>, words: &[&str], out: &mut String) -> Result<()> {
    let text = text(u, words)?;
    out.push_str(&serde_json::to_string(&text).unwrap());
    Ok(())
}

/// A word, an odd text, or any text.
pub(crate) fn text(u: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    Ok(match u.int_in_range(0..=9)? {
        0 => String::arbitrary(u)?,
        1 | 2 => (*u.choose(ODD)?).to_owned(),
        _ => (*u.choose(words)?).to_owned(),
    })
}

/// One of `samples`, as it is or with a few pieces removed, doubled, moved or replaced.
pub(crate) fn sample_gone_wrong(u: &mut Unstructured<'_>, samples: &[&str]) -> Result<String> {
    let sample = u.choose(samples)?;
    damaged(u, sample.as_bytes())
}

fn damaged(u: &mut Unstructured<'_>, good: &[u8]) -> Result<String> {
    let mut bytes = good.to_vec();
    for _ in 0..u.int_in_range(0..=4)? {
        let at = u.int_in_range(0..=bytes.len())?;
        let upto = at + u.int_in_range(0..=(bytes.len() - at).min(40))?;
        let piece = match u.int_in_range(0..=3)? {
            0 => Vec::new(),
            1 => bytes.get(at..upto).unwrap_or_default().repeat(2),
            2 => u.choose(ODD)?.as_bytes().to_vec(),
            _ => vec![u8::arbitrary(u)?],
        };
        bytes.splice(at..upto, piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
