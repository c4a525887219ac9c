//! Cancel against completion against questions against the engine's stop: in every order, settled and
//! unsettled, and at random. A task has one end, whoever was first, and its row is its log.
//!
//! `MESH_AGENTS_RACES=10000` runs as many random races as the promise says (a minute or so), and
//! `MESH_AGENTS_RACE_SEED` replays those of one seed; without them it is a few seconds' worth.

use std::collections::HashMap;
use std::num::NonZeroU32;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::task::Task;
use tokio::task::JoinSet;

use super::fake::Started;
use super::prelude::*;

/// The random races of a run without `MESH_AGENTS_RACES`.
const RACES: usize = 300;

/// What may happen to a task at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Cancel,
    Complete,
    Ask,
    Answer,
    CutOff,
    Shutdown,
}

/// All orders of `moves`.
fn orders(moves: &[Move]) -> Vec<Vec<Move>> {
    if moves.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (n, first) in moves.iter().enumerate() {
        let mut rest = moves.to_vec();
        rest.remove(n);
        for mut order in orders(&rest) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

/// Checks what must be so whatever happened: one end, at the end; no question open after it; the row
/// is what its events add up to.
async fn assert_one_end(bench: &Bench, id: &TaskId, story: &str) -> Task {
    let events = bench.engine.events(&local(), id, 0, 10_000).await.unwrap();
    let task = bench.engine.task(&local(), id).await.unwrap();
    let (mut state, mut said, mut failure, mut attempt) = (TaskState::Submitted, None, None, 0);
    let (mut open, mut ends) = (Vec::<QuestionId>::new(), 0);
    for (n, stored) in events.iter().enumerate() {
        assert_eq!(stored.seq, n as u64 + 1, "{story}");
        assert_eq!(ends, 0, "{story}: something after the end: {events:?}");
        match stored.event.clone() {
            TaskEvent::State {
                state: to,
                message,
                failure: why,
            } => {
                ends += usize::from(to.is_terminal());
                (state, said, failure) = (to, message, why);
            }
            TaskEvent::Attempt { attempt: n, .. } => attempt = n,
            TaskEvent::Question { id, .. } => open.push(id),
            TaskEvent::QuestionGone { id, .. } => {
                assert!(open.contains(&id), "{story}: gone twice");
                open.retain(|one| *one != id);
            }
            _ => {}
        }
    }
    assert_eq!(ends, 1, "{story}: {events:?}");
    assert_eq!(open, [], "{story}: {events:?}");
    let added_up = (state, &said, &failure, attempt, events.len() as u64);
    let row = (
        task.state,
        &task.status_message,
        &task.failure,
        task.attempt,
        task.last_seq,
    );
    assert_eq!(row, added_up, "{story}");
    task
}

/// Waits until this move has had its effect, or can have none any more.
async fn settle(bench: &Bench, id: &TaskId, step: Move, run: &Started) {
    loop {
        let read = bench.engine.events(&local(), id, 0, 1_000).await;
        // An engine that has stopped has done all it does.
        let (Ok(events), Ok(task)) = (read, bench.engine.task(&local(), id).await) else {
            return;
        };
        let stored = |kind: &str| events.iter().any(|one| one.event.kind() == kind);
        let stopping = stored("cancel_requested");
        let over = task.state.is_terminal();
        let gone = task.attempt > 1 || task.state == TaskState::Submitted || stored("note");
        // Stored is not told yet: until the run has heard of it, what it says next counts.
        let heard = run.canceled.load(Ordering::SeqCst) || run.events.is_closed();
        let done = match step {
            Move::Cancel | Move::Shutdown => stopping && (heard || gone),
            Move::Ask => stored("question") || stopping || gone || run.events.is_closed(),
            Move::CutOff => gone,
            Move::Complete | Move::Answer => false,
        };
        if done || over {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Plays these moves on a new task; with `pauses` bit n set, move n has its effect before the next.
/// Returns the task's id once all calls have their answer.
async fn play(bench: &mut Bench, order: &[Move], pauses: usize, obeys: bool) -> TaskId {
    bench.runner.obeys.store(obeys, Ordering::SeqCst);
    let id = bench.send("a", "race").await.id;
    let run = bench.next_run_of(&id).await;
    bench.until(&id, TaskState::Working).await;
    if order.contains(&Move::CutOff) {
        run.open("s-1", true);
        bench.stored(&id, "session", 1).await;
    }
    let mut calls = JoinSet::new();
    for (n, step) in order.iter().enumerate() {
        let (engine, task) = (bench.engine.clone(), id.clone());
        let pause = pauses & (1 << n) != 0;
        match step {
            Move::Complete => run.try_say(completed()),
            Move::CutOff => run.try_say(RunEvent::Ended(Outcome::Interrupted("power".into()))),
            Move::Ask => ask(&run),
            Move::Answer if pause => drop(engine.submit(&local(), reply(&task)).await),
            Move::Answer => {
                calls.spawn(async move { drop(engine.submit(&local(), reply(&task)).await) });
            }
            Move::Cancel => {
                calls.spawn(async move { drop(engine.cancel(&local(), &task).await) });
            }
            Move::Shutdown => {
                calls.spawn(async move { engine.shutdown(true).await });
            }
        }
        if pause && *step != Move::Answer {
            settle(bench, &id, *step, &run).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    // A run that was not told to end, and did not, does now; and so does one that went on.
    run.try_say(completed());
    loop {
        while let Ok(next) = bench.runs.try_recv() {
            next.try_say(completed());
        }
        match bench.engine.task(&local(), &id).await {
            Ok(task) if !task.state.is_terminal() => tokio::task::yield_now().await,
            Ok(_) | Err(_) => break,
        }
    }
    calls.join_all().await;
    id
}

fn completed() -> RunEvent {
    RunEvent::Ended(Outcome::Completed {
        answer: "won".into(),
    })
}

fn ask(run: &Started) {
    run.try_say(RunEvent::Question {
        id: QuestionId::from_ulid(ulid::Ulid::new()),
        kind: QuestionKind::Elicitation,
        text: "Which?".into(),
        options: Vec::new(),
    });
}

fn reply(task: &TaskId) -> mesh_agents_tasks::Submit {
    mesh_agents_tasks::Submit {
        task_id: Some(task.clone()),
        ..submit("a", "that", &unique())
    }
}

#[tokio::test]
async fn in_every_order_of_cancel_completion_question_and_answer_a_task_has_one_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let moves = [Move::Cancel, Move::Complete, Move::Ask, Move::Answer];
    for order in orders(&moves) {
        for pauses in [0, 0b0001, 0b0010, 0b0101, 0b0111, 0b1111] {
            for obeys in [true, false] {
                let story = format!("{order:?} pauses {pauses:b} obeys {obeys}");
                let id = play(&mut bench, &order, pauses, obeys).await;
                let task = assert_one_end(&bench, &id, &story).await;
                let first = |one: Move| order.iter().position(|step| *step == one);
                let completes = first(Move::Complete) < first(Move::Cancel);
                // A result that was there before the stop reached the run is real.
                let expected = match completes || !obeys {
                    true => TaskState::Completed,
                    false => TaskState::Canceled,
                };
                if pauses == 0b1111 {
                    assert_eq!(task.state, expected, "{story}");
                }
            }
        }
    }
    assert_eq!(bench.engine.late_writes(), 0);
}

#[tokio::test]
async fn in_every_order_with_a_run_cut_off_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    for order in orders(&[Move::Cancel, Move::CutOff, Move::Ask]) {
        for pauses in 0..8 {
            for obeys in [true, false] {
                let story = format!("{order:?} pauses {pauses:b} obeys {obeys}");
                let id = play(&mut bench, &order, pauses, obeys).await;
                let task = assert_one_end(&bench, &id, &story).await;
                // What was to end before it was cut off never went on.
                if order[0] == Move::Cancel && pauses & 1 != 0 {
                    assert_eq!(
                        (task.state, task.attempt),
                        (TaskState::Canceled, 1),
                        "{story}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn in_every_order_with_the_engine_s_stop_nothing_is_left_at_work() {
    let moves = [Move::Shutdown, Move::Cancel, Move::Complete, Move::Ask];
    for order in orders(&moves) {
        for pauses in [0, 0b1111] {
            let story = format!("{order:?} pauses {pauses:b}");
            let dir = tempfile::tempdir().unwrap();
            let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
            let id = play(&mut bench, &order, pauses, true).await;
            let again = Bench::open(dir.path(), agents([])).await;
            let task = assert_one_end(&again, &id, &story).await;
            if let Some(failure) = task.failure {
                assert_eq!(failure.code, "interrupted", "{story}");
            }
        }
    }
}

#[tokio::test]
async fn a_stop_that_meets_a_run_about_to_start_ends_it_or_leaves_its_task_queued() {
    for steps in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
        let id = bench.send("a", "x").await.id;
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        // Without the order of start and stop this waits for ever.
        bench.engine.shutdown(true).await;
        let started = bench.runs.try_recv().is_ok();
        let again = Bench::open(dir.path(), agents([])).await;
        let task = again.until(&id, TaskState::Failed).await;
        let code = task.failure.unwrap().code;
        let expected = match started {
            true => "interrupted",
            false => "agent_removed",
        };
        assert_eq!(code, expected, "{steps} steps between");
    }
}

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    async fn dawdle(&mut self) {
        for _ in 0..self.roll(12) {
            tokio::task::yield_now().await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told its count and its seed by who runs it"
)]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn wide(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.runtime.max_concurrent_tasks = NonZeroU32::new(32).unwrap();
    agent.runtime.max_pending_tasks = 64;
    agent
}

/// What a run does in a race: asks or not, then completes, when it likes.
async fn run_its_race(run: Started, mut dice: Dice) {
    if dice.roll(3) == 0 {
        run.try_say(RunEvent::Text("so far ".into()));
        ask(&run);
    }
    dice.dawdle().await;
    run.try_say(completed());
}

/// What a caller does in a race: cancels, and maybe answers, when he likes.
async fn call_its_race(engine: mesh_agents_tasks::TaskEngine, id: TaskId, mut dice: Dice) {
    dice.dawdle().await;
    if dice.roll(4) == 0 {
        // Mostly nothing is asked, and this is refused.
        let _answered = engine.submit(&local(), reply(&id)).await;
    }
    let answer = engine.cancel(&local(), &id).await;
    let end = engine.wait(&local(), &id, PATIENCE).await.unwrap();
    match answer {
        // A cancel does not wait for ever; what became of it is looked at in the end.
        Ok(task) if !task.state.is_terminal() => assert!(task.cancel_requested, "{id}"),
        Ok(task) => assert_eq!(task.state, end.state, "{id}"),
        Err(refusal) => assert_eq!(
            (refusal.code, end.state),
            (Code::TaskTerminal, TaskState::Completed),
            "{id}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn at_random_no_end_is_ever_overwritten() {
    let races =
        from_environment("MESH_AGENTS_RACES").map_or(RACES, |n| usize::try_from(n).unwrap());
    let seed = from_environment("MESH_AGENTS_RACE_SEED").unwrap_or(20_261_120);
    println!("{races} races of seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([wide("a")])).await;
    let mut sent = HashMap::new();
    let mut racing = JoinSet::new();
    let mut load = bench.engine.total_load();
    loop {
        while let Ok(run) = bench.runs.try_recv() {
            let dice = Dice(seed ^ (sent[&run.spec.task_id] << 32));
            racing.spawn(run_its_race(run, dice));
        }
        while let Some(done) = racing.try_join_next() {
            done.unwrap();
        }
        if sent.len() < races && racing.len() < 48 {
            let id = bench.send("a", "race").await.id;
            let n = sent.len() as u64;
            let call = call_its_race(bench.engine.clone(), id.clone(), Dice(seed ^ n));
            racing.spawn(call);
            sent.insert(id, n);
        } else if sent.len() == races && racing.is_empty() && *load.borrow() == Load::default() {
            break;
        } else {
            // Something of what is under way happens, or a run starts.
            tokio::select! {
                Some(done) = racing.join_next() => done.unwrap(),
                run = bench.runs.recv() => {
                    let run = run.unwrap();
                    let dice = Dice(seed ^ (sent[&run.spec.task_id] << 32));
                    racing.spawn(run_its_race(run, dice));
                }
                changed = load.changed() => changed.unwrap(),
            }
        }
    }
    let mut ends = std::collections::BTreeMap::new();
    for id in sent.keys() {
        let end = assert_one_end(&bench, id, &format!("seed {seed}, {id}")).await;
        *ends.entry(end.state).or_insert(0) += 1;
    }
    println!("{ends:?}, {} late writes", bench.engine.late_writes());
    assert_eq!(ends.values().sum::<usize>(), races);
    assert!(
        ends.keys()
            .all(|state| matches!(state, TaskState::Completed | TaskState::Canceled))
    );
}
