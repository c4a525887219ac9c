//! What people get wrong when they write an agent, seeded into templates: each is found at its line,
//! and each printed fix, applied by a program that knows the JSON document only, puts it right.

mod table;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::table::MISTAKES;
use crate::support::World;

/// One mistake.
struct Mistake {
    name: &'static str,
    template: &'static str,
    file: &'static str,
    seed: Seed,
    /// What stands in the line it must be found at; empty for a mistake without a line.
    at: &'static str,
    code: &'static str,
    /// Whether the JSON Schema of the file alone tells.
    schema_sees: bool,
}

/// How it gets into the template.
enum Seed {
    /// This text becomes that one; a brief loses its results where both are empty.
    Edit(&'static str, &'static str),
    /// The file goes.
    Gone,
    /// The file gets this mode.
    Mode(u32),
    /// The directory gets this name.
    Directory(&'static str),
}

impl Mistake {
    /// Makes it; the agent's name then.
    fn make(&self, agents: &Path) -> &'static str {
        let dir = agents.join(self.template);
        let file = dir.join(self.file);
        match self.seed {
            Seed::Edit("", "") => {
                let brief = dir.join("instructions.md");
                let text = fs::read_to_string(&brief).unwrap();
                fs::write(&brief, text.replace("findings.json", "the findings")).unwrap();
            }
            Seed::Edit(from, to) => {
                let text = fs::read_to_string(&file).unwrap();
                assert!(text.contains(from), "{}: {from:?}", self.name);
                fs::write(&file, text.replacen(from, to, 1)).unwrap();
            }
            Seed::Gone => fs::remove_file(&file).unwrap(),
            Seed::Mode(mode) => {
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            }
            Seed::Directory(name) => {
                fs::rename(&dir, agents.join(name)).unwrap();
                return name;
            }
        }
        self.template
    }

    /// The line it is in, from 1.
    fn line(&self, agents: &Path) -> Value {
        if self.at.is_empty() {
            return Value::Null;
        }
        let text = fs::read_to_string(agents.join(self.template).join(self.file)).unwrap();
        let numbers = 1_u32..;
        let lines = numbers.zip(text.lines());
        let mut lines = lines.filter(|(_, line)| line.contains(self.at));
        // Of what is there twice the second one is too many.
        let found = match self.code {
            "duplicate" => lines.last(),
            _ => lines.next(),
        };
        Value::from(found.unwrap().0)
    }
}

fn problems(world: &World) -> Vec<Value> {
    let document = world
        .run(&["validate", "--files-only", "--json"])
        .document();
    document["problems"].as_array().unwrap().clone()
}

/// Applies the actions of one problem as `AUTHORING.md` describes them.
fn apply(problem: &Value) {
    let actions = problem["actions"].as_array().unwrap();
    assert!(!actions.is_empty(), "nothing a program can do: {problem:#}");
    let path = |of: &Value| PathBuf::from(of.as_str().unwrap());
    let mut edits: BTreeMap<PathBuf, Vec<&Value>> = BTreeMap::new();
    for action in actions {
        let file = path(&action["file"]);
        match action["action"].as_str().unwrap() {
            "replace" => edits.entry(file).or_default().push(action),
            "create" => {
                assert!(!file.exists());
                fs::write(file, action["text"].as_str().unwrap()).unwrap();
            }
            "rename" => fs::rename(file, path(&action["to"])).unwrap(),
            "set_mode" => {
                let mode = u32::from_str_radix(action["mode"].as_str().unwrap(), 8).unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            }
            other => panic!("an action nobody described: {other}"),
        }
    }
    for (file, mut edits) in edits {
        let mut text = fs::read_to_string(&file).unwrap();
        edits.sort_by_key(|edit| std::cmp::Reverse(offset(edit, "start")));
        for edit in edits {
            let (start, end) = (offset(edit, "start"), offset(edit, "end"));
            for (place, at) in [("start", start), ("end", end)] {
                let before = &text[..at];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
                assert_eq!(edit[place]["line"], line, "{edit:#}");
                assert_eq!(edit[place]["column"], column, "{edit:#}");
            }
            text.replace_range(start..end, edit["text"].as_str().unwrap());
        }
        fs::write(&file, text).unwrap();
    }
}

fn offset(edit: &Value, place: &str) -> usize {
    usize::try_from(edit[place]["offset"].as_u64().unwrap()).unwrap()
}

/// The templates as `init` makes them, and a world in which each can be made anew.
struct Templates {
    made: BTreeMap<String, Vec<(String, String)>>,
    world: World,
}

impl Templates {
    fn new() -> Self {
        let world = World::bare();
        let agents = world.path("agents");
        let mut made = BTreeMap::new();
        for template in [
            "pr-review",
            "docs-maintainer",
            "release-notes",
            "test-runner",
        ] {
            let said = world.run(&["init", template]);
            assert_eq!(said.code, 0, "{said}");
            let file = |entry: std::io::Result<fs::DirEntry>| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            };
            let entries = fs::read_dir(agents.join(template)).unwrap();
            made.insert(template.to_owned(), entries.map(file).collect());
        }
        assert_eq!(problems(&world), Vec::<Value>::new(), "templates have none");
        Self { made, world }
    }

    /// The agents directory with this one template in it.
    fn alone(&self, template: &str) -> PathBuf {
        let agents = self.world.path("agents");
        fs::remove_dir_all(&agents).unwrap();
        fs::create_dir_all(agents.join(template)).unwrap();
        for (name, text) in &self.made[template] {
            fs::write(agents.join(template).join(name), text).unwrap();
        }
        agents
    }
}

#[test]
fn each_mistake_is_found_at_its_line_and_its_printed_fix_puts_it_right() {
    let templates = Templates::new();
    let mut said = Vec::new();
    for mistake in MISTAKES {
        if let Err(why) = found_and_fixed(mistake, &templates) {
            said.push(format!("{}: {why}", mistake.name));
        }
    }
    assert!(MISTAKES.len() >= 30);
    assert!(said.is_empty(), "{}", said.join("\n\n"));
}

fn found_and_fixed(mistake: &Mistake, templates: &Templates) -> Result<(), String> {
    let (world, agents) = (&templates.world, templates.alone(mistake.template));
    let name = mistake.make(&agents);
    let line = mistake.line(&agents);
    let mut found = problems(world);
    let its = found.iter().position(|one| {
        one["code"] == mistake.code
            && one["agent"] == name
            && one.get("line").unwrap_or(&Value::Null) == &line
    });
    let Some(its) = its else {
        return Err(format!(
            "not found at line {line} as {}: {found:#?}",
            mistake.code
        ));
    };
    let file = found[its]["file"].as_str().unwrap_or_default();
    if !file.ends_with(mistake.file) {
        return Err(format!("found in {file}"));
    }
    if found[its]["fix"].as_str().is_none_or(str::is_empty) {
        return Err("no fix for a person".to_owned());
    }
    if found[its]["actions"] == Value::Array(Vec::new()) {
        return Err(format!("no fix for a program: {:#}", found[its]));
    }
    apply(&found[its]);
    // A mistake may show in two places; each is put right by its own fix.
    for _round in 0..3 {
        found = problems(world);
        match found
            .iter()
            .find(|one| one["actions"] != Value::Array(Vec::new()))
        {
            Some(next) => apply(next),
            None => break,
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(agents.join(mistake.template).join(mistake.file));
    Err(format!(
        "not right after its fix: {found:#?}\n{}",
        text.unwrap_or_default()
    ))
}

#[test]
fn schemas_judge_as_validate_does_as_far_as_they_see() {
    let world = World::bare();
    let schema = |of: &str| {
        let said = world.run(&["schema", of]);
        let schema: Value = serde_json::from_str(&said.out).unwrap();
        assert!(jsonschema::draft7::meta::is_valid(&schema));
        jsonschema::draft7::new(&schema).unwrap()
    };
    let (card, runtime) = (schema("card"), schema("runtime"));
    let valid = |dir: &Path, file: &str| match file {
        "agent-card.json" => {
            let text = fs::read_to_string(dir.join(file)).unwrap();
            serde_json::from_str(&text)
                .map(|value| card.is_valid(&value))
                .ok()
        }
        "runtime.toml" => {
            let text = fs::read_to_string(dir.join(file)).unwrap();
            toml::from_str(&text)
                .map(|value: Value| runtime.is_valid(&value))
                .ok()
        }
        _ => Some(true),
    };
    let templates = Templates::new();
    for template in templates.made.keys() {
        let dir = templates.alone(template).join(template);
        for file in ["agent-card.json", "runtime.toml"] {
            assert_eq!(valid(&dir, file), Some(true), "{template}/{file}");
        }
    }
    for kind in ["opencode", "goose", "pi", "acp", "command"] {
        let made = World::bare();
        assert_eq!(made.run(&["init", "plain", "--runtime", kind]).code, 0);
        let dir = made.path("agents/plain");
        for file in ["agent-card.json", "runtime.toml"] {
            assert_eq!(valid(&dir, file), Some(true), "{kind}/{file}");
        }
    }
    for mistake in MISTAKES
        .iter()
        .filter(|one| matches!(one.seed, Seed::Edit(..)))
    {
        let agents = templates.alone(mistake.template);
        mistake.make(&agents);
        // What is not TOML or JSON has no judgement of a schema.
        let judged = valid(&agents.join(mistake.template), mistake.file);
        let wrong = judged == Some(false);
        assert_eq!(wrong, mistake.schema_sees, "{}: {judged:?}", mistake.name);
    }
}

#[test]
fn all_mistakes_of_an_agent_are_told_in_one_pass() {
    let templates = Templates::new();
    let (world, agents) = (&templates.world, templates.alone("pr-review"));
    let edit = |file: &str, edits: &[(&str, &str)]| {
        let file = agents.join("pr-review").join(file);
        let mut text = fs::read_to_string(&file).unwrap();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        fs::write(&file, text).unwrap();
    };
    edit(
        "runtime.toml",
        &[
            ("type = \"opencode\"", "type = opencode"),
            ("max_concurrent_tasks = 1", "max_concurent_tasks = \"2\""),
            (
                "config = \"mesh\"",
                "config = \"mseh\"\nargs = [\"acp\", \"--mcp\", \"x\"]",
            ),
            (
                "[runtime.workspace]",
                "[runtime.env]\nAPI_TOKEN = \"abcdefgh1\"\n\n[workspace]",
            ),
            ("max_task_seconds = 1800", "max_task_seconds = \"30m\""),
        ],
    );
    edit(
        "agent-card.json",
        &[
            (
                "\"protocolVersion\": \"1.0\"",
                "\"protocolVersion\": \"0.3\",",
            ),
            (
                "\"version\": \"0.1.0\",",
                "\"url\": \"http://127.0.0.1:1/\",",
            ),
            ("\"id\": \"review\"", "\"id\": 7"),
        ],
    );
    edit(
        "instructions.md",
        &[(
            "`findings.json`",
            "`{{ task.artifacts_dir }}/findings.json`",
        )],
    );
    world.check("all_mistakes", &[world.run(&["validate", "--files-only"])]);
}
