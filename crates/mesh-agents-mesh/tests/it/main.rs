//! Adverts, cards, the directory and routing through the crate's public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene fails")]

mod adverts;
mod attacks;
mod canary;
mod cards;
mod claims;
mod directory;
mod floods;
mod room;
mod routes;
mod scale;
mod support;
