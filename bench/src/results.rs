//! Results: for each page set and contender the samples of each figure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// What was measured, and every sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Where.
    pub(crate) machine: Machine,
    /// By page set, contender and figure.
    pub(crate) sets: BTreeMap<String, BTreeMap<String, Figures>>,
    /// Pages of each set.
    pub(crate) pages: BTreeMap<String, usize>,
}

/// The samples of each figure, one a round.
pub(crate) type Figures = BTreeMap<Figure, Vec<f64>>;

/// A figure of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Nanoseconds to store a page.
    PutNs,
    /// The same, of all but one in a hundred puts at most.
    PutP99Ns,
    /// Nanoseconds to load a page.
    GetNs,
    /// The same, of all but one in a hundred gets at most.
    GetP99Ns,
    /// CPU time of the process, background threads included, to store a page, in nanoseconds.
    PutCpuNs,
    /// Bytes of memory for each page stored, metadata included.
    BytesPerPage,
    /// Bytes of index for each page stored.
    MetadataBytesPerPage,
    /// Milliseconds of a single operation.
    Ms,
    /// A ratio.
    Times,
    /// The same in percent.
    Percent,
}

impl Results {
    /// Reads results that [`write`](Self::write) wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result file of this bench", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Adds a round's sample.
    pub(crate) fn add(&mut self, set: &str, contender: &str, figure: Figure, sample: f64) {
        let figures = self.sets.entry(set.to_owned()).or_default().entry(contender.to_owned()).or_default();
        figures.entry(figure).or_default().push(sample);
    }
}

/// The middle sample; of an even number the mean of the two in the middle.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }
}
