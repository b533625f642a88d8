//! What bad calls leave in the log.
//!
//! A program of its own: `tracing` remembers per program which log lines anybody wants, so that a test without a log
//! beside it could switch this one's off.

use std::io;
use std::sync::{Arc, Mutex};
use tests::payload::{FIRST_FRAME, Machine, put};
use tracing_subscriber::fmt::MakeWriter;

#[test]
fn ten_thousand_bad_calls_are_at_most_ten_log_lines_with_their_count() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut machine = Machine::new();
        machine.greet();
        machine.run(&[put(77, 0, FIRST_FRAME); 10_000]);
    });
    let log = log.text();
    let lines: Vec<_> = log.lines().collect();
    assert!((1..=10).contains(&lines.len()), "{lines:#?}");
    assert!(lines[lines.len() - 1].contains("10000"), "the last line has the count: {lines:#?}");
}

/// Log lines, kept to be looked at.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
