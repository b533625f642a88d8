//! Reads a guest's console as it comes: markers to wait for, and the last lines for who asks why.

use crate::marker;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines kept for a failure's report.
const KEPT_LINES: usize = 60;

/// How lines end that wait for somebody to type: at a login, and in root's shell.
const PROMPTS: [&str; 2] = ["login: ", "# "];

/// What the guest said.
#[derive(Debug)]
pub(super) enum Said {
    /// A marker's name and value.
    Marker(String, Value),
    /// A line that is not ended and looks as if it waited for an answer.
    Prompt(String),
}

/// A console that is being read.
#[derive(Debug)]
pub(super) struct Console {
    said: Receiver<Said>,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Console {
    pub(super) fn read(mut from: impl Read + Send + 'static) -> Self {
        let (sender, said) = mpsc::channel();
        let tail = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT_LINES)));
        let kept = Arc::clone(&tail);
        thread::spawn(move || {
            let mut waiting = Vec::new();
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut chunk) {
                waiting.extend_from_slice(&chunk[..length]);
                for one in parts(&mut waiting, &kept) {
                    if sender.send(one).is_err() {
                        return;
                    }
                }
            }
        });
        Self { said, tail }
    }

    /// What it says next; `None` where the console has ended.
    pub(super) fn next(&self, patience: Duration) -> Result<Option<Said>, RecvTimeoutError> {
        match self.said.recv_timeout(patience) {
            Ok(said) => Ok(Some(said)),
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

/// Takes whole lines out of what came, keeps them, and returns what in them and in the rest is meant for the host half.
fn parts(waiting: &mut Vec<u8>, kept: &Mutex<VecDeque<String>>) -> Vec<Said> {
    let mut all = Vec::new();
    while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = waiting.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some((name, value)) = marker::parse(&line) {
            all.push(Said::Marker(name.to_owned(), value));
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    let rest = String::from_utf8_lossy(waiting);
    if PROMPTS.iter().any(|end| rest.ends_with(end)) {
        all.push(Said::Prompt(rest.trim_start().to_owned()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let mut waiting = text.as_bytes().to_vec();
        let name = |said| match said {
            Said::Marker(name, value) => format!("{name} {value}"),
            Said::Prompt(line) => line,
        };
        parts(&mut waiting, &Mutex::default()).into_iter().map(name).collect()
    }

    #[test]
    fn markers_are_lines_and_prompts_are_not() {
        let text = marker::line("ran", &Value::from(3));
        assert_eq!(said(&format!("noise{text}debian login: ")), ["ran 3", "debian login: "]);
        assert_eq!(said("debian login: root\r\n"), Vec::<String>::new(), "it was answered");
        assert_eq!(said(text.trim_end()), Vec::<String>::new(), "a marker that is not whole");
    }
}
