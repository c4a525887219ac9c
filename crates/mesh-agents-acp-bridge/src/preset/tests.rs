//! Every preset as a reviewed snapshot, and the mistakes a person can make.

mod machine;

use std::fs;

use mesh_agents_core::agent::{Approval, Filesystem, WorkspaceMode};

use super::*;
use machine::Machine;

#[test]
fn presets_with_the_model_of_the_mesh() {
    for kind in [RuntimeKind::Opencode, RuntimeKind::Goose, RuntimeKind::Pi] {
        insta::assert_snapshot!(format!("{kind}_mesh"), Machine::new(kind).shown());
    }
}

#[test]
fn presets_with_the_owners_configuration() {
    for kind in [RuntimeKind::Opencode, RuntimeKind::Goose, RuntimeKind::Pi] {
        let mut machine = Machine::new(kind);
        machine.agent.runtime.config = ConfigSource::User;
        machine.model = None;
        machine.mesh.openai_url = None;
        insta::assert_snapshot!(format!("{kind}_user"), machine.shown());
    }
}

#[test]
fn acp_and_command_without_anything_set() {
    for (kind, command) in [(RuntimeKind::Acp, "my-acp"), (RuntimeKind::Command, "make")] {
        let mut machine = Machine::new(kind);
        machine.agent.runtime.command = Some(command.to_owned());
        machine.agent.runtime.args = Some(vec!["test".to_owned(), "--fast".to_owned()]);
        insta::assert_snapshot!(format!("{kind}"), machine.shown());
    }
}

#[test]
fn the_acp_sample_of_the_source_document() {
    let mut machine = Machine::new(RuntimeKind::Acp);
    machine.agent.runtime.command = Some("my-acp".to_owned());
    machine.agent.runtime.env = pairs(&[
        ("MESH_LLM_MCP_URL", "{{ mesh.mcp_url }}"),
        ("MESH_LLM_API_URL", "{{ mesh.api_url }}"),
        ("MESH_AGENT_WORKSPACE", "{{ task.workspace }}"),
    ]);
    insta::assert_snapshot!(machine.shown());
}

#[test]
fn command_and_args_of_the_owner_replace_the_presets() {
    let mut machine = Machine::new(RuntimeKind::Opencode);
    let program = machine.program("owner/opt/oc/opencode-dev", "");
    machine.agent.runtime.command = Some("$HOME/opt/oc/opencode-dev".to_owned());
    let plan = machine.plan().unwrap();
    assert_eq!(plan.program, program);
    assert_eq!(
        plan.args,
        ["acp"],
        "a preset's args stay until args is written"
    );
    machine.agent.runtime.args = Some(vec!["acp".to_owned(), "--pure".to_owned()]);
    assert_eq!(machine.plan().unwrap().args, ["acp", "--pure"]);
}

#[test]
fn every_variable_has_its_value_and_is_read_once() {
    let mut machine = Machine::new(RuntimeKind::Acp);
    machine.agent.runtime.command = Some("my-acp".to_owned());
    machine
        .environment
        .insert("TRICK".to_owned(), "{{ task.id }} $HOME $$".to_owned());
    let names = mesh_agents_core::template::VARIABLES.iter();
    let mut args: Vec<_> = names
        .map(|name| format!("{name}={{{{ {name} }}}}"))
        .collect();
    args.push("$TRICK ${TRICK} {{ env.TRICK }} $$TRICK $trick".to_owned());
    machine.agent.runtime.args = Some(args);
    let plan = machine.plan().unwrap();
    insta::assert_snapshot!(machine.normal(&plan.args.join("\n")));
}

#[test]
fn the_owners_environment_wins_over_a_presets() {
    let mut machine = Machine::new(RuntimeKind::Goose);
    machine.agent.runtime.env = pairs(&[("GOOSE_MODE", "approve"), ("EXTRA", "{{ mesh.model }}")]);
    let env = machine.plan().unwrap().env;
    let of = |wanted: &str| {
        let found = env.iter().filter(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("GOOSE_MODE"), ["approve"]);
    assert_eq!(of("EXTRA"), ["org/model:q4"]);
}

#[test]
fn opencode_denies_what_lies_elsewhere_as_far_as_the_policy_does() {
    let mut machine = Machine::new(RuntimeKind::Opencode);
    machine.agent.policy.read = vec![PathBuf::from("/srv/docs")];
    machine.agent.policy.approval = Approval::Auto;
    let permission = |machine: &Machine| {
        let env: BTreeMap<_, _> = machine.plan().unwrap().env.into_iter().collect();
        let config: Value = serde_json::from_str(&env["OPENCODE_CONFIG_CONTENT"]).unwrap();
        config["permission"].clone()
    };
    let found = permission(&machine);
    assert_eq!(found["external_directory"]["*"], "deny");
    assert_eq!(found["external_directory"]["/srv/docs/**"], "allow");
    assert_eq!(found["read"]["*.env"], "allow");
    assert!(!found.to_string().contains("\"ask\""), "{found}");
    machine.agent.policy.filesystem = Filesystem::ReadAll;
    assert_eq!(permission(&machine)["external_directory"]["*"], "allow");
}

#[test]
fn opencode_asks_only_where_an_answer_can_reach_it_and_change_something() {
    let mut machine = Machine::new(RuntimeKind::Opencode);
    machine.agent.policy.approval = Approval::Ask;
    let permission = |machine: &Machine| {
        let env: BTreeMap<_, _> = machine.plan().unwrap().env.into_iter().collect();
        let config: Value = serde_json::from_str(&env["OPENCODE_CONFIG_CONTENT"]).unwrap();
        config["permission"].clone()
    };
    insta::assert_snapshot!(machine.normal(&format!("{:#}", permission(&machine))));
    machine.agent.policy.filesystem = Filesystem::Unconfined;
    assert_eq!(permission(&machine)["external_directory"]["*"], "ask");
    machine.agent.policy.approval = Approval::AutoEdit;
    let found = permission(&machine).to_string();
    assert!(!found.contains("\"ask\""), "{found}");
}

#[test]
fn goose_is_made_to_ask_where_somebody_answers() {
    let mode = |approval| {
        let mut machine = Machine::new(RuntimeKind::Goose);
        machine.agent.policy.approval = approval;
        let env: BTreeMap<_, _> = machine.plan().unwrap().env.into_iter().collect();
        env["GOOSE_MODE"].clone()
    };
    assert_eq!(mode(Approval::Deny), "auto");
    assert_eq!(mode(Approval::Ask), "approve");
}

#[test]
fn xdg_directories_of_the_owner_are_passed_on_and_granted() {
    let mut machine = Machine::new(RuntimeKind::Opencode);
    machine.agent.runtime.config = ConfigSource::User;
    let moved = "/elsewhere/config".to_owned();
    machine
        .environment
        .insert("XDG_CONFIG_HOME".to_owned(), moved.clone());
    machine
        .environment
        .insert("XDG_DATA_HOME".to_owned(), "not/absolute".to_owned());
    let plan = machine.plan().unwrap();
    assert!(plan.env.contains(&("XDG_CONFIG_HOME".to_owned(), moved)));
    assert!(!plan.env.iter().any(|(name, _)| name == "XDG_DATA_HOME"));
    assert!(
        plan.write
            .contains(&PathBuf::from("/elsewhere/config/opencode"))
    );
    assert!(
        plan.write
            .contains(&machine.path("owner/.local/share/opencode"))
    );
}

#[test]
fn a_named_model_reaches_a_harness_with_the_owners_configuration() {
    let named = |kind| {
        let mut machine = Machine::new(kind);
        machine.agent.runtime.config = ConfigSource::User;
        machine.agent.runtime.model = "acme/large".to_owned();
        machine
    };
    assert!(
        named(RuntimeKind::Opencode)
            .shown()
            .contains(r#""model": "acme/large""#)
    );
    assert!(
        named(RuntimeKind::Goose)
            .shown()
            .contains("env GOOSE_MODEL=acme/large\n")
    );
    insta::assert_snapshot!(named(RuntimeKind::Pi).failure());
}

#[test]
fn a_script_may_read_its_packages_and_its_interpreter() {
    let machine = Machine::new(RuntimeKind::Pi);
    let script = machine.program(
        "lib/node_modules/pi-acp/bin/pi.js",
        "#!/usr/bin/env -S node -x\n",
    );
    machine.program("node/bin/node", "");
    let links = [
        (script, "bin/pi-acp"),
        (machine.path("node/bin/node"), "bin/node"),
    ];
    for (target, link) in links {
        let _absent = fs::remove_file(machine.path(link));
        std::os::unix::fs::symlink(target, machine.path(link)).unwrap();
    }
    let read = machine.plan().unwrap().read;
    for wanted in ["bin/pi-acp", "lib/node_modules", "bin/node", "node/bin"] {
        assert!(read.contains(&machine.path(wanted)), "{wanted}: {read:?}");
    }
}

#[test]
fn a_program_in_home_itself_opens_nothing_beside_it() {
    let mut machine = Machine::new(RuntimeKind::Acp);
    let program = machine.program("owner/my-agent", "");
    machine.agent.runtime.command = Some("$HOME/my-agent".to_owned());
    assert_eq!(machine.plan().unwrap().read, [program]);
}

#[test]
fn files_named_in_the_arguments_may_be_read() {
    let mut machine = Machine::new(RuntimeKind::Acp);
    let file = machine.program("owner/agent.py", "");
    let config = machine.program("owner/config.toml", "");
    machine.agent.runtime.command = Some("my-acp".to_owned());
    let args = [
        "$HOME/agent.py",
        "--config=$HOME/config.toml",
        "/not/there",
        "/",
    ];
    machine.agent.runtime.args = Some(args.map(str::to_owned).to_vec());
    let read = machine.plan().unwrap().read;
    assert!(read.contains(&file) && read.contains(&config), "{read:?}");
    assert!(!read.contains(&PathBuf::from("/not/there")) && !read.contains(&PathBuf::from("/")));
}

#[test]
fn a_relative_command_is_the_workspaces_and_path_never_is() {
    let mut machine = Machine::new(RuntimeKind::Command);
    machine.agent.runtime.command = Some("./check.sh".to_owned());
    assert!(machine.failure().starts_with("harness_not_found: "));
    machine.program("ws/check.sh", "");
    let args = machine.plan().unwrap().args;
    assert_eq!(args[3], machine.path("ws/./check.sh").to_str().unwrap());
    machine.program("ws/relative/only-here", "");
    machine.agent.runtime.command = Some("only-here".to_owned());
    assert!(machine.failure().starts_with("harness_not_found: "));
}

#[test]
fn mistakes_name_the_key_and_the_way_out() {
    let mut messages = Vec::new();
    let mut case = |kind: RuntimeKind, change: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::new(kind);
        change(&mut machine);
        messages.push(machine.failure());
    };
    case(RuntimeKind::Opencode, &|m| {
        fs::remove_file(m.path("bin/opencode")).unwrap();
    });
    case(RuntimeKind::Pi, &|m| {
        fs::remove_file(m.path("bin/pi")).unwrap();
    });
    case(RuntimeKind::Goose, &|m| {
        m.agent.runtime.command = Some("/no/goose".to_owned());
    });
    case(RuntimeKind::Goose, &|m| {
        m.agent.runtime.command = Some("$NOT_SET/goose".to_owned());
    });
    case(RuntimeKind::Acp, &|_| {});
    case(RuntimeKind::Goose, &|m| {
        m.agent.runtime.args = Some(vec!["acp".to_owned(), "{{ task.worksace }}".to_owned()]);
    });
    case(RuntimeKind::Goose, &|m| {
        m.mesh.api_url = None;
        m.agent.runtime.env = pairs(&[("A", "x"), ("B", "{{ mesh.api_url }}")]);
    });
    case(RuntimeKind::Goose, &|m| {
        m.agent.runtime.config = ConfigSource::User;
        m.environment.remove("HOME");
    });
    case(RuntimeKind::Claude, &|_| {});
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_model_is_needed_where_something_uses_it() {
    let needs = |kind, config, args: &[&str]| {
        let mut agent = Machine::new(kind).agent;
        agent.runtime.config = config;
        agent.runtime.args = Some(args.iter().map(|&arg| arg.to_owned()).collect());
        needs_model(&agent)
    };
    assert!(needs(RuntimeKind::Opencode, ConfigSource::Mesh, &[]));
    assert!(!needs(RuntimeKind::Opencode, ConfigSource::User, &[]));
    assert!(!needs(
        RuntimeKind::Acp,
        ConfigSource::Mesh,
        &["$${{ mesh.mcp_url }}"]
    ));
    assert!(needs(
        RuntimeKind::Acp,
        ConfigSource::Mesh,
        &["-m", "{{ mesh.model }}"]
    ));
}

#[test]
fn what_is_missing_is_known_before_a_task_is_there() {
    let mut machine = Machine::new(RuntimeKind::Pi);
    let says = |machine: &Machine| unavailable(&machine.agent, &machine.environment);
    assert_eq!(says(&machine), None);
    fs::remove_file(machine.path("bin/pi")).unwrap();
    assert!(
        says(&machine)
            .unwrap()
            .starts_with("program \"pi\" is not on PATH")
    );
    machine.agent.runtime.env = pairs(&[("PI_ACP_PI_COMMAND", "/opt/pi")]);
    assert_eq!(says(&machine), None, "the owner names another pi");

    let mut machine = Machine::new(RuntimeKind::Command);
    for (command, available) in [
        ("make", true),
        ("nowhere", false),
        ("/no/such/file", false),
        ("$UNSET/x", false),
        ("./in-the-workspace", true),
        ("{{ task.workspace }}/x", true),
    ] {
        machine.agent.runtime.command = Some(command.to_owned());
        assert_eq!(
            says(&machine).is_none(),
            available,
            "{command}: {:?}",
            says(&machine)
        );
    }
}

#[test]
fn a_workspace_path_is_an_existing_directory() {
    let machine = Machine::new(RuntimeKind::Acp);
    machine.program("owner/file", "");
    let spec = machine.spec();
    let expand = |text: &str| {
        // The registry keeps the text as written; the mode only says that there is one.
        let _mode = WorkspaceMode::Path(text.to_owned());
        expand_workspace_path(&spec, &machine.environment, text)
            .map_err(|failure| machine.normal(&failure.message))
    };
    assert_eq!(expand("$HOME"), Ok(machine.path("owner")));
    let wrong = [
        "src/app",
        "$HOME/none",
        "$HOME/file",
        "{{ task.workspace }}",
        "$NONE/x",
    ];
    let messages: Vec<_> = wrong.map(|text| expand(text).unwrap_err()).into();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn pis_version_notice_is_no_answer() {
    let plan = Machine::new(RuntimeKind::Pi).plan().unwrap();
    let session = serde_json::json!({"_meta": {"piAcp": {"startupInfo": "New version"}}});
    assert_eq!((plan.ignore_text)(&session).as_deref(), Some("New version"));
    assert_eq!((plan.ignore_text)(&Value::Null), None);
}
