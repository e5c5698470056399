//! Hostile pages: ways in which a vendor is reached that no ordinary tag takes, as data (`cases/*.toml`,
//! times `vendors.toml`, times the moment), each tried in every state and with every ring switched off.

mod data;
mod expand;
mod hints;
mod pages;
mod round;
mod runs;
