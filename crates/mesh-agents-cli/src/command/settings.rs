//! `agents settings`: what is in force and who said so, in the form of the file that can say otherwise.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::args::Common;
use crate::context::Context;
use crate::output::{Exit, Output};
use crate::settings::{Shown, Source, shown};

/// Prints every setting.
pub(crate) fn settings(context: &Context, common: &Common, output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct Settings<'a> {
        file: &'a Path,
        settings: &'a [Shown],
    }
    let settings = shown(common, &context.environment)?;
    let file = context.settings.layout.settings();
    let document = Settings {
        file: &file,
        settings: &settings,
    };
    output.answer("settings", &document, |out| {
        writeln!(out, "# {}", file.display())?;
        writeln!(
            out,
            "# An engine reads this file when it starts; after a change, run: agents stop"
        )?;
        // Tables come last: what stands after the head of one would belong to it.
        let (tables, plain): (Vec<_>, Vec<_>) = settings
            .iter()
            .partition(|setting| setting.value.is_object());
        for setting in plain.into_iter().chain(tables) {
            print(out, setting, &file)?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

/// A text in lines that fit a terminal behind `# `.
fn wrapped(text: &str) -> Vec<String> {
    /// Characters of a line.
    const WIDTH: usize = 77;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// A setting as a piece of TOML: what nobody set, and what the file cannot say, is a comment.
fn print(out: &mut dyn Write, setting: &Shown, file: &Path) -> io::Result<()> {
    writeln!(out)?;
    for line in wrapped(setting.meaning) {
        writeln!(out, "# {line}")?;
    }
    match &setting.source {
        Source::Flag(flag) => writeln!(out, "# from {flag}")?,
        Source::Environment(variable) => writeln!(out, "# from {variable}")?,
        Source::File => writeln!(out, "# from {}", file.display())?,
        Source::Default => writeln!(out, "# default")?,
    }
    let comment = if setting.in_file && setting.source == Source::File {
        ""
    } else {
        "# "
    };
    match &setting.value {
        Value::Null => writeln!(out, "# {} =", setting.key),
        Value::Object(entries) => {
            writeln!(out, "{comment}[{}]", setting.key)?;
            for (name, value) in entries {
                // A JSON string is a TOML basic string.
                writeln!(out, "{comment}{} = {value}", Value::from(name.as_str()))?;
            }
            Ok(())
        }
        value => writeln!(out, "{comment}{} = {value}", setting.key),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setting(key: &'static str, value: Value, source: Source) -> Shown {
        Shown {
            key,
            value,
            source,
            meaning: "It is so.",
            in_file: true,
        }
    }

    #[test]
    fn a_long_meaning_fits_a_terminal_and_loses_no_word() {
        let meaning = "one word of a setting after the other ".repeat(9);
        let lines = wrapped(&meaning);
        assert!(
            lines.len() > 1 && lines.iter().all(|line| line.len() <= 77),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), meaning.trim_end());
    }

    #[test]
    fn what_is_printed_is_a_file_that_says_the_same() {
        let settings = [
            setting("listen", json!("127.0.0.1:7"), Source::File),
            setting("linger_seconds", json!(60), Source::Default),
            setting("public_url", Value::Null, Source::Default),
            setting("push_allow", json!(["10.0.0.0/8"]), Source::File),
            setting("access_tokens", json!({ "a b": "/f" }), Source::File),
        ];
        let mut text = Vec::new();
        for setting in &settings {
            print(&mut text, setting, Path::new("/d/a2a/agents.toml")).unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        let read: toml::Table = toml::from_str(&text).unwrap();
        let said = serde_json::to_value(read).unwrap();
        let expected = json!({
            "listen": "127.0.0.1:7",
            "push_allow": ["10.0.0.0/8"],
            "access_tokens": { "a b": "/f" },
        });
        assert_eq!(said, expected, "{text}");
        assert!(text.contains("# default\n# linger_seconds = 60"), "{text}");
        assert!(text.contains("# from /d/a2a/agents.toml\nlisten"), "{text}");
    }
}
