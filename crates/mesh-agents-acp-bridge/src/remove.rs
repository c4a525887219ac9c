//! Removing a directory that a run could fill as it liked.
//!
//! `std::fs::remove_dir_all` takes a step of its stack and a file descriptor for each level, so a tree some
//! thousand directories deep, which takes a run a moment to make, ends the process that removes it: the engine.
//! Here what lies in a subdirectory is brought up beside it, so that nothing is ever more than two levels down.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use ulid::Ulid;

/// Removes `path` with all that is below it. Follows no link; one in its place is removed itself.
///
/// # Errors
/// `NotFound` when there is nothing, else what stands in the way; part of it may be gone then.
pub(crate) fn tree(path: &Path) -> io::Result<()> {
    let top = match open(CWD, path) {
        Ok(top) => top,
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(path),
        Err(error) => return Err(error.into()),
    };
    // What is brought up while a look goes on may not be part of that look.
    while look(&top)? {}
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes the entries there are; says whether there were any.
fn look(top: &OwnedFd) -> io::Result<bool> {
    let mut any = false;
    for entry in entries(top)? {
        let name = entry?;
        any = true;
        if is_directory(top, &name)? {
            bring_up(top, &name)?;
            unlinkat(top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(any)
}

/// Empties the directory `name` of `top`: its own directories go to `top`, under names nobody can guess.
fn bring_up(top: &OwnedFd, name: &CStr) -> io::Result<()> {
    let dir = open(top, name)?;
    for entry in entries(&dir)? {
        let entry = entry?;
        if !is_directory(&dir, &entry)? {
            continue;
        }
        match unlinkat(&dir, &entry, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                renameat(&dir, &entry, top, Ulid::new().to_string())?;
            }
            removed => removed?,
        }
    }
    Ok(())
}

/// Whether this entry is a directory; what else it was is gone.
fn is_directory(dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(dir, name, AtFlags::empty()) {
        // What the two kinds of systems say of a directory.
        Err(Errno::ISDIR | Errno::PERM) => Ok(true),
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open<P: rustix::path::Arg>(dir: impl std::os::fd::AsFd, path: P) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, path, flags, Mode::empty())
}

/// The names in a directory, from the first.
fn entries(dir: &OwnedFd) -> io::Result<impl Iterator<Item = io::Result<std::ffi::CString>>> {
    let found = Dir::read_from(dir)?;
    Ok(found.filter_map(|entry| match entry {
        Ok(entry) => {
            let name = entry.file_name();
            (name != c"." && name != c"..").then(|| Ok(name.to_owned()))
        }
        Err(error) => Some(Err(error.into())),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Makes directories in each other, with a file in every thousandth.
    fn nest(path: &Path, levels: usize) {
        let mut dir = open(CWD, path).unwrap();
        for level in 0..levels {
            rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
            dir = open(&dir, "d").unwrap();
            if level % 1000 == 0 {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(&dir, "f", flags, Mode::RWXU).unwrap();
            }
        }
    }

    #[test]
    fn however_deep_a_run_went_its_directory_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        nest(&run, 15_000);
        // On a stack as threads of the engine have it.
        let thread = std::thread::spawn({
            let run = run.clone();
            move || tree(&run)
        });
        thread.join().unwrap().unwrap();
        assert!(!run.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed_and_nothing_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("mine/kept")).unwrap();
        fs::write(at("mine/kept/file"), "x").unwrap();
        fs::create_dir_all(at("run/a/b/c")).unwrap();
        fs::create_dir_all(at("run/a/empty")).unwrap();
        for name in ["run/link", "run/a/link", "run/a/b/link"] {
            std::os::unix::fs::symlink(at("mine"), at(name)).unwrap();
        }
        fs::write(at("run/a/b/file"), "x").unwrap();
        tree(&at("run")).unwrap();
        assert!(!at("run").exists());
        std::os::unix::fs::symlink(at("mine"), at("run")).unwrap();
        tree(&at("run")).unwrap();
        assert!(at("run").symlink_metadata().is_err());
        assert_eq!(fs::read_to_string(at("mine/kept/file")).unwrap(), "x");
        assert_eq!(
            tree(&at("run")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
