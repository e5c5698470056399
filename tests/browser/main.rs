//! The gate in a real browser: Chromium, with every foreign host mapped to a recorder that plays the
//! vendors, goes to a real site through the real binary. A control run straight at the site shows that
//! the same tags do fire without the gate. Each test prints one line: leaks, did not fire, broken pages.

#![expect(clippy::print_stdout, reason = "each test prints its summary line")]

mod cdp;
mod forms;
mod frameworks;
mod gate;
mod guard;
mod hand;
mod origin;
mod recorder;
mod report;
mod switch;
mod world;

mod banner;
mod choice;
mod contain;
mod control;
mod cost;
mod hardened;
mod hints;
mod hostile;
mod journey;
mod live;
mod noscript;
mod order;
mod refusal;
mod stand_ins;
