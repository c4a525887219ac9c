//! Gathers the problems of one file of one agent, so that all mistakes are told at once.

use std::ops::Range;
use std::path::Path;

use mesh_agents_core::toml_reader::{Mistake, Repair};

use crate::code;
use crate::patched::Patched;
use crate::position::line_column;
use crate::problem::{Action, Place, Problem, Severity};
use crate::runtime_toml::RuntimeTable;
use crate::slips::Slip;
use crate::toml_reader::Mistakes;
use crate::toml_text;

/// The problems of one file.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    agent: &'a str,
    file: &'a Path,
    source: &'a Patched<'a>,
    /// Whether what is legal and probably not meant is told too.
    thorough: bool,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    /// A report on `file`, which reads as `source` (empty when there is none to point into).
    pub(crate) fn new(agent: &'a str, file: &'a Path, source: &'a Patched<'a>) -> Self {
        Self {
            agent,
            file,
            source,
            thorough: false,
            problems: Vec::new(),
        }
    }

    /// Tells too what is legal and probably not meant.
    pub(crate) fn thorough(mut self, thorough: bool) -> Self {
        self.thorough = thorough;
        self
    }

    /// Whether what is legal and probably not meant is told too.
    pub(crate) fn is_thorough(&self) -> bool {
        self.thorough
    }

    /// The agent's id.
    pub(crate) fn agent(&self) -> &'a str {
        self.agent
    }

    /// Adds an error at the bytes `span` of the text.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Told<'_> {
        self.add(Severity::Error, code, span, key, reason.into(), fix.into())
    }

    /// Adds a warning at the bytes `span` of the text.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Told<'_> {
        self.add(
            Severity::Warning,
            code,
            span,
            key,
            reason.into(),
            fix.into(),
        )
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Option<Range<usize>>,
        key: &str,
        reason: String,
        fix: String,
    ) -> Told<'_> {
        let mut problem = Problem::new(
            severity,
            code,
            Some(self.agent),
            self.file.to_owned(),
            reason,
            fix,
        );
        problem.key = (!key.is_empty()).then(|| key.to_owned());
        if let Some(span) = span {
            let span = self.source.range(&span);
            let start = place(self.source, span.start);
            problem.line = Some(start.line);
            problem.column = Some(start.column);
            problem.end = Some(place(self.source, span.end));
        }
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        Told {
            file: self.file,
            source: self.source,
            problem: &mut self.problems[last],
        }
    }

    /// Adds a slip of syntax; its places are those of the text as it was read.
    pub(crate) fn slip(&mut self, slip: Slip) {
        let original = Patched::new(self.source.original());
        let mut own = Report::new(self.agent, self.file, &original);
        let told = own.error(slip.code, Some(slip.span), "", slip.reason, slip.fix);
        if let Some((bytes, text)) = slip.edit {
            told.replace(bytes, text);
        }
        let found = own.into_problems();
        self.problems.extend(found);
    }

    /// Whether an error was added.
    pub(crate) fn failed(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// The problems, in the order of the file; those without a place last.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|p| (p.line.is_none(), p.line, p.column));
        self.problems
    }
}

/// The place of a byte of what was read.
fn place(source: &Patched<'_>, at: usize) -> Place {
    let (line, column) = line_column(source.original(), at);
    Place { line, column }
}

/// A problem that was just told, to which can be added how a program puts it right.
#[derive(Debug)]
pub(crate) struct Told<'r> {
    file: &'r Path,
    source: &'r Patched<'r>,
    problem: &'r mut Problem,
}

impl Told<'_> {
    /// These bytes become `text`.
    pub(crate) fn replace(self, bytes: Range<usize>, text: impl Into<String>) -> Self {
        let bytes = self.source.range(&bytes);
        let action = Action::Replace {
            file: self.file.to_owned(),
            start: place(self.source, bytes.start),
            end: place(self.source, bytes.end),
            bytes,
            text: text.into(),
        };
        self.action(action)
    }

    /// All of these replacements.
    pub(crate) fn edits(self, edits: Vec<(Range<usize>, String)>) -> Self {
        edits
            .into_iter()
            .fold(self, |told, (bytes, text)| told.replace(bytes, text))
    }

    /// What is to be done to a file as a whole.
    pub(crate) fn action(self, action: Action) -> Self {
        self.problem.actions.push(action);
        self
    }

    /// `line` is written into the `table` of a `runtime.toml`.
    pub(crate) fn add_line(self, table: &str, line: &str) -> Self {
        let (bytes, text) = toml_text::added(self.source.text(), table, line);
        self.replace(bytes, text)
    }

    /// The variable is named in `inherit_env`.
    pub(crate) fn inherit(self, table: &RuntimeTable<'_>, variable: &str) -> Self {
        let Some((_, list)) = table.section.entry("inherit_env") else {
            return self.add_line("runtime", &format!("inherit_env = [{variable:?}]"));
        };
        let inside = self.source.text()[list.start..list.end - 1].trim_end();
        let end = list.start + inside.len();
        let comma = if inside.ends_with(['[', ',']) {
            ""
        } else {
            ", "
        };
        self.replace(end..end, format!("{comma}{variable:?}"))
    }

    /// The value of this entry becomes `value`.
    pub(crate) fn set(self, entry: Option<(Range<usize>, Range<usize>)>, value: &str) -> Self {
        self.repair(entry.map(|(_, old)| Repair::Replace(old, value.to_owned())))
    }

    /// This entry of a `runtime.toml` goes.
    pub(crate) fn remove(self, entry: Option<(Range<usize>, Range<usize>)>) -> Self {
        self.repair(entry.map(|(key, value)| Repair::Remove(key, value)))
    }

    fn repair(self, repair: Option<Repair>) -> Self {
        let text = self.source.text();
        match repair {
            None => self,
            Some(Repair::Replace(bytes, new)) => self.replace(bytes, new),
            Some(Repair::Wrap(bytes, before, after)) => {
                let new = format!("{before}{}{after}", &text[bytes.clone()]);
                self.replace(bytes, new)
            }
            Some(Repair::Header(bytes, full)) => {
                if text[..bytes.start].ends_with('[') {
                    self.replace(bytes, full)
                } else {
                    self
                }
            }
            Some(Repair::Remove(key, value)) => {
                let bytes = toml_text::entry(text, &key, &value);
                self.replace(bytes, "")
            }
            Some(Repair::Move(key, value, table)) => {
                let edits = toml_text::moved(text, &key, &value, &table);
                self.edits(edits)
            }
        }
    }
}

impl Mistakes for Report<'_> {
    fn error(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.error(code::WRONG_TYPE, span, key, reason, fix);
    }

    fn mistake(&mut self, mistake: Mistake) {
        let Mistake {
            code,
            span,
            key,
            reason,
            fix,
            repair,
        } = mistake;
        self.error(code, Some(span), &key, reason, fix)
            .repair(repair);
    }
}
