//! The text of the list, read key by key; every mistake is told, not only the first.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use mesh_agents_core::text::{NAME_CHARS, is_harmless};
use mesh_agents_core::toml_reader::{Mistakes as _, Section};
use toml::de::DeTable;

use super::error::Report;
use super::{Acl, AclError, Pattern, Peer, Rules};
use crate::identity::NodeKey;
use crate::rate::Rate;

/// Keys of the file.
const TABLES: &[&str] = &["everyone", "peers"];
/// Keys of `[everyone]`.
const EVERYONE: &[&str] = &["allow", "deny", "requests_per_minute", "burst"];
/// Keys of `[peers."…"]`.
const PEER: &[&str] = &[
    "label",
    "allow",
    "deny",
    "approve",
    "requests_per_minute",
    "burst",
];
/// From one a minute to more than one connection can carry.
const PER_MINUTE: RangeInclusive<u32> = 1..=1_000_000;
/// As many at once as a minute may bring at the most.
const BURST: RangeInclusive<u32> = 1..=1_000_000;

pub(super) fn acl(text: &str, path: &Path) -> Result<Acl, AclError> {
    let mut report = Report::new(text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            report.error(error.span(), "", error.message(), "");
            return report.unless_wrong(path, Acl::default());
        }
    };
    let root = Section::root(document.get_ref());
    let elsewhere = |key: &str| (key != "label" && PEER.contains(&key)).then_some("everyone");
    root.only(TABLES, elsewhere, &mut report);
    let everyone = root.section("everyone", "everyone", &mut report);
    let only_peers = |key: &str| PEER.contains(&key).then_some("peers.\"did:key:…\"");
    everyone.only(EVERYONE, only_peers, &mut report);
    let rate = rate(everyone, Rate::default(), &mut report);
    let acl = Acl {
        everyone: rules(everyone, &mut report),
        rate,
        peers: peers(root, rate, &mut report),
        closed: false,
    };
    report.unless_wrong(path, acl)
}

fn peers(root: Section<'_>, rate: Rate, report: &mut Report<'_>) -> BTreeMap<NodeKey, Peer> {
    let table = root.section("peers", "peers", report);
    let names: Vec<_> = table
        .keys()
        .into_iter()
        .map(|(name, span)| (name, span, format!("peers.\"{name}\"")))
        .collect();
    let mut peers = BTreeMap::new();
    let mut labels = BTreeMap::new();
    for (name, span, path) in &names {
        let section = table.section(name, path, report);
        section.only(PEER, |_| None, report);
        let peer = peer(section, rate, &mut labels, report);
        match name.parse::<NodeKey>() {
            Ok(key) => {
                peers.insert(key, peer);
            }
            Err(error) => {
                let fix = "a table of a peer is [peers.\"did:key:z6Mk…\"]";
                report.error(Some(span.clone()), "peers", error.to_string(), fix);
            }
        }
    }
    peers
}

fn peer(
    section: Section<'_>,
    rate_of_all: Rate,
    labels: &mut BTreeMap<String, Range<usize>>,
    report: &mut Report<'_>,
) -> Peer {
    Peer {
        label: label(section, labels, report),
        rules: rules(section, report),
        approve: section.boolean("approve", report).unwrap_or_default(),
        rate: rate(section, rate_of_all, report),
    }
}

fn label(
    section: Section<'_>,
    labels: &mut BTreeMap<String, Range<usize>>,
    report: &mut Report<'_>,
) -> Option<String> {
    let label = section.filled("label", report)?;
    let (text, place) = (label.value, label.span);
    if let Err(reason) = check_label(&text) {
        let key = section.key("label");
        report.error(
            Some(place),
            &key,
            reason,
            "shorten it, or use plain characters",
        );
        return None;
    }
    if labels.insert(text.clone(), place.clone()).is_some() {
        report.error(
            Some(place),
            &section.key("label"),
            format!("another peer is labelled {text:?} too"),
            "give each a label of its own: commands take a label for a key",
        );
    }
    Some(text)
}

/// Whether a text can be a label, and why not.
pub(super) fn check_label(label: &str) -> Result<(), &'static str> {
    if label.trim().is_empty() {
        Err("a label cannot be empty")
    } else if label.chars().count() > NAME_CHARS {
        Err("a label has 80 characters at the most")
    } else if !label.chars().all(is_harmless) {
        Err("a label has no control or invisible characters")
    } else if label.starts_with("did:") {
        Err("a label cannot look like a key")
    } else {
        Ok(())
    }
}

fn rules(section: Section<'_>, report: &mut Report<'_>) -> Rules {
    Rules {
        allow: patterns(section, "allow", report),
        deny: patterns(section, "deny", report),
    }
}

fn patterns(section: Section<'_>, key: &str, report: &mut Report<'_>) -> Vec<Pattern> {
    let written = section.strings(key, report).unwrap_or_default();
    let mut patterns = Vec::new();
    for text in written {
        match text.value.parse::<Pattern>() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let reason = error.to_string();
                let (reason, fix) = reason.split_once(": ").unwrap_or((&reason, ""));
                report.error(Some(text.span), &section.key(key), reason, fix);
            }
        }
    }
    patterns
}

fn rate(section: Section<'_>, default: Rate, report: &mut Report<'_>) -> Rate {
    let per_minute = section.number("requests_per_minute", PER_MINUTE, report);
    let burst = section.number("burst", BURST, report);
    Rate {
        per_minute: per_minute.unwrap_or(default.per_minute),
        burst: burst.unwrap_or(default.burst),
    }
}
