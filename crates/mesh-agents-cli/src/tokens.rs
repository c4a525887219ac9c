//! Access tokens: who may call a node over HTTP, and as whom (DESIGN §2.1, §4 "Principals").
//!
//! The owner's token stands for the person at this machine. A named one stands for `token:<name>`,
//! who sees and touches only the tasks it sent itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;

use crate::context::Context;

/// Characters a token has at least: 16 random ones cannot be guessed over a network.
const SHORTEST: usize = 16;
/// Characters of a token's name.
const LONGEST_NAME: usize = 64;

/// The tokens of a node.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    holders: Vec<Holder>,
}

#[derive(Clone)]
struct Holder {
    token: String,
    caller: Caller,
}

// The tokens themselves stay out of logs.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.holders.iter().map(|holder| &holder.caller.principal);
        f.debug_list().entries(names).finish()
    }
}

impl Tokens {
    /// Reads them: the owner's from the flag, the setting or the environment, the named ones from
    /// the files that `[access_tokens]` names.
    pub(crate) fn load(context: &Context, flag: Option<&Path>) -> Result<Self> {
        let settings = &context.settings;
        let owners = match flag.or(settings.access_token_file.as_deref()) {
            Some(path) => Some(read(path)?),
            None => context
                .environment
                .get("MESH_AGENTS_ACCESS_TOKEN")
                .map(|token| token.trim().to_owned()),
        };
        let mut tokens = Self::default();
        if let Some(token) = owners {
            tokens.add("the access token", token, Caller::local())?;
        }
        tokens.add_named(&settings.access_tokens)?;
        known(&settings.mesh_tokens, &settings.access_tokens)?;
        Ok(tokens)
    }

    fn add_named(&mut self, files: &BTreeMap<String, PathBuf>) -> Result<()> {
        for (name, path) in files {
            let what = format!("access_tokens.{name}");
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
                bail!("{what}: a name is 1 to {LONGEST_NAME} letters, digits, - and _");
            }
            let token = read(path).with_context(|| what.clone())?;
            let caller = Caller::token(name.clone());
            self.add(&what, token, caller)?;
        }
        Ok(())
    }

    fn add(&mut self, what: &str, token: String, caller: Caller) -> Result<()> {
        let length = token.chars().count();
        if length < SHORTEST {
            bail!(
                "{what} has {length} characters and needs {SHORTEST} or more; make one with: openssl rand -hex 32"
            );
        }
        if let Some(other) = self.caller(&token) {
            bail!(
                "{what} is the same token as that of {}; give each caller its own",
                other.principal
            );
        }
        self.holders.push(Holder { token, caller });
        Ok(())
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Whether the owner has one. Then nobody is the owner without it.
    pub(crate) fn has_owners(&self) -> bool {
        let owner = |holder: &Holder| holder.caller.principal == Principal::Local;
        self.holders.iter().any(owner)
    }

    /// Whom this token stands for.
    pub(crate) fn caller(&self, token: &str) -> Option<Caller> {
        // Every token is compared to its end, whichever is right.
        let mut found = None;
        for holder in &self.holders {
            if same(holder.token.as_bytes(), token.as_bytes()) {
                found = Some(holder.caller.clone());
            }
        }
        found
    }
}

/// Whether all that may call other nodes are tokens there are.
fn known(mesh: &BTreeSet<String>, files: &BTreeMap<String, PathBuf>) -> Result<()> {
    match mesh.iter().find(|name| !files.contains_key(*name)) {
        None => Ok(()),
        Some(name) => bail!(
            "mesh_tokens: no token is called \"{name}\"; name it in [access_tokens] too, or take it out"
        ),
    }
}

fn read(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the access token file {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Compares without telling by the time taken how much of it was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[(&str, &str)]) -> Result<Tokens> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = BTreeMap::new();
        for (n, (name, token)) in files.iter().enumerate() {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, token).unwrap();
            paths.insert((*name).to_owned(), path);
        }
        let mut tokens = Tokens::default();
        tokens.add(
            "the access token",
            "0123456789abcdef".into(),
            Caller::local(),
        )?;
        tokens.add_named(&paths)?;
        Ok(tokens)
    }

    #[test]
    fn a_token_stands_for_its_holder_and_no_other() {
        let tokens = named(&[("ci", "ci-0123456789abcdef\n")]).unwrap();
        let who = |token| tokens.caller(token).map(|caller| caller.principal);
        assert_eq!(who("0123456789abcdef"), Some(Principal::Local));
        assert_eq!(
            who("ci-0123456789abcdef"),
            Some(Principal::Token("ci".into()))
        );
        assert_eq!(who("ci-0123456789abcdeX"), None);
        assert_eq!(who(""), None);
        assert!(!format!("{tokens:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_by_name() {
        let told = |files: &[(&str, &str)]| format!("{:#}", named(files).unwrap_err());
        assert!(told(&[("ci", "short")]).starts_with("access_tokens.ci has 5 characters"));
        assert!(told(&[("a b", "ci-0123456789abcdef")]).contains("access_tokens.a b: a name"));
        assert!(told(&[("ci", "0123456789abcdef")]).contains("same token as that of local"));
        let files = BTreeMap::from([("ci".to_owned(), PathBuf::from("/t"))]);
        let named = |name: &str| known(&BTreeSet::from([name.to_owned()]), &files);
        assert!(named("ci").is_ok());
        let said = named("c1").unwrap_err().to_string();
        assert!(
            said.contains("mesh_tokens") && said.contains("\"c1\""),
            "{said}"
        );
    }
}
