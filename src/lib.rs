//! Consentry: a reverse proxy that holds back tracking tags until the visitor agrees, and proves it.

pub mod admin;
pub mod app;
pub mod asset;
pub mod browser;
pub mod cli;
pub mod config;
pub mod consent;
pub mod consent_log;
pub mod endpoint;
pub mod headers;
pub mod html;
pub mod notice;
pub mod policy;
pub mod proxy;
pub mod site;
pub mod telemetry;
pub mod tls;
pub mod vocab;
pub mod wire;
