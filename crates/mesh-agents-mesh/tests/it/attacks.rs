//! `ATTACKS.md` names tests; they are there.

use std::path::Path;

const ATTACKS: &str = include_str!("../../ATTACKS.md");

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `a/{b,c}.rs` as `a/b.rs`, `a/c.rs`.
fn spread(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (names, after) = rest.split_once('}').unwrap();
    let each = names.split(',');
    each.map(|name| format!("{before}{name}{after}")).collect()
}

/// The code of the files that a part of the document lists.
fn code(listed: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = quoted(listed).flat_map(spread);
    files
        .map(|file| {
            std::fs::read_to_string(root.join(&file))
                .unwrap_or_else(|error| panic!("{file}: {error}"))
        })
        .collect()
}

#[test]
fn every_attack_has_the_tests_its_row_says_on_values_and_on_the_wire() {
    let (table, files) = ATTACKS.split_once("The tests of rules are in:").unwrap();
    let (rules, wire) = files.split_once("The tests on the wire are in:").unwrap();
    let kinds = [code(rules), code(wire)];
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let (mut both, mut only) = (0, [0, 0]);
    for row in rows.skip(1) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let ["", attack, _, rules, wire, ""] = cells[..] else {
            panic!("not four cells: {row}");
        };
        for (cell, code) in [rules, wire].into_iter().zip(&kinds) {
            assert!(
                cell == "—" || quoted(cell).count() > 0,
                "{attack}: {cell:?}"
            );
            for name in quoted(cell) {
                let there = code.contains(&format!("fn {name}("));
                assert!(there, "{attack}: no {name} in the files of its kind");
            }
        }
        match [rules, wire].map(|cell| cell != "—") {
            [true, true] => both += 1,
            [true, false] => only[0] += 1,
            [false, true] => only[1] += 1,
            [false, false] => panic!("{attack}: nothing shows what comes of it"),
        }
    }
    let all = both + only[0] + only[1];
    let [rules, wire] = only;
    let said =
        format!("Of the {all} attacks {both} have both, {wire} only the wire, {rules} only rules");
    let text = ATTACKS.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&said), "it is so: {said}");
}
