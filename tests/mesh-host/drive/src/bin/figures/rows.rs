//! Times, and the rows of a Markdown table they are told in: the columns of `scripts/bench.sh`.

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

/// Times of the same thing, sorted.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn p50(&self) -> Duration {
        self.at(50)
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let at = self.0.len() * percent / 100;
        self.0.get(at.min(last)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (ms(self.at(50)), ms(self.at(99)));
        write!(f, "p50 {p50}, p99 {p99} (n {})", self.0.len())
    }
}

/// Milliseconds as a person reads them.
pub(crate) fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    figure: String,
    baseline: String,
    ratio: String,
    budget: String,
    met: &'static str,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, figure: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            figure: figure.to_string(),
            baseline: String::new(),
            ratio: String::new(),
            budget: String::new(),
            met: "",
        }
    }

    /// What stands beside it, and the medians' ratio.
    pub(crate) fn beside(mut self, what: &str, baseline: &Samples, figure: &Samples) -> Self {
        let ratio = figure.p50().as_secs_f64() / baseline.p50().as_secs_f64();
        self.baseline = format!("{what}: {baseline}");
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// The same, in words.
    pub(crate) fn beside_text(mut self, baseline: String, ratio: f64) -> Self {
        self.baseline = baseline;
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// The budget and whether it is met.
    pub(crate) fn budget(mut self, budget: impl Into<String>, met: bool) -> Self {
        self.budget = budget.into();
        self.met = if met { "met" } else { "NOT MET" };
        self
    }

    pub(crate) fn print(self) {
        let cells = [
            self.what.as_str(),
            &self.figure,
            &self.baseline,
            &self.ratio,
            &self.budget,
            self.met,
        ];
        // A closed pipe means that nobody reads; the bench ends by itself.
        let _closed = writeln!(io::stdout(), "| {} |", cells.join(" | "));
    }
}

/// Tells of a failure.
pub(crate) fn complain(line: &str) {
    let _told = writeln!(io::stderr(), "figures: {line}");
}
