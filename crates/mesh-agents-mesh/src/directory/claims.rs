//! Peers that only strangers speak of: hints, and who opens a stream, name any id they like (host-contract
//! T12, T13). Such a peer has a place of its own few and is asked at a rate of all of them together, since each
//! try costs the host an opening, in whose queue the user's own calls stand.

use super::pace::Pace;

/// Most peers that nobody but strangers spoke of.
pub(super) const CLAIMED: usize = 256;
/// They are asked this often, in milliseconds, all together.
const EVERY: u64 = 2_000;
/// So many may be asked at once, after a while in which none was: those a plugin that was started anew hears
/// of before its host tells of them (host-contract T7).
const AT_ONCE: u64 = 20;

/// How often they may be asked.
pub(super) fn pace() -> Pace {
    Pace::new(AT_ONCE, EVERY)
}
