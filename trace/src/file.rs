//! Traces in files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::error::ReadError;
use crate::reader::Reader;

/// Reads a trace from a file, whether it is compressed or not.
pub type FileReader = Reader<Box<dyn BufRead>>;

/// Opens a trace; one whose name ends in `.zst` is compressed by Zstandard.
///
/// # Errors
/// Where the file cannot be opened, or does not begin as a trace does.
pub fn open(path: &Path) -> Result<FileReader, ReadError> {
    let unreadable = |source| ReadError::Io { offset: 0, source };
    let file = File::open(path).map_err(unreadable)?;
    let is_compressed = path.extension().is_some_and(|extension| extension == "zst");
    let bytes: Box<dyn BufRead> = if is_compressed {
        Box::new(BufReader::new(zstd::Decoder::new(file).map_err(unreadable)?))
    } else {
        Box::new(BufReader::new(file))
    };
    Reader::new(bytes)
}
