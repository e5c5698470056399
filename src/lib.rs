//! Consentry: a reverse proxy that holds back tracking tags until the visitor agrees, and proves it.

pub mod config;
pub mod consent;
pub mod policy;
pub mod proxy;
pub mod vocab;
pub mod wire;
