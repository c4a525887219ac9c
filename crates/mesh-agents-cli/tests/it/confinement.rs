//! What the kernel refuses a harness that the real engine started, and what it still delivers.

use std::fs;

use crate::support::World;

const SONG: &str = "canary-sings";

/// Sends a script and returns the answer of the completed task.
fn answer(world: &World, agent: &str, script: &str) -> String {
    let said = world.run(&["send", agent, script]);
    assert_eq!(said.code, 0, "{said}");
    let task = said.err.split_whitespace().next().unwrap();
    world.run(&["artifacts", task, "response"]).out
}

/// A world with the secret in the owner's HOME, in the results and in the workspace of another
/// task that runs; returns where.
fn furnished(agents: &[(&str, &str)]) -> (World, Vec<String>) {
    let world = World::with_tester();
    for (id, filesystem) in agents {
        let table = format!("[policy]\nfilesystem = \"{filesystem}\"");
        world.agent(id).tables(&table).write().unwrap();
    }
    let home = world.path("home/canary");
    fs::write(&home, SONG).unwrap();
    let other = world.send(
        "tester",
        &format!(
            "script: write canary {SONG}\nscript: write $TASK_ARTIFACTS_DIR/canary {SONG}\n\
             script: write $TASK_ARTIFACTS_DIR/done x\nscript: hang"
        ),
    );
    let results = world.artifacts("tester", &other);
    crate::support::until("the other task has written", || {
        results.join("done").exists().then_some(())
    });
    let workspace = world.path(&format!("tmp/mesh-a2a-tester-{other}/canary"));
    let places = [home, workspace, results.join("canary")];
    let paths = places.map(|path| {
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            SONG,
            "{}",
            path.display()
        );
        path.to_str().unwrap().to_owned()
    });
    (world, paths.into())
}

#[test]
fn a_harness_in_its_workspace_reads_and_writes_nothing_beyond() {
    let (world, canaries) = furnished(&[("kept", "workspace")]);
    let database = world.path("data/a2a/mesh-agents.sqlite");
    let before = fs::read(&database).unwrap().len();
    let secrets = [
        database.clone(),
        world.path("data/a2a/engine.lock"),
        world.path("data/a2a/agents.toml"),
        world.path("data/a2a/engine.log"),
        world.path("data/a2a/engine.sock"),
    ];
    let mut script = String::new();
    let all = canaries
        .iter()
        .cloned()
        .chain(secrets.iter().map(|path| path.to_str().unwrap().to_owned()));
    for path in all {
        script.push_str(&format!(
            "script: read {path}\nscript: sh cat {path} && echo read-it\n\
             script: write {path}.new killed\nscript: sh echo killed >> {path}; rm -f {path}; mv {path} {path}.gone\n"
        ));
    }
    for dir in ["data/a2a", "data/a2a/blobs", "home", "tmp", "agents/tester"] {
        let dir = world.path(dir);
        script.push_str(&format!(
            "script: sh ls -a {} && echo listed-it\n",
            dir.display()
        ));
    }
    script.push_str(
        "script: write $TASK_ARTIFACTS_DIR/summary.md delivered\n\
         script: write kept.txt works\nscript: sh cat kept.txt && echo own-workspace\n\
         script: sh cat $TASK_PROMPT_PATH > /dev/null && echo own-prompt",
    );
    let said = world.run(&["send", "kept", &script]);
    assert_eq!(said.code, 0, "{said}");
    let task = said.err.split_whitespace().next().unwrap();
    let text = world.run(&["artifacts", task, "response"]).out;
    assert!(
        text.contains("own-workspace") && text.contains("own-prompt"),
        "{text}"
    );
    for word in [SONG, "read-it", "listed-it", "SQLite format"] {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
    let listed = |name: &&str| text.lines().any(|line| line == *name);
    let names = ["engine.sock", "engine.lock"];
    assert_eq!(names.iter().copied().find(listed), None, "{text}");
    assert_eq!(
        world.run(&["artifacts", task, "summary.md"]).out,
        "delivered"
    );
    for canary in &canaries {
        assert_eq!(fs::read_to_string(canary).unwrap(), SONG);
        assert!(!fs::exists(format!("{canary}.new")).unwrap());
    }
    assert!(secrets.iter().all(|path| path.exists()));
    assert!(fs::read(&database).unwrap().len() >= before);
    assert_eq!(world.json(&["show", "kept"])["filesystem"], "workspace");
}

#[test]
fn a_harness_that_reads_all_writes_no_more_than_another() {
    let (world, canaries) = furnished(&[("reader", "read_all")]);
    let mut script = String::new();
    for path in &canaries {
        script.push_str(&format!(
            "script: read {path}\nscript: write {path}.new x\nscript: sh echo killed >> {path}; rm -f {path}\n"
        ));
    }
    let text = answer(&world, "reader", &script);
    assert!(text.contains(SONG), "{text}");
    for canary in &canaries {
        assert_eq!(fs::read_to_string(canary).unwrap(), SONG);
        assert!(!fs::exists(format!("{canary}.new")).unwrap());
    }
}

#[test]
fn an_unconfined_harness_is_the_owners_own_risk() {
    // The control: what the other tests see refused is refused by the confinement alone.
    let (world, canaries) = furnished(&[("free", "unconfined")]);
    let path = &canaries[0];
    let text = answer(
        &world,
        "free",
        &format!("script: read {path}\nscript: write {path}.new x"),
    );
    assert!(text.contains(SONG), "{text}");
    assert!(fs::exists(format!("{path}.new")).unwrap());
}

#[test]
fn a_harness_is_nobody_at_the_engines_own_socket() {
    let (world, _) = furnished(&[("kept", "workspace"), ("reader", "read_all")]);
    let socket = world.path("data/a2a/engine.sock");
    let pid = world.engine_pid();
    let program = env!("CARGO_BIN_EXE_agents");
    let (data, agents) = (world.path("data"), world.path("agents"));
    let place = format!(
        "--data-dir {} --agents-dir {}",
        data.display(),
        agents.display()
    );
    // The verbs themselves, and with the run's mark overwritten as far as that goes.
    let verbs = answer(
        &world,
        "reader",
        &format!(
            "script: sh {program} tasks {place} 2>&1 && echo came-in\n\
             script: sh {program} stop --now {place} 2>&1\n\
             script: sh bash -c 'ulimit -R 1000; {program} tasks {place}' 2>&1 && echo came-in"
        ),
    );
    assert_eq!(verbs.matches("not_allowed").count(), 2, "{verbs}");
    assert!(!verbs.contains("came-in"), "{verbs}");
    // A client of its own, where the program itself cannot be read.
    let connect = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect(\\\"{}\\\"); \
         s.sendall(b\\\"GET /engine/v1/status HTTP/1.1\\\\r\\\\nhost: e\\\\r\\\\nconnection: close\\\\r\\\\n\\\\r\\\\n\\\"); \
         print(s.makefile().read())",
        socket.display()
    );
    let raw = answer(
        &world,
        "kept",
        &format!("script: sh python3 -c \"{connect}\" 2>&1"),
    );
    assert!(
        raw.contains("403 Forbidden") && raw.contains("not_allowed") && !raw.contains("base_url"),
        "{raw}"
    );
    // The owner is still somebody, and the engine was stopped by nobody.
    assert_eq!(world.engine_pid(), pid);
    assert_eq!(world.run(&["tasks"]).code, 0);
}

#[test]
fn a_run_with_a_network_of_its_own_has_its_tools_and_is_nobody_without_its_token() {
    let world = World::with_tester();
    world
        .agent("kept")
        .tables("[policy]\nfilesystem = \"workspace\"\nnetwork = \"loopback\"")
        .write()
        .unwrap();
    world.run(&["tasks"]);
    let engine = world.engine();
    let node = engine["base_url"].as_str().unwrap();
    let ask = |path: &str| {
        format!(
            "script: sh python3 -c \"import urllib.request; print(urllib.request.urlopen(\\\"{node}{path}\\\").read().decode())\" 2>&1\n"
        )
    };
    let script = format!(
        "script: mcp_tools\n{}{}",
        ask("/metrics"),
        ask("/a2a/agents/tester/tasks")
    );
    let text = answer(&world, "kept", &script);
    assert!(
        text.contains("get_agents"),
        "its tools are not there: {text}"
    );
    assert_eq!(text.matches("401").count(), 2, "{text}");
    assert!(!text.contains("mesh_agents_tasks_running"), "{text}");
    // The same from outside is the owner.
    let outside = world.run(&["tasks", "--json"]);
    assert_eq!(outside.code, 0, "{outside}");
    assert_eq!(world.json(&["show", "kept"])["network"], "loopback");
}
