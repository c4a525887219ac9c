//! Which addresses a notification may go to.
//!
//! The url of a notification is a caller's, and this program sends to it from inside the owner's
//! network: without a screen every caller could reach the router, the database next door or a
//! cloud's metadata service (SSRF). So only public addresses are allowed, judged after the name was
//! looked up, and the owner names the exceptions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Widest IPv4 range an exception may name: the widest private one. A wider one would be a typo or
/// the end of the screen.
const WIDEST_V4: u8 = 8;
/// Widest IPv6 range an exception may name: that of all unique local addresses.
const WIDEST_V6: u8 = 7;

/// The owner's exceptions from "public addresses only". The default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushTargets {
    ranges: Vec<Range>,
    names: Vec<String>,
}

/// Addresses that share a prefix; it is at least as long as the widest range allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    base: IpAddr,
    prefix: u8,
}

/// An exception that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?} {problem}; write an address such as \"127.0.0.1\", a range such as \"10.0.0.0/8\" or a host name such as \"hooks.example\""
)]
pub struct BadTarget {
    /// The exception as it was written.
    pub entry: String,
    /// What is wrong with it.
    pub problem: String,
}

/// An address that notifications do not go to. Its message names the setting that would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is {kind}, and notifications go to public addresses only; \
     the owner of this node can allow it by push_allow in a2a/agents.toml"
)]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    /// What kind of address that is.
    pub kind: &'static str,
}

impl PushTargets {
    /// Reads exceptions: addresses, ranges and host names. A host name allows whatever private or
    /// loopback address that name has, and nothing else: never a link-local or multicast one.
    ///
    /// # Errors
    /// When an entry is none of these, or a range is wider than any private one.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BadTarget> {
        let mut targets = Self::default();
        for entry in entries {
            let bad = |problem: String| BadTarget {
                entry: entry.chars().take(200).collect(),
                problem,
            };
            if entry.contains('/') || entry.parse::<IpAddr>().is_ok() {
                targets.ranges.push(Range::read(entry).map_err(bad)?);
            } else if is_name(entry) {
                targets.names.push(plain(entry));
            } else {
                return Err(bad("is not an address, range or host name".to_owned()));
            }
        }
        Ok(targets)
    }

    /// Whether a notification for `host` may go to `address`, which `host` is or was looked up as.
    ///
    /// # Errors
    /// When the address is not public and not allowed.
    pub fn screen(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let Some(special) = special(address) else {
            return Ok(());
        };
        let listed = self.ranges.iter().any(|range| range.holds(address));
        let named = special.own && self.names.contains(&plain(host));
        if listed || named {
            return Ok(());
        }
        Err(Forbidden {
            address,
            kind: special.kind,
        })
    }
}

impl Range {
    fn read(entry: &str) -> Result<Self, String> {
        let (base, prefix) = match entry.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (entry, None),
        };
        let base: IpAddr = base.parse().map_err(|_| "is not an address".to_owned())?;
        let (bits, widest) = match base {
            IpAddr::V4(_) => (32, WIDEST_V4),
            IpAddr::V6(_) => (128, WIDEST_V6),
        };
        let prefix = match prefix {
            None => bits,
            Some(text) => text
                .parse()
                .ok()
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| format!("has no prefix length from {widest} to {bits}"))?,
        };
        if prefix < widest {
            return Err(format!("is a wider range than /{widest}"));
        }
        Ok(Self { base, prefix })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()) >> (32 - self.prefix) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()) >> (128 - self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// A host name as names are compared: lower case, without the final dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Letters, digits, hyphens and dots, not all of them digits and dots: that is a mistyped address.
fn is_name(entry: &str) -> bool {
    let name = entry.trim_end_matches('.');
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        && name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().any(|b| !b.is_ascii_digit()))
}

/// What is special about an address that is not a public one.
#[derive(Debug, Clone, Copy)]
struct Special {
    kind: &'static str,
    /// Whether it is an address people give their own machines: a name may be allowed to have it.
    own: bool,
}

/// `None` for a public address.
fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Metadata services outside link-local: the first would pass as somebody's own, the second as public.
const METADATA_ALIBABA: [u8; 4] = [100, 100, 100, 200];
const METADATA_AZURE: [u8; 4] = [168, 63, 129, 16];
/// The /32 of Amazon's, among the private addresses.
const METADATA_AMAZON: [u16; 2] = [0xfd00, 0x0ec2];

/// Everything in IANA's registry of special IPv4 addresses, as of 2026.
fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let own = |kind| Some(Special { kind, own: true });
    let never = |kind| Some(Special { kind, own: false });
    match address.octets() {
        METADATA_ALIBABA | METADATA_AZURE => never("a cloud's metadata service"),
        [0, ..] => never("an unspecified address"),
        [127, ..] => own("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => own("a private address"),
        [100, 64..=127, ..] => own("an address inside a provider's network (CGNAT)"),
        [169, 254, ..] => never("a link-local address"),
        [192, 0, 0, _] | [192, 88, 99, _] => never("an address reserved for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            never("an address for documentation")
        }
        [198, 18..=19, ..] => never("an address for benchmarks"),
        [224..=239, ..] => never("a multicast address"),
        [240..=255, ..] => never("a reserved address"),
        _ => None,
    }
}

/// Only global unicast addresses (2000::/3) are public, and of those not the ones that carry another
/// address inside (6to4, Teredo) or are for documentation. Mapped IPv4 and NAT64 lie outside.
fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let own = |kind| Some(Special { kind, own: true });
    let never = |kind| Some(Special { kind, own: false });
    if address.is_loopback() {
        return own("a loopback address");
    }
    if address.is_unspecified() {
        return never("an unspecified address");
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => never("an IPv4 address in IPv6 form"),
        [0x64, 0xff9b, ..] => never("an IPv4 address behind a translator (NAT64)"),
        [a, b, ..] if [a, b] == METADATA_AMAZON => never("a cloud's metadata service"),
        [0xfc00..=0xfdff, ..] => own("a private address"),
        [0xfe80..=0xfebf, ..] => never("a link-local address"),
        [0xff00..=0xffff, ..] => never("a multicast address"),
        [0x2001, 0x0000..=0x01ff, ..] => never("an address reserved for protocols"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => {
            never("an address for documentation")
        }
        [0x2002, ..] => never("an IPv4 address behind a tunnel (6to4)"),
        [0x2000..=0x3fff, ..] => None,
        _ => never("no global unicast address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> &'static str {
        special(address.parse().unwrap()).map_or("public", |special| special.kind)
    }

    #[test]
    fn only_public_addresses_pass() {
        let addresses = [
            // public, and next to special ones
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            // special
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fd00:ec2::254",
            "ff02::1",
        ];
        let table: Vec<_> = addresses
            .iter()
            .map(|address| format!("{address:<24} {}", kind(address)))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    fn allows(entries: &[&str], host: &str, address: &str) -> bool {
        let targets = PushTargets::read(entries.iter().copied()).unwrap();
        targets.screen(host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn an_exception_allows_what_it_names_and_no_more() {
        assert!(!allows(&[], "127.0.0.1", "127.0.0.1"));
        assert!(allows(&["127.0.0.1"], "127.0.0.1", "127.0.0.1"));
        assert!(allows(&["127.0.0.1"], "hooks.example", "127.0.0.1"));
        assert!(!allows(&["127.0.0.1"], "127.0.0.2", "127.0.0.2"));
        assert!(!allows(&["127.0.0.1"], "x", "::ffff:127.0.0.1"));
        assert!(allows(&["10.0.0.0/8"], "x", "10.255.0.1"));
        assert!(!allows(&["10.1.0.0/16"], "x", "10.2.0.1"));
        assert!(allows(&["fd00::/8"], "x", "fd12::1"));
        assert!(!allows(&["fd00::/8"], "x", "fc12::1"));
        assert!(allows(&["169.254.169.254"], "x", "169.254.169.254"));
    }

    #[test]
    fn a_name_allows_the_addresses_of_ones_own_machines_for_itself_only() {
        let named = ["Hooks.Example."];
        assert!(allows(&named, "hooks.example", "10.0.0.1"));
        assert!(allows(&named, "hooks.example.", "127.0.0.1"));
        assert!(allows(&named, "HOOKS.example", "fd00::1"));
        assert!(!allows(&named, "evil.hooks.example", "10.0.0.1"));
        assert!(!allows(&named, "hooks.example", "169.254.169.254"));
        assert!(!allows(&named, "hooks.example", "224.0.0.1"));
        assert!(!allows(&named, "hooks.example", "0.0.0.0"));
    }

    #[test]
    fn what_cannot_be_an_exception_is_refused_with_the_forms_that_can() {
        let bad = [
            "",
            " ",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "::/0",
            "300.1.1.1",
            "10.0.0",
            "http://hooks.example",
            "hooks.example:80",
            "*.example",
            "a..b",
        ];
        let messages: Vec<_> = bad
            .iter()
            .map(|entry| PushTargets::read([*entry]).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(messages.join("\n"));
    }
}
