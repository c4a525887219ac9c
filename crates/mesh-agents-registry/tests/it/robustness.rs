//! Whatever stands in the files: no panic, and never silence.

use proptest::prelude::*;

use crate::support::{Agents, CARD, RUNTIME};

/// `text` with `piece` put in the place of `cut` characters.
fn mutated(text: &str, at: prop::sample::Index, cut: usize, piece: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    let rest = characters.iter().skip(at + cut);
    characters[..at]
        .iter()
        .copied()
        .chain(piece.chars())
        .chain(rest.copied())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_directory_gives_an_agent_or_a_reason(
        card in any::<bool>(),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..40,
        piece in "[{}\\[\\]\",:=.#$a-z0-9\n\\\\\u{fc}]{0,6}|\\{\\{ [a-z.]{0,9} \\}\\}|null|[-0-9.eE]{1,9}",
    ) {
        let agents = Agents::new();
        agents.good("a");
        if card {
            agents.write("a", "agent-card.json", mutated(CARD, at, cut, &piece));
        } else {
            let runtime = format!("{RUNTIME}command = \"$HOME/x\"\n[policy]\nread = [\"~\"]\n");
            agents.write("a", "runtime.toml", mutated(&runtime, at, cut, &piece));
        }
        let snapshot = agents.load();
        let errors = snapshot.problems.iter().filter(|p| p.is_error()).count();
        prop_assert_eq!(snapshot.agents.is_empty(), errors > 0, "{}", agents.told(&snapshot.problems));
        for problem in &snapshot.problems {
            prop_assert!(problem.fix.is_some() && !problem.reason.is_empty(), "{}", problem);
        }
    }
}
