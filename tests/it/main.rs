//! Integration tests: a real upstream, a real gate, raw bytes; and the files people edit.

mod commands;
mod decision;
mod harness;
mod house;
mod pages;
mod passing;
mod process;
mod reload;
mod vendors;
mod workers;
