//! The working set: its pages, the version each should hold, and passes over both.

use std::{io, thread};

use crate::{
    order::Order,
    pattern::{Page, Pattern},
    region::{self, HugePages, Region},
    report::{BadPage, Kind, Tally},
};

/// Memory under load.
pub struct WorkingSet {
    region: Region,
    /// One byte a page. It wraps: a page 256 rewrites old would not be told from the current one.
    versions: Vec<u8>,
    pattern: Pattern,
    order: Order,
    threads: usize,
    rewrite_percent: u8,
}

/// How a working set is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What pages hold.
    pub pattern: Pattern,
    /// In what order each thread visits its part.
    pub order: Order,
    /// How many threads share the set, each a part of its own.
    pub threads: usize,
    /// Percent of all pages that a rewriting pass writes again.
    pub rewrite_percent: u8,
}

impl WorkingSet {
    /// Maps memory for `pages` pages.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn new(pages: usize, huge_pages: Option<HugePages>, load: Load) -> io::Result<Self> {
        let versions = vec![0; pages];
        region::keep_resident(&versions);
        let region = Region::map(pages, huge_pages)?;
        let Load { pattern, order, threads, rewrite_percent } = load;
        Ok(Self { region, versions, pattern, order, threads, rewrite_percent })
    }

    /// Makes one pass over all pages. `number` is different for each pass.
    pub fn pass(&mut self, kind: Kind, number: u32) -> Tally {
        let part_pages = self.versions.len().div_ceil(self.threads).max(1);
        let (pattern, order, percent) = (self.pattern, self.order, self.rewrite_percent);
        let pages = self.region.pages_mut().chunks_mut(part_pages);
        let parts = pages.zip(self.versions.chunks_mut(part_pages));
        thread::scope(|scope| {
            let mut first = 0;
            let mut workers = Vec::with_capacity(self.threads);
            for (pages, versions) in parts {
                let part = Part { first, pages, versions, pattern, percent, number };
                first += part.pages.len() as u64;
                workers.push(scope.spawn(move || part.visit(kind, order)));
            }
            let mut total = Tally::default();
            for worker in workers {
                match worker.join() {
                    Ok(tally) => total.absorb(tally),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            total
        })
    }
}

/// One thread's part of a pass.
struct Part<'a> {
    /// The number of its first page.
    first: u64,
    pages: &'a mut [Page],
    versions: &'a mut [u8],
    pattern: Pattern,
    percent: u8,
    /// The pass's number.
    number: u32,
}

impl Part<'_> {
    fn visit(mut self, kind: Kind, order: Order) -> Tally {
        let mut tally = Tally::default();
        let key = self.pattern.seed ^ u64::from(self.number) ^ self.first.rotate_left(32);
        for position in order.visit(self.pages.len() as u64, key) {
            let number = self.first + position;
            let Ok(at) = usize::try_from(position) else { unreachable!("a position in a slice") };
            match kind {
                Kind::Fill => self.write(at, number, &mut tally),
                Kind::Verify => self.verify(at, number, &mut tally),
                Kind::Rewrite => {
                    self.verify(at, number, &mut tally);
                    if self.pattern.rewritten(number, self.number, self.percent) {
                        self.versions[at] = self.versions[at].wrapping_add(1);
                        self.write(at, number, &mut tally);
                    }
                }
            }
        }
        tally
    }

    fn write(&mut self, at: usize, number: u64, tally: &mut Tally) {
        self.pattern.fill(number, self.versions[at], &mut self.pages[at]);
        tally.written += 1;
    }

    fn verify(&mut self, at: usize, number: u64, tally: &mut Tally) {
        let version = self.versions[at];
        tally.verified += 1;
        if let Err(damage) = self.pattern.check(number, version, &self.pages[at]) {
            tally.add_bad(BadPage { page: number, version, found: damage.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Rest;

    const PATTERN: Pattern = Pattern { seed: 1, entropy: 30, rest: Rest::Records, duplicates: 20 };

    fn set(threads: usize) -> WorkingSet {
        let load = Load { pattern: PATTERN, order: Order::Random, threads, rewrite_percent: 50 };
        WorkingSet::new(101, Some(HugePages::Never), load).unwrap()
    }

    #[test]
    fn every_pass_checks_every_page_and_finds_them_good() {
        let mut set = set(3);
        assert_eq!(set.pass(Kind::Fill, 0).written, 101);
        for number in 1..5 {
            let tally = set.pass(Kind::Rewrite, number);
            assert_eq!((tally.verified, tally.bad_pages), (101, 0));
            assert!((20..80).contains(&tally.written), "{}", tally.written);
        }
    }

    #[test]
    fn a_page_changed_behind_its_back_is_found_and_numbered() {
        let mut set = set(4);
        set.pass(Kind::Fill, 0);
        set.region.pages_mut()[77][1234] ^= 0x80;
        let tally = set.pass(Kind::Verify, 1);
        assert_eq!(tally.bad_pages, 1);
        assert_eq!((tally.bad[0].page, tally.bad[0].found.as_str()), (77, "1 wrong bytes from offset 1234 on"));
    }

    #[test]
    fn a_lost_rewrite_is_found_as_stale() {
        let mut set = set(1);
        set.pass(Kind::Fill, 0);
        set.versions[5] = 1;
        assert_eq!(set.pass(Kind::Verify, 1).bad[0].found, "its own version 0");
    }

    #[test]
    fn more_threads_than_pages_do_no_harm() {
        let mut set = set(500);
        assert_eq!(set.pass(Kind::Fill, 0).written, 101);
    }
}
