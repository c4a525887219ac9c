//! Makes checks and says how they went. A check fails by panicking.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::world::World;

/// The longest any check may take: far more than it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Checks at a time: each starts an agent or two, and machines have few cores.
const AT_ONCE: usize = 6;

/// One check, made once over each binding.
pub(crate) type Check = fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// `checks!["Operation/what" => function, …]`: the functions as [`Check`]s by name.
macro_rules! checks {
    ($($name:literal => $function:path),* $(,)?) => {
        vec![$(($name, (|world| Box::pin($function(world))) as crate::report::Check)),*]
    };
}
pub(crate) use checks;

/// What was said so far.
pub(crate) struct Report {
    only: Option<String>,
    passed: usize,
    failed: usize,
}

impl Report {
    #[expect(
        clippy::disallowed_methods,
        reason = "what to test is told by whoever runs it"
    )]
    pub(crate) fn new() -> Self {
        Self {
            only: std::env::var("A2A_CHECKS").ok(),
            passed: 0,
            failed: 0,
        }
    }

    /// Whether a check of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|part| name.contains(part))
    }

    /// Makes checks over each binding, some at a time.
    pub(crate) async fn run(&mut self, worlds: &[World], checks: Vec<(&'static str, Check)>) {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        for (name, check) in checks {
            if !self.wants(name) {
                continue;
            }
            for world in worlds.iter().cloned() {
                let slots = Arc::clone(&slots);
                running.spawn(async move {
                    let _slot = slots.acquire_owned().await.unwrap();
                    let binding = world.label();
                    (binding, name, outcome(check(world)).await)
                });
            }
        }
        while let Some(done) = running.join_next().await {
            let (binding, name, outcome) = done.unwrap();
            self.tell(binding, name, outcome);
        }
    }

    /// Makes one check.
    pub(crate) async fn check<F>(&mut self, binding: &str, name: &str, check: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let outcome = outcome(check).await;
        self.tell(binding, name, outcome);
    }

    #[expect(clippy::print_stdout, reason = "the report of the test")]
    fn tell(&mut self, binding: &str, name: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok rust {binding} {name}");
            }
            Err(why) => {
                self.failed += 1;
                let words: Vec<&str> = why.split_whitespace().collect();
                println!("FAIL rust {binding} {name} ({})", words.join(" "));
            }
        }
    }

    /// Says the totals; fails the test unless all was well.
    #[expect(clippy::print_stdout, reason = "the report of the test")]
    pub(crate) fn end(&self) {
        println!("{} passed, {} failed, 0 skipped", self.passed, self.failed);
        assert_eq!(self.failed, 0, "checks failed; their lines are above");
    }
}

/// How a check ended. It has a task of its own, so that its panic is its own.
async fn outcome<F>(check: F) -> Result<(), String>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut alone = JoinSet::new();
    alone.spawn(timeout(PATIENCE, check));
    match alone.join_next().await.unwrap() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(format!("not done in {} s", PATIENCE.as_secs())),
        Err(error) => {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(text.unwrap_or_else(|| "it panicked".into()))
        }
    }
}
