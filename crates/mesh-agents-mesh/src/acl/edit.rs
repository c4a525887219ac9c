//! What `agents peers allow|deny|forget` write: text in, text out; comments, order and layout stay.

mod list;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{Acl, AclError, Pattern, Rules};
use crate::identity::NodeKey;

/// What a new file begins with.
const HEADER: &str = "\
# Who on other nodes may call the agents of this one. Nobody may who is not allowed here.
# `agents identity show` on the caller's node prints its key; a deny wins over every allow.
";

/// Whether there was anything to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// The new text.
    Changed(String),
    /// The file says so already.
    Unchanged,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file has mistakes, or would have.
    #[error("{0}\nnothing was changed; correct the file first")]
    Broken(AclError),
    /// The label cannot be one, or another peer has it.
    #[error("label {label:?}: {reason}; nothing was changed")]
    Label {
        /// What was wanted.
        label: String,
        /// Why not.
        reason: String,
    },
    /// The allow would have no effect.
    #[error(
        "deny = [\"{deny}\"] under [{table}] in {} wins over allow = [\"{allow}\"]; nothing was changed. Take it out first{}",
        file.display(),
        if *.own { "; `agents peers forget` removes all that is written of a key" } else { "" }
    )]
    StillDenied {
        /// The file.
        file: PathBuf,
        /// Where the deny stands.
        table: String,
        /// Whether that is the table of this very key.
        own: bool,
        /// The deny.
        deny: String,
        /// What was to be allowed.
        allow: String,
    },
}

impl From<AclError> for EditError {
    fn from(error: AclError) -> Self {
        Self::Broken(error)
    }
}

/// What is to be said of a key besides its allows and denies. `None` leaves what is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Also<'a> {
    /// `label`.
    pub label: Option<&'a str>,
    /// `approve`.
    pub approve: Option<bool>,
}

/// Lets `key` call what `patterns` name. A deny of exactly the same is taken back.
///
/// # Errors
/// When the text has mistakes, a wider deny would win, or the label cannot be given.
pub fn allow(
    text: &str,
    file: &Path,
    key: &NodeKey,
    patterns: &[Pattern],
    also: Also<'_>,
) -> Result<Edited, EditError> {
    let acl = Acl::parse(text, file)?;
    check_label(&acl, key, also)?;
    check_denies(&acl, file, key, patterns)?;
    edit(text, file, |document| {
        let table = peer_table(document, key);
        for pattern in patterns {
            list::remove(table, "deny", pattern);
            list::add(table, "allow", pattern);
        }
        write_also(table, also);
    })
}

/// Keeps `key` from calling what `patterns` name; from everything, if they name nothing. An allow of
/// exactly the same is taken back; others stay and have no effect where the deny reaches.
///
/// # Errors
/// When the text has mistakes, or the label cannot be given.
pub fn deny(
    text: &str,
    file: &Path,
    key: &NodeKey,
    patterns: &[Pattern],
    also: Also<'_>,
) -> Result<Edited, EditError> {
    let acl = Acl::parse(text, file)?;
    check_label(&acl, key, also)?;
    let patterns = if patterns.is_empty() {
        &[Pattern::Every]
    } else {
        patterns
    };
    edit(text, file, |document| {
        let table = peer_table(document, key);
        for pattern in patterns {
            list::remove(table, "allow", pattern);
            list::add(table, "deny", pattern);
        }
        write_also(table, also);
    })
}

/// Removes all that is written of `key`, with the comment directly above it. It then may what
/// `[everyone]` may.
///
/// # Errors
/// When the text has mistakes.
pub fn forget(text: &str, file: &Path, key: &NodeKey) -> Result<Edited, EditError> {
    let acl = Acl::parse(text, file)?;
    if acl.peer(key).is_none() {
        return Ok(Edited::Unchanged);
    }
    edit(text, file, |document| {
        let peers = document.get_mut("peers").and_then(Item::as_table_like_mut);
        let removed = peers.and_then(|peers| peers.remove(&key.to_string()));
        if let Some(Item::Table(table)) = removed {
            keep_comments(document, &table);
        }
    })
}

/// Changes the text, and looks at the result.
fn edit(
    text: &str,
    file: &Path,
    change: impl FnOnce(&mut DocumentMut),
) -> Result<Edited, EditError> {
    let old = if text.trim().is_empty() { HEADER } else { text };
    let mut document: DocumentMut = match old.parse() {
        Ok(document) => document,
        // It was read a moment ago by the other parser of the same language.
        Err(error) => {
            return Err(AclError::Unreadable {
                file: file.to_owned(),
                reason: toml_edit::TomlError::message(&error).to_owned(),
            }
            .into());
        }
    };
    change(&mut document);
    let mut new = document.to_string();
    // The document model writes line ends anew.
    if text.contains("\r\n") {
        new = new.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if new == text {
        return Ok(Edited::Unchanged);
    }
    Acl::parse(&new, file)?;
    Ok(Edited::Changed(new))
}

/// The table of `key`, made if there is none: after all others, or where the peers are if that is inline.
fn peer_table<'d>(document: &'d mut DocumentMut, key: &NodeKey) -> &'d mut dyn TableLike {
    let did = key.to_string();
    let known = document
        .get("peers")
        .and_then(Item::as_table_like)
        .is_some_and(|peers| peers.contains_key(&did));
    let mut table = Table::new();
    let inline = document.get("peers").is_some_and(Item::is_inline_table);
    if !known && !inline {
        // What stands at the end of the file stays before what is added.
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        if !end.trim().is_empty() || document.is_empty() {
            table.decor_mut().set_prefix(format!("{end}\n"));
            document.set_trailing("");
        }
    }
    let peers = document.entry("peers").or_insert_with(|| {
        let mut peers = Table::new();
        peers.set_implicit(true);
        Item::Table(peers)
    });
    let new = || {
        if inline {
            Item::Value(Value::InlineTable(InlineTable::new()))
        } else {
            Item::Table(table)
        }
    };
    as_table(as_table(peers).entry(&did).or_insert_with(new))
}

/// An item that was checked to be a table.
fn as_table(item: &mut Item) -> &mut dyn TableLike {
    if !item.is_table_like() {
        *item = Item::Table(Table::new());
    }
    match item {
        Item::Value(Value::InlineTable(table)) => table,
        Item::Table(table) => table,
        // Neither can be after the check above.
        other => {
            *other = Item::Table(Table::new());
            as_table(other)
        }
    }
}

fn write_also(table: &mut dyn TableLike, also: Also<'_>) {
    if let Some(label) = also.label {
        set(table, "label", label.into());
    }
    if let Some(approve) = also.approve {
        set(table, "approve", approve.into());
    }
}

/// Writes a value, in the place and with the comment of the one before.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(Item::Value(old)) = table.get_mut(key) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
    } else {
        table.insert(key, Item::Value(value));
    }
}

fn check_label(acl: &Acl, key: &NodeKey, also: Also<'_>) -> Result<(), EditError> {
    let Some(label) = also.label else {
        return Ok(());
    };
    let refused = |reason: String| {
        Err(EditError::Label {
            label: label.to_owned(),
            reason,
        })
    };
    if let Err(reason) = super::read::check_label(label) {
        return refused(reason.to_owned());
    }
    match acl.labelled(label) {
        Some(other) if other != key => refused(format!("it is the label of {other}")),
        _ => Ok(()),
    }
}

fn check_denies(
    acl: &Acl,
    file: &Path,
    key: &NodeKey,
    patterns: &[Pattern],
) -> Result<(), EditError> {
    let own = acl.peer(key).map(|peer| &peer.rules);
    for pattern in patterns {
        // An equal one of its own is taken back instead.
        let of = |rules: &Rules, own: bool| {
            let wins = |deny: &&Pattern| covers(deny, pattern) && !(own && *deny == pattern);
            rules.deny.iter().find(wins).cloned()
        };
        let found = own
            .and_then(|rules| of(rules, true))
            .map(|deny| (deny, true))
            .or_else(|| of(acl.everyone(), false).map(|deny| (deny, false)));
        if let Some((deny, own)) = found {
            let table = if own {
                format!("peers.\"{key}\"")
            } else {
                "everyone".to_owned()
            };
            return Err(EditError::StillDenied {
                file: file.to_owned(),
                table,
                own,
                deny: deny.to_string(),
                allow: pattern.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether nothing of what `allow` names is left beside `deny`.
fn covers(deny: &Pattern, allow: &Pattern) -> bool {
    match (deny, allow) {
        (Pattern::Every, _) => true,
        (Pattern::Agent(deny), Pattern::Agent(allow) | Pattern::Skill(allow, _)) => deny == allow,
        (Pattern::Skill(..), Pattern::Skill(..)) => deny == allow,
        (Pattern::Agent(_), Pattern::Every)
        | (Pattern::Skill(..), Pattern::Every | Pattern::Agent(_)) => false,
    }
}

/// Keeps what stands above a removed table and is not about it: all but the last paragraph.
fn keep_comments(document: &mut DocumentMut, removed: &Table) {
    let above = removed.decor().prefix().and_then(|prefix| prefix.as_str());
    let Some(end) = above.and_then(|above| above.rfind("\n\n")) else {
        return;
    };
    let kept = above.map(|above| &above[..=end]).unwrap_or_default();
    if !kept.contains('#') {
        return;
    }
    let after = removed.position();
    let mut next: Option<&mut Table> = None;
    for table in tables(document.as_table_mut()) {
        let nearer = next
            .as_ref()
            .is_none_or(|next| table.position() < next.position());
        if table.position() > after && nearer {
            next = Some(table);
        }
    }
    if let Some(next) = next {
        let own = next.decor().prefix().and_then(|prefix| prefix.as_str());
        let both = format!("{kept}{}", own.unwrap_or_default());
        next.decor_mut().set_prefix(both);
    } else {
        let end = document.trailing().as_str().unwrap_or_default();
        let both = format!("{kept}{end}");
        document.set_trailing(both);
    }
}

/// The tables with a header of their own: those of the file, and those of peers.
fn tables(root: &mut Table) -> Vec<&mut Table> {
    let mut all = Vec::new();
    for (_, item) in root.iter_mut() {
        let Item::Table(table) = item else {
            continue;
        };
        if table.is_implicit() || table.is_dotted() {
            let inner = table.iter_mut().filter_map(|(_, item)| item.as_table_mut());
            all.extend(inner);
        } else {
            all.push(table);
        }
    }
    all
}

impl fmt::Display for Edited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed(_) => "changed",
            Self::Unchanged => "unchanged",
        })
    }
}
