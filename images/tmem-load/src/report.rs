//! The machine-readable result: one line of JSON.

use serde::{Deserialize, Serialize};

/// How many bad pages are described; all are counted.
pub const DESCRIBED: usize = 8;

/// The result of a run, whose passes are of kind `K`.
#[derive(Debug, Serialize)]
pub struct Report<K> {
    /// Pages in the working set, or in the files.
    pub pages: u64,
    /// Bad pages found by all passes and by the child.
    pub bad_pages: u64,
    /// The whole run, the hold included.
    pub seconds: f64,
    /// One entry a pass, the filling first.
    pub passes: Vec<Pass<K>>,
    /// What the child of `--fork` found in its copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<Tally>,
}

/// What a pass over memory is for.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Writes every page for the first time.
    Fill,
    /// Checks every page and rewrites some.
    Rewrite,
    /// Checks every page.
    Verify,
}

/// One pass over the working set.
#[derive(Debug, Serialize)]
pub struct Pass<K> {
    /// What it did.
    pub kind: K,
    /// How long it took.
    pub seconds: f64,
    /// What it found.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Counts of one pass, or of one thread's part of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Pages written.
    pub written: u64,
    /// Pages checked.
    pub verified: u64,
    /// Of those, pages that did not hold what was written.
    pub bad_pages: u64,
    /// Sum of the digests of the pages checked, whatever they held: the same for the same bytes read in any order, and
    /// by any path. Files only.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub digest: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub bad: Vec<BadPage>,
}

/// A page that did not hold what was written.
#[derive(Debug, Serialize, Deserialize)]
pub struct BadPage {
    /// Its number in the working set.
    pub page: u64,
    /// The version it should have held.
    pub version: u8,
    /// What it held.
    pub found: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(digest: &u64) -> bool {
    *digest == 0
}

impl Tally {
    /// Counts a bad page, and describes it where few have been.
    pub fn add_bad(&mut self, bad: BadPage) {
        self.bad_pages += 1;
        if self.bad.len() < DESCRIBED {
            self.bad.push(bad);
        }
    }

    /// Adds the counts of another part.
    pub fn absorb(&mut self, other: Self) {
        self.written += other.written;
        self.verified += other.verified;
        self.bad_pages += other.bad_pages;
        self.digest = self.digest.wrapping_add(other.digest);
        self.bad.extend(other.bad);
        self.bad.truncate(DESCRIBED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_pages_are_counted_and_the_first_described() {
        let mut total = Tally::default();
        for part in 0..3 {
            let mut tally = Tally::default();
            for page in 0..5 {
                tally.add_bad(BadPage { page: part * 5 + page, version: 0, found: "zeros".into() });
            }
            total.absorb(tally);
        }
        assert_eq!(total.bad_pages, 15);
        assert_eq!(total.bad.iter().map(|bad| bad.page).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
