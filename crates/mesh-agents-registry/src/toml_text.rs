//! Small changes of a `runtime.toml` as text, so that everything else in it stays as it was.

use std::ops::Range;

/// One replacement of bytes by a text.
pub(crate) type Edit = (Range<usize>, String);

/// The bytes of an entry: its whole lines when it has them for itself, else it and one comma.
pub(crate) fn entry(text: &str, key: &Range<usize>, value: &Range<usize>) -> Range<usize> {
    let line = text[..key.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line..key.start];
    let dotted = |c: char| c.is_ascii_alphanumeric() || "_-.\"' \t".contains(c);
    if before.chars().all(dotted) {
        let end = text[value.end..]
            .find('\n')
            .map_or(text.len(), |at| value.end + at + 1);
        return line..end;
    }
    let after = &text[value.end..];
    let rest = after.trim_start();
    if let Some(next) = rest.strip_prefix(',') {
        let skipped = after.len() - next.trim_start_matches([' ', '\t']).len();
        return key.start..value.end + skipped;
    }
    let start = text[..key.start].trim_end();
    let start = start.strip_suffix(',').unwrap_or(start).len();
    start..value.end
}

/// The entry removed here and written in `table`, which is the file itself when empty.
pub(crate) fn moved(
    text: &str,
    key: &Range<usize>,
    value: &Range<usize>,
    table: &str,
) -> Vec<Edit> {
    let from = entry(text, key, value);
    let end = text[value.end..]
        .find('\n')
        .map_or(text.len(), |at| value.end + at);
    let mut line = text[key.start..end].trim_end().to_owned();
    if !from.contains(&end) && end != from.end {
        text[key.start..value.end].clone_into(&mut line);
    }
    vec![(from, String::new()), added(text, table, &line)]
}

/// `line` written into `table`: below its header, or with a header at the end of the file.
pub(crate) fn added(text: &str, table: &str, line: &str) -> Edit {
    if table.is_empty() {
        let at = lines(text)
            .find(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .map_or(text.len(), |(at, _)| at);
        return (at..at, format!("{line}\n"));
    }
    match header(text, table) {
        Some(at) => (at..at, format!("{line}\n")),
        None => {
            let gap = match text {
                "" => "",
                text if text.ends_with('\n') => "\n",
                _ => "\n\n",
            };
            let end = text.len();
            (end..end, format!("{gap}[{table}]\n{line}\n"))
        }
    }
}

/// The place below the header of `table`.
fn header(text: &str, table: &str) -> Option<usize> {
    lines(text).find_map(|(at, line)| {
        let name = line.trim_start().strip_prefix('[')?;
        let (name, _) = name.split_once(']')?;
        (name.trim() == table && line.ends_with('\n')).then_some(at + line.len())
    })
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the edits, which do not overlap.
    fn apply(text: &str, edits: &[Edit]) -> String {
        let mut edits: Vec<&Edit> = edits.iter().collect();
        edits.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.start));
        let mut text = text.to_owned();
        for (bytes, new) in edits {
            text.replace_range(bytes.clone(), new);
        }
        text
    }

    fn spans(text: &str, key: &str, value: &str) -> (Range<usize>, Range<usize>) {
        let k = text.find(key).unwrap();
        let v = k + text[k..].find(value).unwrap();
        (k..k + key.len(), v..v + value.len())
    }

    #[test]
    fn an_entry_goes_with_its_comment_and_leaves_its_neighbours() {
        for (text, key, value, left) in [
            ("a = 1 # x\nb = 2\n", "a", "1", "b = 2\n"),
            ("  q.a = [\n1,\n] # x\nb = 2", "a", "[\n1,\n]", "b = 2"),
            ("t = { a = 1, b = 2 }\n", "a", "1", "t = { b = 2 }\n"),
            ("t = { c = 1, b = 2 }\n", "b", "2", "t = { c = 1 }\n"),
        ] {
            let (k, v) = spans(text, key, value);
            assert_eq!(apply(text, &[(entry(text, &k, &v), String::new())]), left);
        }
    }

    #[test]
    fn an_entry_moves_to_its_table() {
        let text = "# mine\n[runtime]\nidle_seconds = 5 # why\n\n[policy]\nread = []\n";
        let (k, v) = spans(text, "idle_seconds", "5");
        assert_eq!(
            apply(text, &moved(text, &k, &v, "policy")),
            "# mine\n[runtime]\n\n[policy]\nidle_seconds = 5 # why\nread = []\n"
        );
        assert_eq!(
            apply(text, &moved(text, &k, &v, "")),
            "# mine\nidle_seconds = 5 # why\n[runtime]\n\n[policy]\nread = []\n"
        );
        assert_eq!(
            apply(text, &moved(text, &k, &v, "result")),
            "# mine\n[runtime]\n\n[policy]\nread = []\n\n[result]\nidle_seconds = 5 # why\n"
        );
    }
}
