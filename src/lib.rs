//! Consentry: a reverse proxy that holds back tracking tags until the visitor agrees, and proves it.

pub mod config;
pub mod notice;
pub mod policy;
pub mod vocab;
