//! Waiting for a condition, with a limit that says what was waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks. Short beside what is waited for (a process start, a task), long beside a look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `probe` has an answer and returns it.
///
/// The limit is there so that a broken program fails its test instead of hanging it; it is no promise of
/// speed and should be generous.
///
/// # Errors
/// What `probe` fails with, at once; and running out of time, naming `what`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        if start.elapsed() >= limit {
            bail!("still waiting after {} s: {what}", limit.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
