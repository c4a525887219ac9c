//! Which known word somebody may have meant.

/// The candidate closest to `word`, if one is close enough to be what was meant.
///
/// Close is: at most a third of the longer word mistyped (insertions, deletions, replacements and
/// swaps of neighbours), letter case and the difference between `-` and `_` not counted.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = folded(candidate);
            let distance = strsim::damerau_levenshtein(&word, &other);
            let longer = word.chars().count().max(other.chars().count());
            (distance * 3 <= longer).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Long inputs are cut: the distance costs the product of both lengths, and no word here is that long.
fn folded(word: &str) -> String {
    word.chars()
        .take(128)
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_was_meant_and_nothing_else() {
        let near = |word| nearest(word, ["max_concurrent_tasks", "model", "mode", "env"]);
        assert_eq!(near("max_concurent_tasks"), Some("max_concurrent_tasks"));
        assert_eq!(near("Max-Concurrent-Tasks"), Some("max_concurrent_tasks"));
        assert_eq!(near("modle"), Some("model"));
        assert_eq!(near("mode"), Some("mode"));
        assert_eq!(near("workspace"), None);
        assert_eq!(near(""), None);
    }
}
