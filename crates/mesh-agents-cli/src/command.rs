//! The verbs, one file for each family. A verb gets values and an [`Output`], so that a terminal,
//! the host's `cli.run` and tests run the same code.

pub(crate) mod access;
pub(crate) mod care;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod engine;
pub(crate) mod files;
pub(crate) mod init;
pub(crate) mod peers;
pub(crate) mod question;
pub(crate) mod settings;
pub(crate) mod tasks;
pub(crate) mod validate;
