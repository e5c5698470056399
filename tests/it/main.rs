//! Integration tests: a real upstream, a real gate, raw bytes; and the files people edit.

mod behind;
mod commands;
mod contain;
mod crawl;
mod decision;
mod documents;
mod harness;
mod heads;
mod house;
mod pages;
mod passing;
mod process;
mod reload;
mod repeats;
mod reports;
mod sheets;
mod vendors;
mod workers;
