//! Hostile pages: ways in which a vendor is reached that no ordinary tag takes, as data (`cases/*.toml`,
//! times `vendors.toml`, times the moment), each tried in every state and with every ring switched off.
//!
//! `cargo nextest run --test browser hostile::` runs everything. In the environment, `HOSTILE=text` takes the
//! cases with it in their name or theme, `HOSTILE_RING=guard` those of a ring, `HOSTILE_TIMES=1` says how long
//! each round took.

mod data;
mod expand;
mod hints;
mod pages;
mod round;
mod runs;
