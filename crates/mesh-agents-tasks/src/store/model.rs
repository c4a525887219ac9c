//! Random histories of the store against a simple model, kills included: what is done, in any order. The model, and
//! what it holds the store to, is in [`world`].

mod world;

use proptest::prelude::*;

use world::World;

/// What can be done to a store. Numbers pick a task, a key, an artifact among few.
#[derive(Debug, Clone)]
enum Op {
    Submit {
        key: u8,
        body: u8,
    },
    Start {
        task: u8,
    },
    Session {
        task: u8,
        late: bool,
    },
    Say {
        task: u8,
        late: bool,
    },
    Keep {
        task: u8,
        artifact: u8,
        late: bool,
    },
    Ask {
        task: u8,
        late: bool,
    },
    TakeBack {
        task: u8,
    },
    Answer {
        task: u8,
        key: u8,
    },
    Stop {
        task: u8,
        shutdown: bool,
    },
    End {
        task: u8,
        late: bool,
        well: bool,
    },
    CutOff {
        task: u8,
        killed: bool,
        session_lost: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let task = 0..3_u8;
    // Rarely: most writers are those of the newest attempt.
    let late = || prop::bool::weighted(0.15);
    prop_oneof![
        3 => (0..5_u8, 0..2_u8).prop_map(|(key, body)| Op::Submit { key, body }),
        5 => task.clone().prop_map(|task| Op::Start { task }),
        3 => (task.clone(), late()).prop_map(|(task, late)| Op::Session { task, late }),
        3 => (task.clone(), late()).prop_map(|(task, late)| Op::Say { task, late }),
        2 => (task.clone(), 0..3_u8, late())
            .prop_map(|(task, artifact, late)| Op::Keep { task, artifact, late }),
        3 => (task.clone(), late()).prop_map(|(task, late)| Op::Ask { task, late }),
        1 => task.clone().prop_map(|task| Op::TakeBack { task }),
        3 => (task.clone(), 5..9_u8).prop_map(|(task, key)| Op::Answer { task, key }),
        1 => (task.clone(), any::<bool>()).prop_map(|(task, shutdown)| Op::Stop { task, shutdown }),
        1 => (task.clone(), late(), any::<bool>())
            .prop_map(|(task, late, well)| Op::End { task, late, well }),
        3 => (task, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(task, killed, session_lost)| Op::CutOff { task, killed, session_lost }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done in whatever order, and wherever the process dies: every answer is the
    /// model's, and every row is what its events add up to.
    #[test]
    fn the_store_is_its_model(steps in prop::collection::vec((op(), prop::bool::weighted(0.05)), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sqlite");
        let mut world = World::new(path);
        for (op, dies) in &steps {
            world.act(op, *dies);
            world.check();
        }
    }
}
