//! A page of a long text that ends at a character and fits its place once it is written as JSON.

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<'a> {
    /// Its text.
    pub(super) text: &'a str,
    /// Characters of the whole text.
    pub(super) total: u64,
    /// The character the next page starts with; `None` on the last.
    pub(super) next: Option<u64>,
}

/// The page that starts with character `offset`: at most `most` characters and at most `bytes`
/// bytes of JSON between its quotes, but at least one character, so that readers get on.
/// `Err` with the number of characters when there is none at `offset`.
pub(super) fn page(text: &str, offset: u64, most: u64, bytes: usize) -> Result<Page<'_>, u64> {
    // The standard library counts and skips many characters at a step; a page of a long text would
    // otherwise cost a look at every character before and after it.
    let total = text.chars().count() as u64;
    if offset > total {
        return Err(total);
    }
    let mut rest = text.chars();
    if let Some(last_before) = offset.checked_sub(1) {
        rest.nth(usize::try_from(last_before).unwrap_or(usize::MAX));
    }
    let rest = rest.as_str();
    let (mut end, mut taken, mut spent) = (rest.len(), 0_u64, 0_usize);
    for (at, c) in rest.char_indices() {
        spent += encoded_len(c);
        if taken > 0 && (taken >= most || spent > bytes) {
            end = at;
            break;
        }
        taken += 1;
    }
    // Just past the end is no mistake: what a reader asks for who counts on, and all there is of an
    // empty text.
    Ok(Page {
        text: &rest[..end],
        total,
        next: (end < rest.len()).then_some(offset + taken),
    })
}

/// Bytes of a character inside a JSON string as `serde_json` writes it.
fn encoded_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_ends_at_a_character_and_says_where_the_next_starts() {
        let text = "aä€😀z";
        assert_eq!(
            page(text, 1, 2, 100),
            Ok(Page {
                text: "ä€",
                total: 5,
                next: Some(3)
            })
        );
        assert_eq!(
            page(text, 3, 2, 100),
            Ok(Page {
                text: "😀z",
                total: 5,
                next: None
            })
        );
        assert_eq!(page(text, 3, 2, 1).unwrap().text, "😀", "never nothing");
        assert_eq!(
            page(text, 5, 2, 100),
            Ok(Page {
                text: "",
                total: 5,
                next: None
            })
        );
        assert_eq!(page(text, 6, 2, 100), Err(5));
        assert_eq!(
            page("", 0, 2, 100),
            Ok(Page {
                text: "",
                total: 0,
                next: None
            })
        );
    }

    proptest! {
        #[test]
        fn the_pages_are_the_text_and_each_fits(
            text in "[a-zä€😀\"\\\\\n\t\u{1}\u{7f} ]{0,400}", most in 1_u64..50, bytes in 6_usize..60
        ) {
            let mut read = String::new();
            let mut at = Some(0);
            while let Some(offset) = at {
                let page = page(&text, offset, most, bytes).unwrap();
                prop_assert_eq!(page.total, text.chars().count() as u64);
                prop_assert!(page.text.chars().count() as u64 <= most);
                prop_assert!(serde_json::to_string(page.text).unwrap().len() - 2 <= bytes);
                prop_assert!(page.next.is_none_or(|next| next > offset));
                read.push_str(page.text);
                at = page.next;
            }
            prop_assert_eq!(read, text);
        }
    }
}
