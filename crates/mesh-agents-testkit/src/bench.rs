//! What the benches share: times, rows beside their baseline and budget, and what a process holds of memory.
//!
//! A bench prints one line per row and never fails for being slow: whether a budget is met is for a person to read, on
//! a machine that person knows. `scripts/bench.sh` gathers the rows of all benches into one table.

use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// Times of one thing done many times.
#[derive(Debug, Clone)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Of these times, in any order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Runs `work` `count` times.
    pub fn taken(count: usize, mut work: impl FnMut(usize)) -> Self {
        let one = |n| {
            let start = Instant::now();
            work(n);
            start.elapsed()
        };
        Self::of((0..count).map(one).collect())
    }

    /// The time that `percent` of the samples did not exceed; zero without samples.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The median.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// What one in a hundred exceeded.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// How many a second, one after the other.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let all: Duration = self.0.iter().sum();
        self.0.len() as f64 / all.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (ms(self.p50()), ms(self.p99()));
        write!(f, "p50 {p50}, p99 {p99} (n {})", self.0.len())
    }
}

/// Milliseconds as a person reads them.
#[must_use]
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..0.1 => format!("{ms:.4} ms"),
        ..10.0 => format!("{ms:.2} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// One row of the table. [`Row::print`] writes it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Row {
    what: String,
    figure: String,
    baseline: String,
    ratio: String,
    budget: String,
    met: &'static str,
}

impl Row {
    /// `what` was measured as `figure`.
    pub fn new(what: impl Into<String>, figure: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            figure: figure.to_string(),
            baseline: String::new(),
            ratio: String::new(),
            budget: String::new(),
            met: "",
        }
    }

    /// What stands beside it, measured in the same minute, and the figure divided by it.
    pub fn baseline(mut self, baseline: impl fmt::Display, ratio: f64) -> Self {
        self.baseline = baseline.to_string();
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// The budget of DESIGN §8 and whether it is met.
    pub fn budget(mut self, budget: &str, met: bool) -> Self {
        budget.clone_into(&mut self.budget);
        self.met = if met { "met" } else { "NOT MET" };
        self
    }

    /// Writes the row to stdout, as a line of a Markdown table.
    pub fn print(self) {
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

/// What a process holds of memory, in KiB (Linux; zeros elsewhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Resident, with pages of the program file that other processes share.
    pub rss: u64,
    /// Of that, its own: heap and stacks.
    pub anonymous: u64,
}

impl Memory {
    /// Of process `pid`.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Self {
            rss: field("VmRSS:"),
            anonymous: field("RssAnon:"),
        }
    }

    /// Resident MiB.
    #[must_use]
    pub fn rss_mib(&self) -> f64 {
        self.rss as f64 / 1024.0
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.anonymous as f64 / 1024.0;
        write!(f, "{:.1} MiB (its own {own:.1})", self.rss_mib())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let samples = Samples::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(samples.p50(), Duration::from_millis(100));
        assert_eq!(samples.p99(), Duration::from_millis(198));
        assert_eq!(Samples::of(vec![]).p99(), Duration::ZERO);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_holds_memory() {
        let memory = Memory::of(std::process::id());
        assert!(memory.rss >= memory.anonymous && memory.anonymous > 0);
    }
}
