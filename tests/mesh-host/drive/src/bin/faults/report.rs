//! The figures of a run, as they are printed at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::Findings;
use crate::schedule::{Phase, Point, Victim};

/// One victim in one phase.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    points: usize,
    violations: usize,
    took: Duration,
}

/// What all points so far brought.
#[derive(Debug, Default)]
pub(crate) struct Report {
    cells: BTreeMap<(Victim, Phase), Cell>,
    ends: BTreeMap<Victim, BTreeMap<String, usize>>,
    outlived_ms: u64,
    waited_ms: BTreeMap<Victim, u64>,
    /// Tasks found in the databases.
    pub(crate) tasks: usize,
    /// Points that broke something, by number.
    pub(crate) broken: Vec<usize>,
    /// What was wrong besides: databases, worlds that could not be set up.
    pub(crate) other: usize,
}

impl Report {
    /// Adds a point.
    pub(crate) fn add(&mut self, point: &Point, findings: &Findings, took: Duration) {
        let cell = self.cells.entry((point.victim, point.phase)).or_default();
        cell.points += 1;
        cell.violations += findings.violations.len();
        cell.took += took;
        let ends = self.ends.entry(point.victim).or_default();
        for (end, count) in &findings.ends {
            *ends.entry(end.clone()).or_default() += count;
        }
        self.outlived_ms = self.outlived_ms.max(findings.outlived_ms);
        let waited = self.waited_ms.entry(point.victim).or_default();
        *waited = (*waited).max(findings.waited_ms);
        if !findings.violations.is_empty() {
            self.broken.push(point.index);
        }
    }

    /// Whether nothing was wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken.is_empty() && self.other == 0
    }

    /// The table: points, violations and seconds of every victim in every phase.
    pub(crate) fn table(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("victim   phase    points  violations  s/point\n");
        let mut all = Cell::default();
        for ((victim, phase), cell) in &self.cells {
            let (victim, phase) = (format!("{victim:?}"), format!("{phase:?}"));
            line(&mut text, &victim, &phase, *cell);
            all.points += cell.points;
            all.violations += cell.violations;
            all.took += cell.took;
        }
        line(&mut text, "all", "", all);
        for (victim, ends) in &self.ends {
            let ends: Vec<_> = ends
                .iter()
                .map(|(end, count)| format!("{end} {count}"))
                .collect();
            // A String takes every write.
            let _infallible = writeln!(text, "{victim:?} killed, tasks ended: {}", ends.join(", "));
        }
        for (victim, waited) in &self.waited_ms {
            let _infallible = writeln!(
                text,
                "{victim:?} killed, longest from a run's death to its task's end: {waited} ms"
            );
        }
        let _infallible = writeln!(
            text,
            "longest a run outlived its engine: {} ms",
            self.outlived_ms
        );
        let _infallible = writeln!(text, "tasks in the databases: {}", self.tasks);
        text
    }
}

fn line(text: &mut String, victim: &str, phase: &str, cell: Cell) {
    use std::fmt::Write as _;
    let points = u32::try_from(cell.points.max(1)).unwrap_or(u32::MAX);
    let each = cell.took.as_secs_f64() / f64::from(points);
    // A String takes every write.
    let _infallible = writeln!(
        text,
        "{victim:<8} {phase:<8} {:>6} {:>11} {each:>8.2}",
        cell.points, cell.violations
    );
}
