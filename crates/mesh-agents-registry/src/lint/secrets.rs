//! Secrets written into `runtime.toml`, from where they get into backups, examples and commits.

use crate::code;
use crate::report::Report;
use crate::runtime_toml::RuntimeTable;

/// How names of variables read that hold secrets.
const NAMES: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
];
/// How secrets of well-known services begin.
const PREFIXES: &[&str] = &[
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "sk-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "hf_",
    "-----BEGIN",
];
/// Shorter values are words, not secrets.
const SHORTEST: usize = 8;

/// Warns of every secret among the variables and arguments of a run.
pub(super) fn check(table: &RuntimeTable<'_>, report: &mut Report<'_>) {
    for (name, value) in &table.env {
        if !is_secret(&name.value, &value.value) {
            continue;
        }
        let variable = &name.value;
        let told = report.warning(
            code::PLAIN_SECRET,
            Some(value.span.clone()),
            &format!("runtime.env.{variable}"),
            "is a secret in plain text",
            format!(
                "set {variable} where mesh-llm is started, and name it in inherit_env; then change the secret, which was in a file"
            ),
        );
        let told = told.remove(Some((name.span.clone(), value.span.clone())));
        told.inherit(table, variable);
    }
    for (index, at) in table.args.iter().flatten().enumerate() {
        let value = at
            .value
            .split_once('=')
            .map_or(at.value.as_str(), |(_, value)| value);
        if begins_as_one(value) {
            report.warning(
                code::PLAIN_SECRET,
                Some(at.span.clone()),
                &format!("runtime.args[{index}]"),
                "is a secret in plain text, which every process of this machine can read in the list of processes",
                "hand it over in a variable: name it in inherit_env",
            );
        }
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let named = NAMES.iter().any(|word| name.contains(word)) || name.ends_with("_KEY");
    let literal = !value.contains('$') && !value.contains("{{") && !value.starts_with(['/', '~']);
    let long = value.len() >= SHORTEST && !value.bytes().all(|b| b.is_ascii_digit());
    let url = value.starts_with("http://") || value.starts_with("https://");
    literal && (begins_as_one(value) || (named && long && !url))
}

fn begins_as_one(value: &str) -> bool {
    value.len() > SHORTEST && PREFIXES.iter().any(|prefix| value.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn secrets_are_told_from_settings() {
        for (name, value) in [
            ("GH_TOKEN", "abcdefgh1"),
            ("NOTES", "ghp_0123456789"),
            ("OPENAI_API_KEY", "sk-0123456789"),
        ] {
            assert!(is_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("GH_TOKEN", "$GH_TOKEN"),
            ("TOKEN_LIMIT", "400000000"),
            ("TOKEN_FILE", "/run/secrets/token"),
            ("TOKEN_URL", "https://example.com/token"),
            ("NOTES", "sketches of mine"),
            ("SECRET", "none"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }
}
