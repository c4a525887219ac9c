//! What kind of mistake a [`crate::Problem`] is, as a word that editors and scripts can rely on.
//!
//! `AUTHORING.md` beside this crate's manifest explains each; a test holds the two together.

pub use mesh_agents_core::toml_reader::code::{
    EMPTY, NOT_BUILT, OUT_OF_RANGE, UNKNOWN_KEY, UNKNOWN_VALUE, WRONG_TYPE,
};

/// The text is not TOML or not JSON.
pub const SYNTAX: &str = "syntax";
/// Something is there twice.
pub const DUPLICATE: &str = "duplicate";
/// Something required is not there.
pub const MISSING: &str = "missing";
/// A field or a version of A2A 0.3.
pub const OLD_A2A: &str = "old_a2a";
/// A card the A2A types do not take.
pub const NOT_A_CARD: &str = "not_a_card";
/// A character that cannot be shown, or that turns text around.
pub const CONTROL_CHARACTER: &str = "control_character";
/// Two values that exclude each other.
pub const CONFLICT: &str = "conflict";
/// A text that is no template, or asks for a variable there is not.
pub const TEMPLATE: &str = "template";
/// A template that asks for an environment variable that is not set.
pub const UNSET_VARIABLE: &str = "unset_variable";
/// A name of an environment variable, an artifact or an agent that is none.
pub const NAME: &str = "name";
/// A path that is none, leads elsewhere, or where nothing is.
pub const PATH: &str = "path";
/// A file or directory that is not there.
pub const NOT_FOUND: &str = "not_found";
/// A file that cannot be read as text.
pub const UNREADABLE: &str = "unreadable";
/// A file larger than it may be.
pub const TOO_LARGE: &str = "too_large";
/// An endpoint that cannot be called, or not safely.
pub const ENDPOINT: &str = "endpoint";
/// Right in itself, and nothing reads it here.
pub const NO_EFFECT: &str = "no_effect";
/// A field that is none of an A2A 1.0 card; readers ignore it.
pub const UNKNOWN_FIELD: &str = "unknown_field";
/// An address in the card that callers will never see.
pub const UNUSED_URL: &str = "unused_url";
/// Arguments the harness does not take, or without which it does not speak ACP.
pub const HARNESS_ARGS: &str = "harness_args";
/// A secret written where a name should be.
pub const PLAIN_SECRET: &str = "plain_secret";
/// Advertised, or meant to be, and nobody can call it.
pub const NOBODY_CALLS: &str = "nobody_calls";
/// A limit that another limit never lets be reached.
pub const LIMIT: &str = "limit";
/// A template in the instructions, which are no template.
pub const NOT_EXPANDED: &str = "not_expanded";
/// A required artifact the brief says nothing of.
pub const UNSAID_ARTIFACT: &str = "unsaid_artifact";
/// File modes that keep a program from running, or let others change what runs.
pub const PERMISSIONS: &str = "permissions";
/// The files are right and this machine lacks something they need.
pub const MACHINE: &str = "machine";

/// All of them.
pub const ALL: &[&str] = &[
    EMPTY,
    NOT_BUILT,
    OUT_OF_RANGE,
    UNKNOWN_KEY,
    UNKNOWN_VALUE,
    WRONG_TYPE,
    SYNTAX,
    DUPLICATE,
    MISSING,
    OLD_A2A,
    NOT_A_CARD,
    CONTROL_CHARACTER,
    CONFLICT,
    TEMPLATE,
    UNSET_VARIABLE,
    NAME,
    PATH,
    NOT_FOUND,
    UNREADABLE,
    TOO_LARGE,
    ENDPOINT,
    NO_EFFECT,
    UNKNOWN_FIELD,
    UNUSED_URL,
    HARNESS_ARGS,
    PLAIN_SECRET,
    NOBODY_CALLS,
    LIMIT,
    NOT_EXPANDED,
    UNSAID_ARTIFACT,
    PERMISSIONS,
    MACHINE,
];
