//! What is told on the way: each step with its seconds.

use std::io::{self, Write as _};
use std::time::Instant;

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    last: Instant,
    count: usize,
}

impl Default for Steps {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: now,
            count: 0,
        }
    }
}

impl Steps {
    /// Tells of a step that is done.
    pub(crate) fn done(&mut self, what: &str) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.count += 1;
        self.last = now;
        tell(&format!("{:>3}. {seconds:>6.1} s  {what}", self.count));
    }

    /// Tells how long all of it took.
    pub(crate) fn all(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        tell(&format!("     {seconds:>6.1} s  in all"));
    }
}

fn tell(line: &str) {
    // Nobody may read it; what counts is the exit code.
    let _told = writeln!(io::stdout(), "{line}");
}

/// Tells of a failure.
pub(crate) fn complain(line: &str) {
    let _told = writeln!(io::stderr(), "e2e: {line}");
}
