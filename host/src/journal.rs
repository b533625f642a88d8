//! The decision log: a line of JSON for each decision, with all that it was made from.
//!
//! A thread writes it, so that a slow disk delays no decision: what does not fit into a short queue is left out, and said.
//! The file is bounded: when it is full it becomes `FILE.1`, in place of an older one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes after which the file begins anew. With the one before, twice that is kept.
pub const FILE_MAX_BYTES: u64 = 32 << 20;

/// Lines that wait for the disk.
const QUEUE: usize = 16;

/// Writes lines. The thread ends with it, once it has written what waits.
#[derive(Debug)]
pub struct Journal {
    lines: SyncSender<Vec<u8>>,
}

impl Journal {
    /// Begins to write, behind what is in the file already.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened, or there is no thread.
    pub fn start(path: &Path) -> io::Result<Self> {
        Self::bounded(path, FILE_MAX_BYTES)
    }

    fn bounded(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let mut book = Book::open(path, most_bytes)?;
        let (lines, waiting) = sync_channel(QUEUE);
        thread::Builder::new().name("journal".into()).spawn(move || book.write_all(&waiting))?;
        Ok(Self { lines })
    }

    /// Hands a line over, without its line feed. Returns whether there was room for it.
    pub fn write(&mut self, mut line: Vec<u8>) -> bool {
        line.push(b'\n');
        self.lines.try_send(line).is_ok()
    }
}

/// The file and how much is in it.
#[derive(Debug)]
struct Book {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    most_bytes: u64,
}

impl Book {
    fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        // What VMs hold, and when, is nobody else's business.
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), bytes, most_bytes })
    }

    fn write_all(&mut self, lines: &Receiver<Vec<u8>>) {
        let mut complained = false;
        for line in lines {
            let written = self.write(&line);
            if let Err(error) = written
                && !std::mem::replace(&mut complained, true)
            {
                tracing::warn!(%error, path = %self.path.display(), "the decision log cannot be written");
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let len = line.len() as u64;
        if self.bytes > 0 && self.bytes.saturating_add(len) > self.most_bytes {
            self.turn_over()?;
        }
        self.file.write_all(line)?;
        self.file.flush()?;
        self.bytes = self.bytes.saturating_add(len);
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        fs::rename(&self.path, before)?;
        *self = Self::open(&self.path, self.most_bytes)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn wait_for(path: &Path, is_met: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if is_met(&text) {
                return text;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{text:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn lines_are_written_behind_those_of_the_service_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for word in ["one", "two"] {
            assert!(Journal::start(&path).unwrap().write(word.into()));
            wait_for(&path, |text| text.ends_with(&format!("{word}\n")));
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn the_file_is_bounded_and_the_one_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, before) = (folder.path().join("log"), folder.path().join("log.1"));
        let mut journal = Journal::bounded(&path, 100).unwrap();
        for number in 0..10 {
            assert!(journal.write(format!("{number}{}", "x".repeat(38)).into()));
            wait_for(&path, |text| text.contains(&number.to_string()));
        }
        let (now, before) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(&before).unwrap());
        assert_eq!((now.len(), before.len()), (80, 80));
        assert!(before.starts_with('6') && now.starts_with('8'), "{before}{now}");
    }
}
