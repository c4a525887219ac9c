//! Byte offsets into a text as people count.

/// Line and column of the byte `offset`, both from 1, the column in characters.
pub(crate) fn line_column(text: &str, offset: usize) -> (u32, u32) {
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
pub(crate) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    (start + column.saturating_sub(1)).min(text.len())
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
}
