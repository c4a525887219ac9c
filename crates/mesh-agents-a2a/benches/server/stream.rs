//! One task that says much at once, to 1, 10 and 100 subscribers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::{Row, ms};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::{Client, Events};
use super::place::{self, Server, Setting};

/// Subscribers at once.
const SUBSCRIBERS: [usize; 3] = [1, 10, 100];
/// Pieces that are events as they are: ours stores streamed text by 4 KiB.
const LARGE: Load = Load {
    count: 1_000,
    bytes: 4_096,
    pace: 0,
};
/// The same, at a pace: which streams keep up with it?
const PACED: Load = Load { pace: 5, ..LARGE };
/// Pieces as harnesses send them, which are put together.
const SMALL: Load = Load {
    count: 20_000,
    bytes: 64,
    pace: 0,
};

/// What the task says.
#[derive(Clone, Copy)]
struct Load {
    count: usize,
    bytes: usize,
    /// Milliseconds between two pieces; 0 for as fast as they are taken.
    pace: u64,
}

/// What one subscriber got.
struct Heard {
    events: usize,
    /// Whether it heard every byte, and the end.
    complete: bool,
}

/// What all of them got.
struct Burst {
    events: usize,
    complete: usize,
    subscribers: usize,
    took: Duration,
}

impl Burst {
    fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    fn words(&self, server: &Server) -> String {
        format!(
            "{:.0} events/s in {}, {} of {} streams complete; RSS {}",
            self.rate(),
            ms(self.took),
            self.complete,
            self.subscribers,
            server.memory()
        )
    }
}

pub(crate) async fn rows(setting: &Setting) {
    let dir = place::directory();
    let ours = Server::ours(dir.path());
    for load in [LARGE, PACED] {
        for subscribers in SUBSCRIBERS {
            row(setting, &ours, dir.path(), load, subscribers).await;
        }
    }
    let burst = burst(&ours, dir.path(), SMALL, 1).await;
    let rate = SMALL.count as f64 / burst.took.as_secs_f64();
    let what = format!(
        "stream of {} × {} bytes, one subscriber",
        SMALL.count, SMALL.bytes
    );
    let figure = format!("{rate:.0} pieces/s; {}", burst.words(&ours));
    Row::new(what, figure).print();
}

async fn row(setting: &Setting, ours: &Server, dir: &Path, load: Load, subscribers: usize) {
    let burst = burst(ours, dir, load, subscribers).await;
    let pace = match load.pace {
        0 => "at once".to_owned(),
        pace => format!("one in {pace} ms"),
    };
    let what = format!(
        "stream of {} × {} bytes {pace}, subscribers: {subscribers}",
        load.count, load.bytes
    );
    let row = Row::new(what, burst.words(ours));
    // Each time a new one: it holds what it streamed.
    let Some(stock) = setting.stock(0) else {
        return row.print();
    };
    let other = self::burst(&stock, dir, load, subscribers).await;
    let words = other.words(&stock);
    row.baseline(
        format!("stock, in memory: {words}"),
        burst.rate() / other.rate(),
    )
    .print();
}

async fn burst(server: &Server, dir: &Path, load: Load, subscribers: usize) -> Burst {
    let gate = tempfile::tempdir_in(dir).unwrap();
    let gate = gate.path().join("open");
    let text = format!(
        "stream {} {} {} {}",
        load.count,
        load.bytes,
        load.pace,
        gate.display()
    );
    let task = Client::connect(&server.url).await.begin(&text).await;
    let all_there = Arc::new(Barrier::new(subscribers + 1));
    let mut streams = JoinSet::new();
    for _ in 0..subscribers {
        let client = Client::connect(&server.url).await;
        let (task, all_there) = (task.clone(), Arc::clone(&all_there));
        streams.spawn(async move {
            let mut events = client.subscribe(&task).await;
            events.next().await.unwrap();
            all_there.wait().await;
            listen(events, load).await
        });
    }
    all_there.wait().await;
    let start = Instant::now();
    std::fs::write(&gate, "").unwrap();
    let heard = streams.join_all().await;
    let took = start.elapsed();
    Burst {
        events: heard.iter().map(|one| one.events).sum(),
        complete: heard.iter().filter(|one| one.complete).count(),
        subscribers,
        took,
    }
}

async fn listen(mut events: Events, load: Load) -> Heard {
    let (mut pieces, mut bytes, mut ended) = (0, 0, false);
    while let Some(event) = events.next().await {
        let has = |word: &[u8]| {
            // The names come before or behind the text, which is long.
            let (head, tail) = (
                &event[..event.len().min(400)],
                &event[event.len().saturating_sub(400)..],
            );
            [head, tail]
                .iter()
                .any(|part| part.windows(word.len()).any(|at| at == word))
        };
        if has(b"\"artifactUpdate\"") {
            pieces += 1;
            bytes += event.iter().filter(|byte| **byte == b'#').count();
        } else if has(b"\"TASK_STATE_COMPLETED\"") {
            ended = true;
        }
    }
    Heard {
        events: pieces,
        complete: ended && bytes == load.count * load.bytes,
    }
}
