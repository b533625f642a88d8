//! From the threads that call the store to the file, without their waiting for it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tmem::{CodecChoice, Page};

use crate::content::{Content, ContentKey};
use crate::header::Header;
use crate::operation::{Operation, Record};
use crate::writer::Writer;

/// Operations that wait for the writer at most: some 14 MiB, and a third of a second of a store that is kept busy.
const QUEUE_OPERATIONS: usize = 1 << 17;
/// How often the thread looks for operations. It is never woken: that would be a system call of whoever records.
const INTERVAL: Duration = Duration::from_millis(10);

/// An operation that waits to be written.
struct Recorded {
    at_us: u64,
    operation: Operation,
}

/// Takes operations of any number of threads, and has a thread that writes them.
///
/// Recording makes no system call and never waits: when the writer does not keep up, operations are left out, and the
/// trace says how many. Dropping the recorder writes what is queued and ends the trace.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    key: ContentKey,
    codec: CodecChoice,
    queue: SyncSender<Recorded>,
    lost: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins a trace in `out`. `key` is to be random, and known to nobody else.
    ///
    /// # Errors
    /// Where the header cannot be written, or there is no thread to be had.
    pub fn start(out: impl Write + Send + 'static, header: &Header, key: ContentKey) -> io::Result<Self> {
        Self::with_queue(QUEUE_OPERATIONS, out, header, key)
    }

    fn with_queue(
        operations: usize,
        out: impl Write + Send + 'static,
        header: &Header,
        key: ContentKey,
    ) -> io::Result<Self> {
        let writer = Writer::new(io::BufWriter::new(out), header)?;
        let (queue, queued) = sync_channel(operations);
        let (lost, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let scribe = Scribe { queued, lost: Arc::clone(&lost), over: Arc::clone(&over) };
        let thread = thread::Builder::new().name("trace".into()).spawn(move || match scribe.run(writer) {
            Ok(Written { operations, lost }) => tracing::info!(operations, lost, "the trace is complete"),
            Err(error) => tracing::warn!(%error, "the trace cannot be written any more and ends here"),
        })?;
        let started = Instant::now();
        Ok(Self { started, key, codec: header.codec, queue, lost, over, thread: Some(thread) })
    }

    /// What is to be recorded of a page.
    pub(crate) fn describe(&self, page: &Page) -> Content {
        self.key.describe(page, self.codec)
    }

    /// Records an operation that was answered just now.
    pub fn record(&self, operation: Operation) {
        let at_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if self.queue.try_send(Recorded { at_us, operation }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics only where its writer does.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Scribe {
    queued: Receiver<Recorded>,
    lost: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

/// What became of the operations.
struct Written {
    operations: u64,
    lost: u64,
}

impl Scribe {
    fn run<W: Write>(self, mut writer: Writer<W>) -> io::Result<Written> {
        let mut lost = 0;
        loop {
            // Asked before the queue is: what was recorded before the end is in it.
            let over = self.over.load(Ordering::Acquire);
            // No more than a queue full, so that what was lost is told near where it is missing.
            for Recorded { at_us, operation } in self.queued.try_iter().take(QUEUE_OPERATIONS) {
                writer.write(&Record::Operation { at_us, operation })?;
            }
            let operations = self.lost.swap(0, Ordering::Relaxed);
            if operations > 0 {
                lost += operations;
                writer.write(&Record::Lost { operations })?;
            }
            if over {
                let operations = writer.operations();
                writer.finish()?;
                return Ok(Written { operations, lost });
            }
            writer.flush()?;
            thread::park_timeout(INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use tmem::ClientConfig;

    use super::*;
    use crate::Reader;

    fn header() -> Header {
        Header::of(&ClientConfig::new(1 << 20, [0; 2]))
    }

    /// A file that waits for a word before each write but the first, and keeps what is written.
    struct Slow {
        written: Arc<Mutex<Vec<u8>>>,
        go_on: Receiver<()>,
    }

    impl Slow {
        fn new() -> (Self, Arc<Mutex<Vec<u8>>>, Sender<()>) {
            let written = Arc::new(Mutex::new(Vec::new()));
            let (go, go_on) = channel();
            (Self { written: Arc::clone(&written), go_on }, written, go)
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Fails once nobody holds the writer back any more.
            let _ = self.go_on.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_slow_file_loses_is_told_and_nobody_waits() {
        let (slow, written, go) = Slow::new();
        let recorder = Recorder::with_queue(8, slow, &header(), ContentKey::new([1, 2])).unwrap();
        for bytes in 0..1000 {
            recorder.record(Operation::SetLimit { bytes });
        }
        drop(go);
        drop(recorder);
        let written = written.lock().unwrap();
        let records: Vec<_> = Reader::new(written.as_slice()).unwrap().map(Result::unwrap).collect();
        let lost: u64 =
            records.iter().map(|record| if let Record::Lost { operations } = record { *operations } else { 0 }).sum();
        let kept = records.iter().filter(|record| matches!(record, Record::Operation { .. })).count();
        assert!(lost > 0 && kept >= 8, "{lost} lost, {kept} kept");
        assert_eq!(lost + kept as u64, 1000);
    }

    #[test]
    fn what_was_recorded_before_the_end_is_in_the_file() {
        let (slow, written, go) = Slow::new();
        drop(go);
        let recorder = Recorder::start(slow, &header(), ContentKey::new([1, 2])).unwrap();
        for bytes in 0..1000 {
            recorder.record(Operation::SetLimit { bytes });
        }
        drop(recorder);
        let written = written.lock().unwrap();
        let limits = Reader::new(written.as_slice()).unwrap().map(|record| match record.unwrap() {
            Record::Operation { operation: Operation::SetLimit { bytes }, .. } => bytes,
            other => panic!("{other:?}"),
        });
        assert_eq!(limits.collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    }
}
