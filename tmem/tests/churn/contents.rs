//! Page contents that are cheap to make, of every size that a codec makes of pages.

use tmem::{PAGE_SIZE, Page};

use crate::pages::{random, same_filled, text};

/// Sizes that pages shrink to.
const DEGREES: usize = 128;

/// Pages made from a seed: of [`DEGREES`] kinds, no two alike.
pub struct Contents(Vec<Page>);

impl Contents {
    pub fn new() -> Self {
        let degree = |n: usize| {
            let mut page = text(n as u64);
            let noise = PAGE_SIZE / DEGREES * n;
            page[..noise].copy_from_slice(&random(n as u64)[..noise]);
            page
        };
        Self((0..DEGREES).map(degree).collect())
    }

    /// The page of a seed.
    pub fn page(&self, seed: u64) -> Page {
        match seed % 16 {
            0 => same_filled(seed >> 4),
            1 => same_filled(seed | 1 << 63),
            _ => {
                let mut page = self.0[(seed >> 8) as usize % DEGREES];
                page[..8].copy_from_slice(&seed.to_le_bytes());
                page[PAGE_SIZE / 2..][..8].copy_from_slice(&seed.rotate_left(32).to_le_bytes());
                page
            }
        }
    }
}
