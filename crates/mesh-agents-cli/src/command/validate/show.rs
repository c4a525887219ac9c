//! A problem as people read it: where, what, the line itself, what to do, and how it reads then.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mesh_agents_core::position::{byte_of, excerpt_of};
use mesh_agents_registry::{Action, Problem, Severity};

use crate::output::Words;

/// Lines of a fix that are shown; a longer one is in the JSON document whole.
const FIX_LINES: usize = 8;

/// The files that excerpts come from, each read once.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<PathBuf, Option<String>>);

impl Texts {
    fn of(&mut self, file: &Path) -> Option<&str> {
        self.0
            .entry(file.to_owned())
            .or_insert_with(|| fs::read_to_string(file).ok())
            .as_deref()
    }
}

/// One problem.
pub(super) fn problem(
    out: &mut dyn Write,
    problem: &Problem,
    texts: &mut Texts,
    words: Words,
) -> io::Result<()> {
    write!(out, "{}:", problem.file.display())?;
    if let (Some(line), Some(column)) = (problem.line, problem.column) {
        write!(out, "{line}:{column}:")?;
    }
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(out, " {severity}[{}]:", problem.code)?;
    if let Some(key) = &problem.key {
        write!(out, " {key}:")?;
    }
    writeln!(out, " {}", words.commands(&problem.reason))?;
    if let (Some(line), Some(column)) = (problem.line, problem.column)
        && let Some(text) = texts.of(&problem.file)
    {
        let start = byte_of(text, line, column);
        let end = problem
            .end
            .map_or(start, |end| byte_of(text, end.line, end.column));
        for line in excerpt_of(text, start..end.max(start)).lines() {
            writeln!(out, "  {line}")?;
        }
    }
    if let Some(fix) = &problem.fix {
        writeln!(out, "  fix: {}", words.commands(fix))?;
    }
    for action in &problem.actions {
        show_action(out, action, &problem.file, texts)?;
    }
    Ok(())
}

fn show_action(
    out: &mut dyn Write,
    action: &Action,
    told_of: &Path,
    texts: &mut Texts,
) -> io::Result<()> {
    match action {
        Action::Replace {
            file,
            bytes,
            start,
            text,
            ..
        } => {
            if file != told_of {
                writeln!(out, "    in {}:", file.display())?;
            }
            let Some(old) = texts.of(file) else {
                return Ok(());
            };
            let from = old[..bytes.start].rfind('\n').map_or(0, |at| at + 1);
            let to = old[bytes.end..]
                .find('\n')
                .map_or(old.len(), |at| bytes.end + at);
            // What is taken out with the end of its line is not joined with the next in what is shown.
            let whole = text.is_empty() && old[bytes.clone()].ends_with('\n');
            if whole {
                let gone = old[bytes.clone()].trim_end_matches('\n');
                return lines(out, '-', start.line, gone);
            }
            let new = format!("{}{text}{}", &old[from..bytes.start], &old[bytes.end..to]);
            let first = new.len() - new.trim_start_matches('\n').len();
            let line = start.line + u32::try_from(first).unwrap_or(0);
            lines(out, '+', line, new.trim_matches('\n'))
        }
        Action::Create { file, text } => {
            writeln!(out, "    in {}, which is new:", file.display())?;
            lines(out, '+', 1, text.trim_end())
        }
        Action::Rename { file, to } => {
            writeln!(out, "    + {} becomes {}", file.display(), to.display())
        }
        Action::SetMode { file, mode } => {
            writeln!(out, "    + chmod {mode:o} {}", file.display())
        }
    }
}

fn lines(out: &mut dyn Write, mark: char, first: u32, text: &str) -> io::Result<()> {
    let all = text.lines().count();
    for (number, line) in (first..).zip(text.lines().take(FIX_LINES)) {
        writeln!(out, "  {number} {mark} {}", line.trim_end())?;
    }
    if all > FIX_LINES {
        writeln!(out, "    {mark} … {} more lines", all - FIX_LINES)?;
    }
    Ok(())
}

/// One line for each agent.
pub(super) fn verdict(out: &mut dyn Write, agent: &str, problems: &[Problem]) -> io::Result<()> {
    let count = |severity| {
        problems
            .iter()
            .filter(|one| one.agent.as_deref() == Some(agent) && one.severity == severity)
            .count()
    };
    let errors = plural(count(Severity::Error), "error");
    let warnings = plural(count(Severity::Warning), "warning");
    match (errors, warnings) {
        (None, None) => writeln!(out, "{agent}: ok"),
        (None, Some(warnings)) => writeln!(out, "{agent}: ok, {warnings}"),
        (Some(errors), None) => writeln!(out, "{agent}: {errors}"),
        (Some(errors), Some(warnings)) => writeln!(out, "{agent}: {errors}, {warnings}"),
    }
}

fn plural(count: usize, word: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    }
}
