//! Consentry: a reverse proxy that holds back tracking tags until the visitor agrees, and proves it.

pub mod cli;
pub mod config;
pub mod consent_log;
pub mod policy;
pub mod vocab;
