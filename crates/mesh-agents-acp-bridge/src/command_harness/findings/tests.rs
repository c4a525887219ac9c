//! Lines of real tools, and lines that only look like them.

use super::*;

fn found(output: &str) -> Vec<String> {
    let mut findings = Findings::default();
    for line in output.lines() {
        findings.line(line);
    }
    let show = |finding: Finding| {
        let line = finding.line.map_or("-".to_owned(), |line| line.to_string());
        format!(
            "{:?} {} {line} {}",
            finding.severity, finding.file, finding.issue
        )
    };
    findings.finish().0.into_iter().map(show).collect()
}

#[test]
fn a_line_that_names_a_place_is_a_finding() {
    for (line, expected) in [
        (
            "src/a.c:3:5: error: expected ';'",
            "High src/a.c 3 error: expected ';'",
        ),
        (
            "src/a.c:3: warning: unused",
            "Medium src/a.c 3 warning: unused",
        ),
        (
            "a.c:3:5: note: declared here",
            "Low a.c 3 note: declared here",
        ),
        (
            "a.c:3:5: fatal error: no such header",
            "High a.c 3 fatal error: no such header",
        ),
        ("x.go:3:2: undefined: y", "Medium x.go 3 undefined: y"),
        (
            "    cart_test.go:12: got 3, want 4",
            "Medium cart_test.go 12 got 3, want 4",
        ),
        (
            "path.py:12: AssertionError",
            "High path.py 12 AssertionError",
        ),
        (
            "tests/test_x.py:7: ZeroDivisionError: division",
            "High tests/test_x.py 7 ZeroDivisionError: division",
        ),
        (
            "a/b.py:1:8: F401 `os` imported but unused",
            "Medium a/b.py 1 F401 `os` imported but unused",
        ),
        (
            "./run.sh:4:1: [error] SC2086: quote this",
            "High ./run.sh 4 [error] SC2086: quote this",
        ),
        (
            r"C:\src\app\x.c:3:2: error: no",
            r"High C:\src\app\x.c 3 error: no",
        ),
        ("D:/src/x.c:3: no", "Medium D:/src/x.c 3 no"),
        (
            r"src\x.cs:9:1: hint: shorter",
            r"Low src\x.cs 9 hint: shorter",
        ),
        (
            "app/[id]/(group)/page.tsx:3:5: bad",
            "Medium app/[id]/(group)/page.tsx 3 bad",
        ),
        (
            "Makefile:12: *** missing separator.  Stop.",
            "Medium Makefile 12 *** missing separator.  Stop.",
        ),
        ("bin/tool:12: failed", "High bin/tool 12 failed"),
        ("mod.py:0: whole file", "Medium mod.py - whole file"),
        ("größe.rs:3:1: warning: x", "Medium größe.rs 3 warning: x"),
        ("a.rs:3:5:\ttabbed", "Medium a.rs 3 tabbed"),
    ] {
        assert_eq!(found(line), [expected], "{line}");
    }
}

#[test]
fn a_line_that_names_no_place_is_none() {
    for line in [
        "",
        ":",
        "http://x:80: y",
        "//x:80: y",
        "https://example.com:443: refused",
        "localhost:8080: connection refused",
        "127.0.0.1:80: refused",
        "[::1]:80: refused",
        "10:35:23: started",
        "2026-11-20T10:35:23: started",
        "Error: x.c:3: later in the line",
        "see src/x.c:3: for more",
        "src/x.rs:3:let y = 1;",
        "src/x.rs:3:5:",
        "src/x.rs:3:5: ",
        "src/x.rs:three: words",
        "src/x.rs:99999999999: too far",
        "src/:3: a directory",
        "time=\"a.b:3: x\"",
        "<stdin>:1: x",
        "-o=a.c:3: x",
        "v1.2:3: x",
        "test result: FAILED. 3 passed; 1 failed",
        "é:1: x",
        "C:",
        r"C:\",
    ] {
        assert_eq!(found(line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn rustcs_arrow_takes_the_text_above_it() {
    let output = "\
error[E0308]: mismatched types
 --> src/x.rs:3:5
  |
3 |     1
  |     ^ expected `()`
warning: unused variable: `y`
   --> src/y.rs:10:9
note: the lint level is defined here
  --> src/lib.rs:1:9
error: could not compile `x`";
    assert_eq!(
        found(output),
        [
            "High src/x.rs 3 error[E0308]: mismatched types",
            "Medium src/y.rs 10 warning: unused variable: `y`",
        ]
    );
    assert_eq!(
        found(" --> src/x.rs:3:5"),
        Vec::<String>::new(),
        "an arrow with nothing above it"
    );
}

#[test]
fn a_panics_place_takes_the_text_below_it() {
    let output = "\
thread 'tests::adds' (4711) panicked at src/lib.rs:12:9:
assertion `left == right` failed
  left: 3
thread 'main' panicked at src/main.rs:2:5:";
    assert_eq!(
        found(output),
        [
            "High src/lib.rs 12 assertion `left == right` failed",
            "High src/main.rs 2 panicked",
        ]
    );
}

#[test]
fn the_same_finding_counts_once_and_there_is_an_end() {
    let mut findings = Findings::default();
    for n in 0..MOST + 5 {
        let line = format!("a.c:{}: x", n + 1);
        findings.line(&line);
        findings.line(&line);
    }
    let (found, left_out) = findings.finish();
    // What is beyond the end is counted as often as it is said.
    assert_eq!((found.len(), left_out), (MOST, 10));
    assert_eq!(found[MOST - 1].line, Some(u32::try_from(MOST).unwrap()));
}

#[test]
fn a_finding_in_json_has_the_documented_names() {
    let mut findings = Findings::default();
    findings.line("a.c:3: warning: x");
    findings.line("a.c:0: y");
    let json = serde_json::to_value(findings.finish().0).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {"severity": "medium", "file": "a.c", "line": 3, "issue": "warning: x"},
            {"severity": "medium", "file": "a.c", "issue": "y"},
        ])
    );
}
