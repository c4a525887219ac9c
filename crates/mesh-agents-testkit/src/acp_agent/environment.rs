//! The process environment as a value, and `$NAME` in script paths.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The environment a program was started with, read once by its `main`.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes what `std::env::vars_os()` gives; what is not UTF-8 is made so by replacement.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |value: OsString| value.to_string_lossy().into_owned();
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Replaces `$NAME` and `${NAME}`; a `$` that begins no name stays.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, next) = match after
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                Some((name, next)) => (name, next),
                None => after.split_at(name_length(after)),
            };
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(
                    self.get(name)
                        .ok_or_else(|| format!("${name} is not set"))?,
                );
            }
            rest = next;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_expand_and_an_unset_one_is_named() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let env = Environment::new([pair("HOME", "/h"), pair("A_1", "x")]);
        assert_eq!(env.expand("$HOME/a/${A_1}b/$").unwrap(), "/h/a/xb/$");
        assert_eq!(env.expand("$NOPE/x").unwrap_err(), "$NOPE is not set");
    }
}
