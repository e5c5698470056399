//! Integration tests: the rooms together, and the files people edit.

mod vendors;
