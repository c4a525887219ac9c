//! Finding a harness's program, and what it has to read to be itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use mesh_agents_core::task::Failure;

/// Where programs are looked for.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    /// The owner's environment: PATH, HOME.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// What a relative path is relative to, when that is known.
    pub(super) base: Option<&'a Path>,
}

impl Search<'_> {
    /// The absolute path of `program`.
    ///
    /// # Errors
    /// `harness_not_found` with how to get it. PATH itself is not told: callers see this message too.
    pub(super) fn require(&self, program: &str, install: &str) -> Result<PathBuf, Failure> {
        self.find(program).ok_or_else(|| {
            let why = if program.contains('/') {
                format!("program {program:?} is not an executable file; {install}")
            } else {
                format!(
                    "program {program:?} is not on PATH; {install}. A running engine keeps the PATH it was \
                     started with: `agents stop` has the next one take yours"
                )
            };
            Failure::new("harness_not_found", why)
        })
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains('/') {
            let path = match self.base {
                Some(base) => base.join(program),
                None => PathBuf::from(program),
            };
            return (path.is_absolute() && is_executable(&path)).then_some(path);
        }
        let path = self.environment.get("PATH")?;
        std::env::split_paths(path)
            // A relative entry would mean the workspace, whose content is not the owner's word.
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|candidate| is_executable(candidate))
    }

    /// What a program reads to be itself: its own file, its package, and for a script the
    /// interpreter of its first line.
    pub(super) fn own_files(&self, program: &Path) -> Vec<PathBuf> {
        let real = real(program);
        let mut files = vec![program.to_owned(), self.package(&real)];
        if let Some(interpreter) = interpreter(&real).and_then(|name| self.find(&name)) {
            files.push(self.package(&self::real(&interpreter)));
            files.push(interpreter);
        }
        files
    }

    /// The directory a program belongs to: all installed Node packages around it (a package reads
    /// its neighbours), else the directory it lies in. Never the owner's HOME or what is above it:
    /// then it is the file alone.
    fn package(&self, real: &Path) -> PathBuf {
        let modules = real
            .ancestors()
            .filter(|dir| dir.file_name().is_some_and(|name| name == "node_modules"))
            .last();
        let dir = modules.or_else(|| real.parent()).unwrap_or(real);
        let home = self.environment.get("HOME").map(Path::new);
        let too_wide = dir.parent().is_none() || home.is_some_and(|home| home.starts_with(dir));
        (if too_wide { real } else { dir }).to_owned()
    }
}

/// Whether `program` is a path that only means something inside a workspace.
pub(super) fn is_relative_path(program: &str) -> bool {
    program.contains('/') && !program.starts_with('/')
}

/// The absolute paths among arguments, alone or behind `=`, that exist: naming a file in the
/// command line is the owner's word that it may be read.
pub(super) fn absolute_paths(args: &[String]) -> Vec<PathBuf> {
    let value = |arg: &String| {
        let text = match arg.split_once("=/") {
            Some((_, rest)) if arg.starts_with('-') => format!("/{rest}"),
            _ => arg.clone(),
        };
        PathBuf::from(text)
    };
    let paths = args.iter().map(value);
    paths
        .filter(|path| path.is_absolute() && path.parent().is_some() && path.exists())
        .collect()
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The program in a script's first line: `#!/usr/bin/env node` is `node`, `#!/bin/sh -e` is `/bin/sh`.
fn interpreter(script: &Path) -> Option<String> {
    /// Longer first lines are cut by the kernel too.
    const FIRST_LINE: u64 = 256;
    let mut head = Vec::new();
    let file = fs::File::open(script).ok()?;
    file.take(FIRST_LINE).read_to_end(&mut head).ok()?;
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if Path::new(first).file_name()? != "env" {
        return Some(first.to_owned());
    }
    let named = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    Some(named.to_owned())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
