//! A Runner that drives one ACP harness process under a guard.
