//! Integration tests: a real upstream, a real gate, raw bytes; and the files people edit.

mod behind;
mod commands;
mod connections;
mod contain;
mod crawl;
mod decision;
mod documents;
mod frames;
mod harness;
mod heads;
mod house;
mod http2;
mod pages;
mod passing;
mod process;
mod reload;
mod reports;
mod service;
mod sheets;
mod streams;
mod vendors;
mod workers;
