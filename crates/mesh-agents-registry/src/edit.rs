//! Changing one key of a `runtime.toml` its owner wrote, and nothing else in it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::near::nearest;
use toml::de::DeTable;

use crate::files::RUNTIME_FILE;
use crate::position::line_column;

/// Whether there was anything to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// The file now says it.
    Changed,
    /// The file said so already, or the default does.
    Unchanged,
}

/// Why a key was not changed. The file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such agent.
    #[error("there is no {}; {}", file.display(), match nearest {
        Some(id) => format!("did you mean {id:?}?"),
        None => "`mesh-llm agents list` shows the agents there are".to_owned(),
    })]
    NoSuchAgent {
        /// The file looked for.
        file: PathBuf,
        /// The agent that was probably meant.
        nearest: Option<String>,
    },
    /// The file is not TOML, or `enabled` is something strange.
    #[error("{}:{line}: {reason}; correct the file first", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u32,
        /// What is wrong.
        reason: String,
    },
    /// Reading or replacing the file failed.
    #[error("cannot change {}: {source}; check the owner and permissions of the file and its directory", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes `enabled = …` into the agent's `runtime.toml`; comments, order and layout stay. The file
/// is replaced at once, with its permissions; a link to it stays a link.
///
/// # Errors
/// When there is no such agent, its file is not TOML, or it cannot be replaced.
pub fn set_enabled(agents_dir: &Path, agent: &AgentId, enabled: bool) -> Result<Edited, EditError> {
    let file = agents_dir.join(agent.as_str()).join(RUNTIME_FILE);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => EditError::NoSuchAgent {
            file: file.clone(),
            nearest: nearest_dir(agents_dir, agent),
        },
        _ => EditError::Io {
            file: file.clone(),
            source,
        },
    };
    let real = file.canonicalize().map_err(failed)?;
    let text = fs::read_to_string(&real).map_err(failed)?;
    let Some(edited) = with_enabled(&text, enabled).map_err(|(at, reason)| EditError::Broken {
        file: file.clone(),
        line: line_column(&text, at).0,
        reason,
    })?
    else {
        return Ok(Edited::Unchanged);
    };
    replace(&real, &edited).map_err(failed)?;
    Ok(Edited::Changed)
}

fn nearest_dir(agents_dir: &Path, agent: &AgentId) -> Option<String> {
    let names: Vec<String> = fs::read_dir(agents_dir)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| agents_dir.join(name).join(RUNTIME_FILE).exists())
        .collect();
    nearest(agent.as_str(), names.iter().map(String::as_str)).map(str::to_owned)
}

/// The text with the key set; `None` when it says so already. Errors with a place and a reason.
///
/// The few bytes are replaced in the text itself: a document model would write line ends anew.
fn with_enabled(text: &str, enabled: bool) -> Result<Option<String>, (usize, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().to_owned())
    })?;
    let find = |key: &str| {
        let mut entries = table.get_ref().iter();
        entries.find(|(name, _)| name.get_ref() == key)
    };
    let (place, words) = match find("enabled") {
        None if enabled => return Ok(None),
        Some((_, value)) if value.get_ref().as_bool() == Some(enabled) => return Ok(None),
        Some((name, value)) if value.get_ref().is_table() => {
            let reason = "enabled is a table, it must be true or false".to_owned();
            return Err((name.span().start, reason));
        }
        Some((_, value)) => (value.span(), enabled.to_string()),
        None => {
            let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let after = find("visibility").and_then(|(_, value)| {
                let rest = text.get(value.span().end..)?;
                Some(value.span().end + rest.find('\n')? + 1)
            });
            let at = after.unwrap_or(0);
            (at..at, format!("enabled = {enabled}{line_end}"))
        }
    };
    let mut edited = text.to_owned();
    edited.replace_range(place, &words);
    Ok(Some(edited))
}

/// Puts `text` in the place of `file`: either all of it or nothing.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new()
        .prefix(".runtime.toml-")
        .tempfile_in(dir)?;
    new.write_all(text.as_bytes())?;
    new.as_file()
        .set_permissions(fs::metadata(file)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_key_changes() {
        let off = |text: &str| with_enabled(text, false).unwrap().unwrap();
        let on = |text: &str| with_enabled(text, true).unwrap().unwrap();
        assert_eq!(
            off(
                "# mine\nenabled   =  true   # why\nvisibility = 'private'\n\n[runtime] # here\ntype = \"pi\"\n"
            ),
            "# mine\nenabled   =  false   # why\nvisibility = 'private'\n\n[runtime] # here\ntype = \"pi\"\n"
        );
        assert_eq!(
            on("enabled = false\r\n[runtime]\r\n# a\r\ntype = \"pi\"\r\n"),
            "enabled = true\r\n[runtime]\r\n# a\r\ntype = \"pi\"\r\n"
        );
        assert_eq!(
            off("visibility = \"private\" # p\n\n# about\n[runtime]\ntype = \"pi\"\n"),
            "visibility = \"private\" # p\nenabled = false\n\n# about\n[runtime]\ntype = \"pi\"\n"
        );
        assert_eq!(
            off("[runtime]\ntype = \"pi\""),
            "enabled = false\n[runtime]\ntype = \"pi\""
        );
        assert_eq!(off("enabled = \"yes\""), "enabled = false");
    }

    #[test]
    fn what_is_said_already_is_not_written_again() {
        assert_eq!(with_enabled("enabled = true", true), Ok(None));
        assert_eq!(with_enabled("[runtime]\ntype = \"pi\"", true), Ok(None));
        assert_eq!(with_enabled("enabled = false", false), Ok(None));
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        assert!(with_enabled("enabled = true\n[runtime\n", false).is_err());
        assert!(with_enabled("[enabled]\nx = 1\n", false).is_err());
    }
}
