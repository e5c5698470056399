//! Integration tests: a real upstream, a real gate, raw bytes; and the files people edit.

mod acme;
mod behind;
mod certificates;
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
mod pebble;
mod process;
mod receipt;
mod reload;
mod reports;
mod sheets;
mod sites;
mod tls;
mod upstreams;
mod vendors;
mod workers;
