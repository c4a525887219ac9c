//! The known word nearest to a mistyped one.

/// How alike two words must be to be offered, 0 to 1: lets `agent` pass for `agent_id` and keeps
/// unrelated words apart.
const ALIKE: f64 = 0.8;

/// The candidate nearest to `word`, if one is near.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|one| (strsim::jaro_winkler(&word, &one.to_lowercase()), one))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let words = ["agent_id", "message", "wait_seconds"];
        assert_eq!(nearest("agentId", words), Some("agent_id"));
        assert_eq!(nearest("wait_second", words), Some("wait_seconds"));
        assert_eq!(nearest("colour", words), None);
    }
}
