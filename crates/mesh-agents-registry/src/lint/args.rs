//! Arguments the harnesses we know do not take (acp.md §3), and those without which they do not
//! speak ACP.

use std::path::Path;

use mesh_agents_core::agent::RuntimeKind;

use crate::code;
use crate::report::Report;
use crate::runtime_toml::RuntimeTable;
use crate::toml_reader::At;

/// A harness's command line.
struct Known {
    program: &'static str,
    /// Without one of these it opens a screen instead of speaking ACP; the first is what to write.
    acp: &'static [&'static str],
    /// Flags that stand alone, and those with a value behind. `None` when they are not known.
    flags: Option<(&'static [&'static str], &'static [&'static str])>,
}

const KNOWN: &[Known] = &[
    Known {
        program: "opencode",
        acp: &["acp"],
        flags: Some((
            &["--print-logs", "--pure", "--mdns"],
            &[
                "--log-level",
                "--port",
                "--hostname",
                "--mdns-domain",
                "--cors",
                "--cwd",
            ],
        )),
    },
    Known {
        program: "goose",
        acp: &["acp"],
        flags: Some((&[], &["--with-builtin"])),
    },
    Known {
        program: "gemini",
        acp: &["--acp", "--experimental-acp"],
        flags: None,
    },
];

/// Where what people look for in a flag is really set.
const ELSEWHERE: &[(&str, &str)] = &[
    ("--mcp", "its tools come with the session; see [tools.mesh]"),
    (
        "--instructions",
        "the brief comes with the prompt; see [instructions]",
    ),
    ("--model", "name the model as `model` under [runtime]"),
    ("-m", "name the model as `model` under [runtime]"),
    ("--prompt", "the message comes with the session"),
    (
        "--agent",
        "use the harness's own configuration, with config = \"user\"",
    ),
];

/// Checks command and arguments.
pub(super) fn check(table: &RuntimeTable<'_>, report: &mut Report<'_>) {
    one_program(table, report);
    let Some(kind) = table.kind else { return };
    let program = match (kind, &table.command) {
        (RuntimeKind::Acp, Some(command)) => file_name(&command.value),
        (RuntimeKind::Opencode | RuntimeKind::Goose, _) => Some(kind.as_str()),
        _ => None,
    };
    let Some(known) = KNOWN.iter().find(|known| Some(known.program) == program) else {
        return;
    };
    match &table.args {
        Some(args) => {
            speaks_acp(known, args, table, report);
            takes_flags(known, args, table, report);
        }
        // A named harness has its own when none are written.
        None if kind == RuntimeKind::Acp && table.section.lacks("args") => {
            let word = known.acp[0];
            report
                .warning(
                    code::HARNESS_ARGS,
                    table.section.place("command"),
                    "runtime.args",
                    format!(
                        "is missing: {} speaks ACP only with {word:?}",
                        known.program
                    ),
                    format!("write args = [{word:?}]"),
                )
                .add_line("runtime", &format!("args = [{word:?}]"));
        }
        None => {}
    }
}

fn file_name(command: &str) -> Option<&str> {
    Path::new(command).file_name()?.to_str()
}

/// A whole command line where a program's name belongs: nothing splits it.
fn one_program(table: &RuntimeTable<'_>, report: &mut Report<'_>) {
    let Some(command) = table.command.as_ref() else {
        return;
    };
    let mut words = command.value.split_whitespace();
    let (Some(program), Some(_)) = (words.next(), words.clone().next()) else {
        return;
    };
    let templated = command.value.contains("{{") || command.value.contains(['\'', '"', '\\']);
    if templated || program.contains('/') {
        return;
    }
    let rest: Vec<&str> = words.collect();
    let written = table.args.iter().flatten().map(|at| at.value.as_str());
    let args = list(rest.iter().copied().chain(written));
    let told = report
        .warning(
            code::HARNESS_ARGS,
            Some(command.span.clone()),
            "runtime.command",
            format!(
                "{:?} is looked for as one program, spaces included",
                command.value
            ),
            format!("write command = {program:?} and args = {args}"),
        )
        .replace(command.span.clone(), format!("{program:?}"));
    match table.section.entry("args") {
        Some(entry) => told.set(Some(entry), &args),
        None => told.replace(
            command.span.end..command.span.end,
            format!("\nargs = {args}"),
        ),
    };
}

fn speaks_acp(
    known: &Known,
    args: &[At<String>],
    table: &RuntimeTable<'_>,
    report: &mut Report<'_>,
) {
    if args.iter().any(|at| known.acp.contains(&at.value.as_str())) {
        return;
    }
    let word = known.acp[0];
    let all = list(std::iter::once(word).chain(args.iter().map(|at| at.value.as_str())));
    report
        .warning(
            code::HARNESS_ARGS,
            table.section.place("args"),
            "runtime.args",
            format!("{} speaks ACP only with {word:?}", known.program),
            format!("write args = {all}"),
        )
        .set(table.section.entry("args"), &all);
}

/// Each flag there is not: the harness prints its usage and ends.
fn takes_flags(
    known: &Known,
    args: &[At<String>],
    table: &RuntimeTable<'_>,
    report: &mut Report<'_>,
) {
    let Some((alone, with_value)) = known.flags else {
        return;
    };
    let mut index = 0;
    while let Some(at) = args.get(index) {
        let (flag, valued) = match at.value.split_once('=') {
            Some((flag, _)) => (flag, true),
            None => (at.value.as_str(), false),
        };
        let next_is_value = args.get(index + 1).is_some_and(|next| {
            !next.value.starts_with('-') && !known.acp.contains(&next.value.as_str())
        });
        let takes_next = !valued && next_is_value;
        if !flag.starts_with('-') || alone.contains(&flag) {
            index += 1;
            continue;
        }
        if with_value.contains(&flag) {
            index += if takes_next { 2 } else { 1 };
            continue;
        }
        let until = index + if takes_next { 2 } else { 1 };
        let kept = args[..index].iter().chain(&args[until..]);
        let kept = list(kept.map(|at| at.value.as_str()));
        let why = ELSEWHERE
            .iter()
            .find(|(name, _)| *name == flag)
            .map_or("its flags are listed by its --help", |(_, why)| *why);
        report
            .warning(
                code::HARNESS_ARGS,
                Some(at.span.clone()),
                &format!("runtime.args[{index}]"),
                format!(
                    "{} {} has no flag {flag}: it prints its usage and ends",
                    known.program, known.acp[0]
                ),
                format!("remove it: {why}"),
            )
            .set(table.section.entry("args"), &kept);
        index = until;
    }
}

/// A list of texts as TOML has it.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<String> = items
        .map(|item| toml::Value::String(item.to_owned()).to_string())
        .collect();
    format!("[{}]", items.join(", "))
}
