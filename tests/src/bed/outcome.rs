//! How a case ended.

use serde::{Deserialize, Serialize};

const MARK: &str = "@outcome ";

/// How a case ended on a kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The case.
    pub case: String,
    /// The kernel.
    pub kernel: String,
    /// Wall time on its bed.
    pub seconds: f64,
    /// Figures for people.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why it failed; nothing where it passed.
    pub failure: Option<String>,
}

impl Outcome {
    /// A line for the bed to find.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{MARK}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// The outcome in a line, if it holds one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line.split_once(MARK)?.1.trim_end()).ok()
    }

    /// A case that never reported.
    #[must_use]
    pub fn lost(case: &str, kernel: &str, why: String) -> Self {
        Self { case: case.to_owned(), kernel: kernel.to_owned(), seconds: 0.0, notes: Vec::new(), failure: Some(why) }
    }
}
