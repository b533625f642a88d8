//! What a long step says while it runs: a spinner on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// A step under way. Dropped without [`Step::done`], it is reported as not finished.
pub(crate) struct Step {
    what: String,
    started: Instant,
    spinner: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_message(what.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            eprintln!("{what} ...");
        }
        Self { what, started: Instant::now(), spinner, finished: false }
    }

    pub(crate) fn done(mut self) {
        self.finished = true;
        self.say("done");
    }

    fn say(&self, end: &str) {
        let line = format!("{}: {end} in {:.1} s", self.what, self.started.elapsed().as_secs_f64());
        match &self.spinner {
            Some(spinner) => spinner.finish_with_message(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.say("failed");
        }
    }
}

/// Something the user should know that is not an error.
pub(crate) fn note(text: &str) {
    eprintln!("note: {text}");
}
