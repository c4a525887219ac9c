//! The verbs that care for what is stored: `tasks prune` and `backup`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_agents_plugin::socket::{BackupRequest, PruneRequest};

use crate::client::Client;
use crate::output::{Exit, Output};

/// `agents tasks prune`.
pub(crate) async fn prune(
    client: &Client,
    output: &mut Output,
    older_than: Option<Duration>,
    keep: Option<u64>,
    dry_run: bool,
) -> Result<Exit> {
    let request = PruneRequest {
        older_than_seconds: older_than.map(|age| age.as_secs()),
        keep,
        dry_run,
    };
    let done = client.prune(&request).await?;
    output.answer("tasks.prune", &done, |out| {
        let would = if done.dry_run {
            "would remove"
        } else {
            "removed"
        };
        writeln!(
            out,
            "{would} {} tasks and {} artifact contents ({}); {} ended tasks are kept",
            done.tasks,
            done.blobs,
            size(done.bytes),
            done.kept
        )
    })?;
    Ok(Exit::Done)
}

/// `agents backup`.
pub(crate) async fn backup(client: &Client, output: &mut Output, path: &Path) -> Result<Exit> {
    let path = std::path::absolute(path)
        .with_context(|| format!("{} has no absolute path", path.display()))?;
    let made = client.backup(&BackupRequest { path }).await?;
    output.answer("backup", &made, |out| {
        writeln!(
            out,
            "{} tasks and {} artifact contents in {}",
            made.tasks,
            made.blobs,
            made.path.display()
        )
    })?;
    if !made.missing.is_empty() && !output.is_json() {
        output.say(&format!(
            "{} artifact contents were missing or damaged and are not in it (agents doctor)",
            made.missing.len()
        ));
    }
    Ok(Exit::Done)
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// An age as people write it: a number and `s`, `m`, `h`, `d` or `w`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let rule = "write a number and a unit: 90s, 30m, 12h, 7d or 4w";
    let unit = text.chars().last().ok_or(rule)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(rule.to_owned()),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| rule.to_owned())?;
    let all = number.checked_mul(seconds).ok_or(rule)?;
    Ok(Duration::from_secs(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_read_and_written_as_people_do() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(age("7d"), age("1w"));
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        for wrong in [
            "",
            "7",
            "d",
            "-1d",
            "1.5h",
            "7 d",
            "99999999999999999w",
            "7é",
        ] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
        let shown = [0, 1023, 1024, 10 * 1024 * 1024 * 1024 + 1].map(size);
        assert_eq!(shown, ["0 bytes", "1023 bytes", "1.0 KiB", "10.0 GiB"]);
    }
}
