//! Whether what a harness asks for lies within what it was given anyway: files of its own run.
//!
//! `policy.approval` is the answer to what goes *beyond* the grant (DESIGN §5). The paths are the
//! harness's word; they are believed as far as allowing this one call goes, and the kernel's
//! confinement holds whatever they say.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

/// What a run may touch without being asked about it.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    /// Directories it may write; the first is its workspace.
    pub(crate) write: Vec<PathBuf>,
    /// Directories it may read besides.
    pub(crate) read: Vec<PathBuf>,
}

impl Grant {
    /// Whether every path the tool call names lies within the grant. A call that names none, or
    /// does anything but reading and changing files, does not.
    pub(super) fn covers(&self, tool_call: &Value) -> bool {
        let writes = match tool_call.get("kind").and_then(Value::as_str) {
            Some("read" | "search") => false,
            Some("edit" | "delete" | "move") => true,
            _ => return false,
        };
        let places = list(tool_call, "locations").chain(list(tool_call, "content"));
        let mut named = places.filter_map(|place| place.get("path")?.as_str());
        let Some(first) = named.next() else {
            return false;
        };
        std::iter::once(first)
            .chain(named)
            .chain(raw_paths(tool_call))
            .all(|path| self.holds(Path::new(path), writes))
    }

    /// Whether the tool call does nothing but change files the run may write (`auto_edit`). Unlike
    /// [`Self::covers`] it believes a path that stands among the tool's arguments alone, which is
    /// where some harnesses name it, relative to the workspace.
    pub(super) fn edits(&self, tool_call: &Value) -> bool {
        let kind = tool_call.get("kind").and_then(Value::as_str);
        if !matches!(kind, Some("edit" | "delete" | "move")) {
            return false;
        }
        let places = list(tool_call, "locations").chain(list(tool_call, "content"));
        let places = places.filter_map(|place| place.get("path")?.as_str());
        let mut paths = places.chain(raw_files(tool_call)).peekable();
        let workspace = self.write.first();
        let within = |path: &str| match workspace {
            Some(workspace) => self.holds(&workspace.join(path), true),
            None => false,
        };
        paths.peek().is_some() && paths.all(within)
    }

    fn holds(&self, path: &Path, writes: bool) -> bool {
        let Some(path) = resolved(path) else {
            return false;
        };
        let read = (!writes).then_some(&self.read).into_iter().flatten();
        let mut dirs = self.write.iter().chain(read);
        dirs.any(|dir| dir.canonicalize().is_ok_and(|dir| path.starts_with(dir)))
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What looks like a path among the arguments of the tool itself.
fn raw_paths(tool_call: &Value) -> impl Iterator<Item = &str> {
    let raw = tool_call.get("rawInput").and_then(Value::as_object);
    let texts = raw.into_iter().flat_map(|raw| raw.values());
    texts
        .filter_map(Value::as_str)
        .filter(|text| text.starts_with('/'))
}

/// What is a path among the arguments of the tool itself, by its look or by its name.
fn raw_files(tool_call: &Value) -> impl Iterator<Item = &str> {
    let raw = tool_call.get("rawInput").and_then(Value::as_object);
    let named = raw.into_iter().flatten();
    named.filter_map(|(name, value)| {
        let text = value.as_str()?;
        let name = name.to_ascii_lowercase();
        let is_path = ["path", "file", "dir"]
            .iter()
            .any(|word| name.contains(word));
        (is_path || text.starts_with('/')).then_some(text)
    })
}

/// Where a path leads: links resolved as far as it exists. `None` for one that cannot be told.
fn resolved(path: &Path) -> Option<PathBuf> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        return None;
    }
    let (base, real) = path
        .ancestors()
        .find_map(|base| Some((base, base.canonicalize().ok()?)))?;
    // A link to nowhere could be given a target in between.
    let rest = path.strip_prefix(base).ok()?;
    let first = rest.components().next().map(|part| real.join(part));
    if first.is_some_and(|first| first.symlink_metadata().is_ok()) {
        return None;
    }
    Some(real.join(rest))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_the_run_are_covered_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(at("ws")).unwrap();
        fs::create_dir(at("agent")).unwrap();
        fs::create_dir(at("home")).unwrap();
        symlink(at("home"), at("ws/out")).unwrap();
        symlink(at("home/new"), at("ws/dangling")).unwrap();
        let grant = Grant {
            write: vec![at("ws").into()],
            read: vec![at("agent").into()],
        };
        let call =
            |kind: &str, path: &str| json!({ "kind": kind, "locations": [{ "path": path }] });
        let covers = |kind: &str, path: &str| grant.covers(&call(kind, path));
        assert!(covers("edit", &at("ws/new/file")));
        assert!(covers("read", &at("agent/x")));
        for (kind, path) in [
            ("edit", at("agent/x")),
            ("edit", at("home/x")),
            ("edit", at("ws/../home/x")),
            ("edit", at("ws/out/x")),
            ("edit", at("ws/dangling")),
            ("edit", "ws/relative".to_owned()),
            ("execute", at("ws/x")),
            ("other", at("ws/x")),
        ] {
            assert!(!covers(kind, &path), "{kind} {path}");
        }
        let ws = at("ws/x");
        assert!(!grant.covers(&json!({ "kind": "edit" })));
        assert!(
            !grant.covers(&json!({ "kind": "edit", "locations": [{ "path": ws }],
            "rawInput": { "file": at("home/x") } }))
        );
        assert!(grant.covers(&json!({ "kind": "edit", "content": [
            { "type": "diff", "path": ws, "newText": "/not/a/path" },
        ] })));
    }

    #[test]
    fn an_edit_may_name_its_file_among_its_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(at("ws")).unwrap();
        fs::create_dir(at("agent")).unwrap();
        let grant = Grant {
            write: vec![at("ws").into()],
            read: vec![at("agent").into()],
        };
        let edits =
            |kind: &str, raw: &Value| grant.edits(&json!({ "kind": kind, "rawInput": raw }));
        assert!(edits(
            "edit",
            &json!({ "filePath": "src/a.rs", "text": "b" })
        ));
        assert!(edits("delete", &json!({ "path": at("ws/a") })));
        for (kind, raw) in [
            ("edit", json!({ "filePath": "../agent/a" })),
            ("edit", json!({ "filePath": "a", "to": at("agent/a") })),
            ("edit", json!({ "path": at("agent/a") })),
            ("edit", json!({ "text": "no path" })),
            ("execute", json!({ "path": at("ws/a"), "command": "rm" })),
            ("read", json!({ "path": at("ws/a") })),
        ] {
            assert!(!edits(kind, &raw), "{kind} {raw}");
        }
        let elsewhere =
            json!({ "kind": "edit", "locations": [{ "path": at("ws/a") }, { "path": "/etc/x" }] });
        assert!(!grant.edits(&elsewhere));
    }
}
