//! What a command's run leaves: `summary.md`, `findings.json`, and whether the task has failed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::findings::{Finding, Severity};
use super::output::Gathered;
use super::process::End;

/// Lines shown in the finding of a command that failed without naming a place.
const LAST_LINES: usize = 20;
/// Longest command shown, in characters.
const COMMAND_CHARS: usize = 200;

/// The results of a run, as texts.
#[derive(Debug)]
pub(super) struct Report {
    /// `summary.md`.
    pub(super) summary: String,
    /// `findings.json`.
    pub(super) findings: String,
    /// Why the task has failed; `None` when it is completed, whatever the command found.
    pub(super) failure: Option<String>,
    /// One line for a person.
    pub(super) outcome: String,
}

#[derive(Serialize)]
struct FindingsFile<'a> {
    findings: &'a [Finding],
}

/// The report of a run of `command` (as one types it). The same output makes the same report.
pub(super) fn report(command: &str, end: &End, gathered: Gathered) -> Report {
    let command: String = command.chars().take(COMMAND_CHARS).collect();
    let outcome = outcome(end);
    let tail = gathered.tail;
    let lines = gathered.lines;
    let (mut findings, left_out) = gathered.findings.finish();
    if findings.is_empty() && *end != End::Exit(0) {
        findings.push(unnamed(&command, &outcome, &tail));
    }
    let summary = summary(&command, &outcome, &findings, left_out, &tail, lines);
    let file = FindingsFile {
        findings: &findings,
    };
    // Texts and numbers only: there is no value here that JSON could not hold.
    let findings = serde_json::to_string_pretty(&file).unwrap_or_default() + "\n";
    Report {
        summary,
        findings,
        failure: failed(end).then(|| format!("command {command:?} ended with {outcome}")),
        outcome,
    }
}

/// Exit codes up to 125 are the command's own word; what is above, a shell's or the kernel's, says
/// that it did not get to speak (DESIGN §2.5).
fn failed(end: &End) -> bool {
    !matches!(end, End::Exit(0..=125))
}

fn outcome(end: &End) -> String {
    match end {
        End::Exit(126) => "exit code 126: it cannot be executed".to_owned(),
        End::Exit(127) => "exit code 127: it was not found".to_owned(),
        End::Exit(code @ 129..=192) => format!("exit code {code}: signal {}", code - 128),
        End::Exit(code) => format!("exit code {code}"),
        End::Signal(signal) => format!("signal {signal}"),
        End::NotStarted(code, cause) => format!("exit code {code}: {cause}"),
        End::Canceled => "a cancellation".to_owned(),
    }
}

/// The finding of a command that is unhappy and names no place: its last words.
fn unnamed(command: &str, outcome: &str, tail: &VecDeque<String>) -> Finding {
    let mut issue = format!("`{command}` ended with {outcome} and named no file");
    for line in tail.iter().skip(tail.len().saturating_sub(LAST_LINES)) {
        issue.push('\n');
        issue += line;
    }
    Finding {
        severity: Severity::High,
        // The workspace as a whole.
        file: ".".to_owned(),
        line: None,
        issue,
    }
}

fn summary(
    command: &str,
    outcome: &str,
    findings: &[Finding],
    left_out: usize,
    tail: &VecDeque<String>,
    lines: u64,
) -> String {
    let count = |wanted| findings.iter().filter(|f| f.severity == wanted).count();
    let mut text = format!(
        "# `{}`\n\nEnded with {outcome}.\n\nFindings: {} ({} high, {} medium, {} low)",
        command.replace('`', "'"),
        findings.len(),
        count(Severity::High),
        count(Severity::Medium),
        count(Severity::Low),
    );
    if left_out > 0 {
        text += &format!(", and {left_out} more lines that are not listed");
    }
    text += ".\n";
    if tail.is_empty() {
        return text + "\nIt printed nothing.\n";
    }
    text += &format!("\n## Output, the last {} of {lines} lines\n\n", tail.len());
    let fence = fence(tail);
    text += &format!("{fence}text\n");
    for line in tail {
        text += line;
        text.push('\n');
    }
    text + &fence + "\n"
}

/// A fence longer than any row of backticks in what it holds.
fn fence(lines: &VecDeque<String>) -> String {
    let rows = lines.iter().flat_map(|line| line.split(|c| c != '`'));
    let longest = rows.map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Puts both files into `dir`, each whole or not at all.
///
/// # Errors
/// Naming the file that cannot be written.
pub(super) fn write(report: &Report, dir: &Path) -> io::Result<()> {
    for (name, text) in [
        ("summary.md", &report.summary),
        ("findings.json", &report.findings),
    ] {
        let path = dir.join(name);
        replace(&path, dir, text).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    Ok(())
}

fn replace(path: &Path, dir: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(end: &End, output: &str) -> Report {
        let mut gathered = Gathered::default();
        gathered.add(&output.lines().map(str::to_owned).collect::<Vec<_>>());
        report("make test", end, gathered)
    }

    #[test]
    fn what_the_command_says_is_the_result_and_what_it_cannot_say_is_a_failure() {
        for (end, failed) in [
            (End::Exit(0), false),
            (End::Exit(1), false),
            (End::Exit(125), false),
            (End::Exit(126), true),
            (End::Exit(127), true),
            (End::Exit(137), true),
            (End::Exit(255), true),
            (End::Signal(9), true),
            (End::NotStarted(127, "No such file".to_owned()), true),
        ] {
            assert_eq!(of(&end, "").failure.is_some(), failed, "{end:?}");
        }
        let failure = of(&End::Exit(137), "").failure.unwrap();
        assert_eq!(
            failure,
            "command \"make test\" ended with exit code 137: signal 9"
        );
    }

    #[test]
    fn a_failure_that_names_no_place_is_one_finding_with_the_last_words() {
        let output: String = (1..=30).map(|n| format!("line {n}\n")).collect();
        let found = |report: &Report| -> serde_json::Value {
            serde_json::from_str(&report.findings).unwrap()
        };
        let json = found(&of(&End::Exit(2), &output));
        let finding = &json["findings"][0];
        assert_eq!(
            (&finding["severity"], &finding["file"]),
            (&"high".into(), &".".into())
        );
        let issue = finding["issue"].as_str().unwrap();
        assert!(
            issue.starts_with("`make test` ended with exit code 2 and named no file\nline 11\n")
        );
        assert!(issue.ends_with("line 30"), "{issue}");
        let quiet = found(&of(&End::Exit(0), &output));
        assert_eq!(quiet, serde_json::json!({"findings": []}));
    }

    #[test]
    fn the_summary_is_one_readable_page() {
        let output = "building\nsrc/a.c:3: error: no ``` here\nsrc/a.c:9: warning: hm\n";
        insta::assert_snapshot!("summary_with_findings", of(&End::Exit(1), output).summary);
        insta::assert_snapshot!("summary_of_silence", of(&End::Exit(0), "").summary);
    }

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("summary.md"),
            "old and much longer than the new one",
        )
        .unwrap();
        let report = of(&End::Exit(0), "");
        write(&report, dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("summary.md"), report.summary);
        assert_eq!(read("findings.json"), report.findings);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing else is left"
        );
        let error = write(&report, &dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none/summary.md"), "{error}");
    }
}
