//! The serial console's other end: standard input and output, or a file.
//!
//! Where standard input is a terminal it is made raw, so that every key reaches the guest, and Ctrl-A is the way out:
//!
//! | keys            | effect                   |
//! |-----------------|--------------------------|
//! | Ctrl-A x        | ends the VM at once      |
//! | Ctrl-A Ctrl-A   | sends one Ctrl-A         |
//! | Ctrl-A, another | sends both               |
//!
//! Where it is a pipe or a file its bytes go to the guest as they are, and its end only ends the input.

mod escape;
mod output;
mod stdin;
mod terminal;

pub use escape::{Escape, Flow};
pub use output::open_output;
pub use stdin::{Input, Next, Stdin};
