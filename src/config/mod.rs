//! The files people edit, as text in and checked values out. No I/O: [`crate::app`] reads the files.

mod fault;
mod reader;

pub use fault::Fault;
pub use reader::{At, File, Section, nearest};
