//! The list of commands in `agents --help`, in groups: there are too many for one list.

use std::fmt::Write as _;

use clap::Command;

use crate::output::Words;

/// Every command that is shown, below the heading it belongs to.
const GROUPS: [(&str, &[&str]); 4] = [
    (
        "Agents",
        &[
            "list", "init", "validate", "show", "enable", "disable", "schema",
        ],
    ),
    (
        "Work",
        &["send", "tasks", "task", "cancel", "artifacts", "logs"],
    ),
    ("Other nodes", &["peers", "identity"]),
    (
        "This node",
        &[
            "status", "stop", "settings", "doctor", "backup", "serve", "mcp", "demo", "help",
        ],
    ),
];

/// What to type first, and where to read on.
const EXAMPLES: &str = "\
Examples:
  agents demo                               see it work
  agents init tests --template test-runner  make an agent
  agents send tests \"$PWD\"                  give it work and wait for the result
  agents artifacts <TASK> summary.md        read what it left

`agents help COMMAND` says more about each.";

/// Whether a command of this name is shown.
pub(super) fn has(name: &str) -> bool {
    GROUPS.iter().any(|(_, names)| names.contains(&name))
}

/// Has `command` show its commands in groups, and be called what it is called where it is typed.
pub(super) fn in_groups(command: Command, surface: Words) -> Command {
    let mut command = command.bin_name(surface.program());
    // The command `help` is there only after this.
    command.build();
    let mut list = String::new();
    for (heading, names) in GROUPS {
        // Writing to a String cannot fail.
        let _ok = writeln!(list, "{heading}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let about = if *name == "help" {
                "Print help on a command"
            } else {
                about.as_str()
            };
            let _ok = writeln!(list, "  {name:<10} {about}");
        }
        list.push('\n');
    }
    // The host cannot run the demo.
    let examples = EXAMPLES
        .lines()
        .filter(|line| !surface.in_host || !line.contains(" demo "));
    let examples: Vec<String> = examples.map(|line| surface.commands(line)).collect();
    command.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}\n\n{}\n",
        examples.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::args::Cli;

    const TERMINAL: Words = Words { in_host: false };
    const HOST: Words = Words { in_host: true };

    #[test]
    fn every_command_is_in_one_group_and_every_line_fits_a_terminal() {
        let command = Cli::shown(TERMINAL);
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
        let shown: BTreeSet<&str> = shown.map(Command::get_name).collect();
        let listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        assert_eq!(listed.len(), shown.len(), "one is listed twice");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), shown);
        let help = Cli::shown(TERMINAL)
            .term_width(80)
            .render_help()
            .to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn help_of_a_command_is_its_own() {
        let error = Cli::read(["agents", "send", "--help"], TERMINAL).unwrap_err();
        let help = error.to_string();
        assert!(
            help.contains("Usage: agents send [OPTIONS] <AGENT> [MESSAGE]"),
            "{help}"
        );
        assert!(!help.contains("Other nodes:"), "{help}");
        let (own, global) = help.split_once("\nGlobal options:\n").unwrap();
        assert!(
            own.contains("--no-wait") && !global.contains("--no-wait"),
            "{help}"
        );
        assert!(
            global.contains("--json") && !own.contains("--json"),
            "{help}"
        );
        let error = Cli::read(["agents", "--help"], TERMINAL).unwrap_err();
        let help = error.to_string();
        assert!(help.contains("\nOther nodes:\n  peers "), "{help}");
        let help = Cli::read(["agents", "send", "--help"], HOST).unwrap_err();
        let help = help.to_string();
        assert!(help.contains("Usage: mesh-llm agents send "), "{help}");
    }
}
