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

#[test]
fn every_test_named_in_the_list_of_attacks_is_there() {
    let (table, files) = ATTACKS.split_once("The tests are in:").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = quoted(files).flat_map(spread);
    let code: String = files
        .map(|file| {
            std::fs::read_to_string(root.join(&file))
                .unwrap_or_else(|error| panic!("{file}: {error}"))
        })
        .collect();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut tests = 0;
    for name in rows.flat_map(quoted) {
        if name.matches('_').count() < 4 {
            continue;
        }
        tests += 1;
        assert!(code.contains(&format!("fn {name}(")), "{name} is gone");
    }
    assert!(tests > 50, "{tests}");
}
