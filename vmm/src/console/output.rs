//! Where the guest's output goes.

use std::fs::File;
use std::io::{self, Write};

use crate::config::Console;

/// The writer behind the serial port. A file is created, or emptied where it is there; writing to it, or to a terminal
/// that is held, may block.
///
/// # Errors
///
/// The host's, where the file cannot be created.
pub fn open_output(console: &Console) -> io::Result<Box<dyn Write + Send>> {
    Ok(match console {
        Console::Stdio => Box::new(io::stdout()),
        Console::File(path) => Box::new(File::create(path)?),
        Console::None => Box::new(io::sink()),
    })
}
