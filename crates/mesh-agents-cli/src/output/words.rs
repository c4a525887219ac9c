//! One vocabulary: a person is told of commands, as they are typed here, and never of tools.
//!
//! Refusals are worded for the clients of the tools, and problems of files for people with a host. What a verb
//! prints of them comes through here first.

use mesh_agents_core::refusal::Refusal;

use crate::args::Cli;

/// What a refusal names, and what a person knows it by. Longer ones first where one begins with another.
const NAMES: [(&str, &str); 17] = [
    ("get_agents", "`agents list`"),
    ("get_agent", "`agents show`"),
    ("send_message", "`agents send`"),
    ("list_tasks", "`agents tasks`"),
    ("get_task", "`agents task`"),
    ("cancel_task", "`agents cancel`"),
    ("view_text_artifact", "`agents artifacts`"),
    ("view_data_artifact", "`agents artifacts`"),
    (
        "next_cursor of the page before unchanged, or leave cursor out",
        "the --cursor that the page before ended with, or leave it out",
    ),
    ("metadata.option_id", "--option"),
    ("(option_id ", "(--option "),
    ("metadata.question_id", "--question"),
    (
        "without task_id and with context_id ",
        "without --task and with --context ",
    ),
    ("with its context_id", "with --context and its context_id"),
    ("Leave agent_id out, or name", "Name"),
    ("with queue_if_offline", "with --queue-if-offline"),
    ("pass peer_id", "pass --peer"),
];

/// The argument of a tool that a flag is passed on as; what is not here is an argument of the verb too.
const FLAGS: [(&str, &str); 6] = [
    ("state", "--state: "),
    ("cursor", "--cursor: "),
    ("context_id", "--context: "),
    ("peer_id", "--peer: "),
    ("message_id", "--message-id: "),
    ("limit", "--limit: "),
];

/// The words of one surface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Whether it is the host that runs the verb: there our program is `mesh-llm agents`.
    pub(crate) in_host: bool,
}

impl Words {
    /// What our program is called.
    pub(crate) fn program(self) -> &'static str {
        if self.in_host {
            "mesh-llm agents"
        } else {
            "agents"
        }
    }

    /// A refusal as a person reads it.
    pub(crate) fn refusal(self, refusal: &Refusal) -> Refusal {
        let mut shown = refusal.clone();
        shown.message = self.names(argument_of(&refusal.message));
        shown.hint = refusal.hint.as_deref().map(|hint| self.names(hint.into()));
        shown
    }

    fn names(self, mut text: String) -> String {
        for (tool, verb) in NAMES {
            text = text.replace(tool, verb);
        }
        self.commands(&text)
    }

    /// Commands as they are typed here. Only for words of ours: what an agent or a file says stays as it is.
    pub(crate) fn commands(self, text: &str) -> String {
        const PROGRAM: &str = "agents ";
        let plain = text.replace("mesh-llm agents ", PROGRAM);
        if !self.in_host {
            return plain;
        }
        let mut shown = String::with_capacity(plain.len());
        let mut rest = plain.as_str();
        while let Some((before, after)) = rest.split_once(PROGRAM) {
            shown.push_str(before);
            let last = shown.chars().next_back();
            if last.is_none_or(|c| "` (\n".contains(c)) && begins_with_a_verb(after) {
                shown.push_str("mesh-llm ");
            }
            shown.push_str(PROGRAM);
            rest = after;
        }
        shown.push_str(rest);
        shown
    }
}

/// Whether `text` begins with the name of a verb. `agents list` may be English too, but no message of ours has
/// agents do anything of that name.
fn begins_with_a_verb(text: &str) -> bool {
    let word = text.split(|c: char| !c.is_ascii_lowercase()).next();
    word.is_some_and(Cli::has_verb)
}

/// Without the argument of a tool that a message begins with: as the flag that was given, or not at all.
fn argument_of(message: &str) -> String {
    let argument = message.strip_prefix("argument ");
    let Some((argument, rest)) = argument.and_then(|rest| rest.split_once(": ")) else {
        return message.to_owned();
    };
    let name = argument.split(" of ").next().unwrap_or(argument);
    if name.contains(' ') {
        return message.to_owned();
    }
    let flag = FLAGS.iter().find(|(known, _)| *known == name);
    format!("{}{rest}", flag.map_or("", |(_, flag)| flag))
}

#[cfg(test)]
mod tests {
    use mesh_agents_core::refusal::Code;

    use super::*;

    const TERMINAL: Words = Words { in_host: false };
    const HOST: Words = Words { in_host: true };

    fn shown(message: &str, hint: &str) -> (String, String) {
        let refusal = Refusal::new(Code::InvalidArgument, message).hint(hint);
        let shown = TERMINAL.refusal(&refusal);
        (shown.message, shown.hint.unwrap_or_default())
    }

    #[test]
    fn a_person_is_told_of_commands_and_flags_not_of_tools_and_arguments() {
        let (message, hint) = shown(
            "argument state of list_tasks: unknown variant `foo`",
            "Its owner can run `mesh-llm agents enable off`; get_agents lists the others.",
        );
        assert_eq!(message, "--state: unknown variant `foo`");
        assert_eq!(
            hint,
            "Its owner can run `agents enable off`; `agents list` lists the others."
        );
        let (message, hint) = shown(
            "argument task_id of get_task: task id \"x\" is not valid: as send_message returned it",
            "To go on, send without task_id and with context_id ctx-1.",
        );
        assert_eq!(
            message,
            "task id \"x\" is not valid: as `agents send` returned it"
        );
        assert_eq!(
            hint,
            "To go on, send without --task and with --context ctx-1."
        );
    }

    #[test]
    fn a_command_is_named_as_it_is_typed_where_it_is_read() {
        let said =
            "run `agents init x`; answer with: agents send a --task t (agents artifacts t <id>)";
        assert_eq!(TERMINAL.commands(said), said);
        assert_eq!(
            HOST.commands(said),
            "run `mesh-llm agents init x`; answer with: mesh-llm agents send a --task t \
             (mesh-llm agents artifacts t <id>)"
        );
        let said =
            "mesh-llm agents stop\nthe agents there are lie in /home/u/.mesh-llm/agents here";
        assert_eq!(HOST.commands(said), said);
    }
}
