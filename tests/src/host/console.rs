//! Reads a guest's console as it comes: markers to wait for, and the last lines for who asks why.

use crate::marker;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines kept for a failure's report.
const KEPT_LINES: usize = 60;

/// A console that is being read.
#[derive(Debug)]
pub(super) struct Console {
    markers: Receiver<(String, Value)>,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Console {
    pub(super) fn read(from: impl Read + Send + 'static) -> Self {
        let (sender, markers) = mpsc::channel();
        let tail = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT_LINES)));
        let kept = Arc::clone(&tail);
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if let Some((name, value)) = marker::parse(&line)
                    && sender.send((name.to_owned(), value)).is_err()
                {
                    return;
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        Self { markers, tail }
    }

    /// The next marker; `None` where the console has ended.
    pub(super) fn next(&self, patience: Duration) -> Result<Option<(String, Value)>, RecvTimeoutError> {
        match self.markers.recv_timeout(patience) {
            Ok(marker) => Ok(Some(marker)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(timeout) => Err(timeout),
        }
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let kept = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|line| !line.is_empty()).map(|line| format!("    | {line}\n")).collect()
    }
}
