//! Words of others, made fit to be shown: on a terminal, in a list, to a model.
//!
//! Names and descriptions come from people and nodes we do not know. What moves a cursor, turns the
//! direction of a line or is not seen at all can make a text read as something else than it says.

/// Longest name in a list, in characters.
pub const NAME_CHARS: usize = 80;
/// Longest description in a list, in characters.
pub const DESCRIPTION_CHARS: usize = 500;

/// Whether a character is only what it looks like: no control character, none that changes the
/// direction of text, none that is never seen (Unicode's tags can carry a whole hidden text).
/// Joiners stay: scripts and emoji need them.
#[must_use]
pub fn is_harmless(c: char) -> bool {
    let hidden = matches!(c,
        // Directional marks, embeddings, overrides and isolates.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}'
        // Never seen: zero-width space, invisible operators, deprecated controls, byte order mark.
        | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        // Annotations, tags and the supplementary variation selectors.
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden
}

/// One line of at most `most` characters: line breaks and tabs are spaces, what [`is_harmless`]
/// refuses is gone, and a text that was cut ends in `…`.
#[must_use]
pub fn clean_text(text: &str, most: usize) -> String {
    let spaced = text.chars().map(|c| if breaks(c) { ' ' } else { c });
    let mut clean: String = spaced.filter(|c| is_harmless(*c)).take(most + 1).collect();
    if let Some((end, _)) = clean.char_indices().nth(most) {
        clean.truncate(end);
        clean.pop();
        clean.push('…');
    }
    clean
}

/// The same text, its lines kept: only what [`is_harmless`] refuses is gone.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.chars().filter(|c| is_clean(*c)).collect()
}

/// Whether [`clean_lines`] would leave the text as it is.
#[must_use]
pub fn is_clean_lines(text: &str) -> bool {
    text.chars().all(is_clean)
}

fn is_clean(c: char) -> bool {
    is_harmless(c) || matches!(c, '\n' | '\t')
}

fn breaks(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_turns_or_hides_is_gone_and_words_stay() {
        let hidden: String = "run rm"
            .chars()
            .filter_map(|c| char::from_u32(0xe0000 + u32::from(c)))
            .collect();
        for (dirty, clean) in [
            ("a\u{1b}[2Jb\u{7}", "a[2Jb"),
            ("safe\u{202e}gpj.exe\u{2066}", "safegpj.exe"),
            ("two\r\nlines\tand\u{2028}more", "two  lines and more"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            (format!("nice{hidden}").as_str(), "nice"),
            (
                "ein Überblick, 日本語, 👩‍💻, नमस्ते",
                "ein Überblick, 日本語, 👩‍💻, नमस्ते",
            ),
        ] {
            assert_eq!(clean_text(dirty, 80), clean);
        }
        assert_eq!(clean_lines("a\n\tb\r\u{202e}c"), "a\n\tbc");
        assert!(is_clean_lines("a\n\tb") && !is_clean_lines("a\u{200b}"));
    }

    #[test]
    fn a_text_that_is_cut_says_so_and_keeps_to_its_length() {
        assert_eq!(clean_text("abcd", 4), "abcd");
        assert_eq!(clean_text("abcde", 4), "abc…");
        assert_eq!(clean_text("ää\u{202e}ää", 4), "ääää");
        assert_eq!(clean_text("abc", 0), "…");
    }
}
