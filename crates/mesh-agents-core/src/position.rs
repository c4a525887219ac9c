//! Byte offsets into a text as people count.

use std::ops::Range;

/// Line and column of the byte `offset`, both from 1, the column in characters.
#[must_use]
pub fn line_column(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (
        count(before.bytes().filter(|b| *b == b'\n').count() + 1),
        count(before[line_start..].chars().count() + 1),
    )
}

/// The byte offset of a line and a column that counts bytes, both from 1, as parsers report them.
#[must_use]
pub fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// Characters of a line that an excerpt shows at the most.
const EXCERPT_CHARS: usize = 100;

/// The line the byte `offset` is in, its number before it and a mark below the place. Control characters are
/// shown as spaces.
#[must_use]
pub fn excerpt(text: &str, offset: usize) -> String {
    excerpt_of(text, offset..offset)
}

/// The same with a mark below each character of `bytes` that is on the first of its lines.
#[must_use]
pub fn excerpt_of(text: &str, bytes: Range<usize>) -> String {
    let (line, column) = line_column(text, bytes.start);
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX) - 1;
    let content = text.split('\n').nth(index(line)).unwrap_or_default();
    // A place far to the right keeps some of what is before it.
    let skipped = index(column).saturating_sub(EXCERPT_CHARS / 2);
    let skipped = if content.chars().count() > EXCERPT_CHARS {
        skipped
    } else {
        0
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = content
        .chars()
        .skip(skipped)
        .take(EXCERPT_CHARS)
        .map(plain)
        .collect();
    let number = line.to_string();
    let (indent, below) = (
        " ".repeat(number.len()),
        " ".repeat(index(column) - skipped),
    );
    let marked = text.get(bytes).and_then(|marked| marked.lines().next());
    let most = shown.chars().count().saturating_sub(below.len());
    let marks = marked.map_or(0, |marked| marked.chars().count()).min(most);
    let marks = "^".repeat(marks.max(1));
    format!("{number} | {}\n{indent} | {below}{marks}", shown.trim_end())
}

/// The byte offset of a line and a column that counts characters, both from 1.
#[must_use]
pub fn byte_of(text: &str, line: u32, column: u32) -> usize {
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
    let start: usize = text
        .split_inclusive('\n')
        .take(index(line))
        .map(str::len)
        .sum();
    text[start..]
        .char_indices()
        .nth(index(column))
        .map_or(text.len(), |(at, _)| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_and_lines() {
        let text = "aä\n  ß=1\r\n";
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, 3), (1, 3));
        assert_eq!(line_column(text, 4), (2, 1));
        assert_eq!(line_column(text, 7), (2, 3));
        assert_eq!(line_column(text, 8), (2, 4));
        assert_eq!(line_column(text, 999), (3, 1));
        assert_eq!(offset_of(text, 2, 1), 4);
        assert_eq!(offset_of(text, 9, 9), text.len());
    }

    #[test]
    fn an_excerpt_points_at_the_place() {
        assert_eq!(excerpt("a\nbä = x\r\n", 8), "2 | bä = x\n  |      ^");
        assert_eq!(excerpt("", 0), "1 | \n  | ^");
        assert_eq!(excerpt_of("a\nbä = x\ny", 2..10), "2 | bä = x\n  | ^^^^^^");
        assert_eq!(byte_of("a\nbä = x\n", 2, 4), 6);
        assert_eq!(byte_of("a\n", 9, 9), 2);
        assert_eq!(excerpt("a\n", 99), "2 | \n  | ^");
        let long = format!("{}X{}", "a".repeat(200), "b".repeat(200));
        let shown = excerpt(&long, 200);
        let (line, mark) = shown.split_once('\n').unwrap();
        assert_eq!(line.find('X'), mark.find('^'), "{shown}");
        assert!(line.len() <= EXCERPT_CHARS + 4);
    }
}
