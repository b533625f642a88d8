//! The decision log: a line of JSON for each decision, with all that it was made from.
//!
//! A thread writes it, so that a slow disk delays no decision: what does not fit into a short queue is left out, and said.
//! The file is bounded: when it is full it becomes `FILE.1`, in place of an older one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes after which the file begins anew. With the one before, twice that is kept.
const FILE_MAX_BYTES: u64 = 32 << 20;

/// Lines that wait for the disk.
const QUEUE: usize = 16;

/// Writes lines. It ends once what waits is written.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Absent when it ends.
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Begins to write, behind what is in the file already.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened, or there is no thread.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        Self::bounded(path, FILE_MAX_BYTES)
    }

    fn bounded(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let mut book = Book::open(path, most_bytes)?;
        let (lines, waiting) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("journal".into()).spawn(move || book.write_all(&waiting))?;
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }

    /// Hands a line over, without its line feed. Returns whether there was room for it.
    pub(crate) fn write(&mut self, mut line: Vec<u8>) -> bool {
        line.push(b'\n');
        self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The thread ends when nobody can send any more.
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, there is nothing left to write.
            let _ = thread.join();
        }
    }
}

/// The file and how much is in it.
#[derive(Debug)]
struct Book {
    path: PathBuf,
    file: File,
    bytes: u64,
    most_bytes: u64,
}

impl Book {
    fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        // What VMs hold, and when, is nobody else's business.
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, most_bytes })
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
        self.bytes = self.bytes.saturating_add(len);
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        match fs::rename(&self.path, before) {
            // It was moved already: by us, and no new one could be opened then, or by somebody else.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed?,
        }
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

    #[test]
    fn a_file_that_is_gone_when_it_is_full_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut book = Book::open(&path, 10).unwrap();
        book.write(b"12345678\n").unwrap();
        fs::remove_file(&path).unwrap();
        // No new one can be opened: there is something else in its place.
        fs::create_dir_all(path.join("x")).unwrap();
        fs::write(folder.path().join("log.1"), "").unwrap();
        assert!(book.write(b"lost\n").is_err());
        fs::remove_dir_all(&path).unwrap();
        book.write(b"kept\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
