//! Integration tests: a real upstream, a real gate, raw bytes; and the files people edit.

mod access;
mod behind;
mod commands;
mod contain;
mod crawl;
mod decision;
mod documents;
mod harness;
mod heads;
mod health;
mod house;
mod metrics;
mod ops;
mod pages;
mod passing;
mod process;
mod reload;
mod reports;
mod sheets;
mod vendors;
mod workers;
