//! Files under load: a set of files whose pages hold the pattern, read or written in one of several ways.
//!
//! What a page holds follows from the arguments alone, the count of earlier rewriting passes among them, so that each
//! step can be a run of its own: after a remount, or past the page cache.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use serde::Serialize;

use crate::{
    order::{self, Order},
    pattern::{PAGE_BYTES, Page, Pattern},
    region::Region,
    report::{BadPage, Tally},
};

/// Pages of one read or write where they are visited in order.
const RUN_PAGES: usize = 32;

/// What is done to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Makes them
    Write,
    /// Reads and checks them
    Read,
    /// Reads and checks them, and writes some pages anew
    Rewrite,
    /// Writes some pages anew and reads none
    Overwrite,
}

/// Which pages are visited, and in what order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Visits {
    /// Every page once, in order, file by file
    Sequential,
    /// Every page once, in a random order
    Random,
    /// As many visits as there are pages, some pages far more often than others (Zipf's law, exponent 1)
    Zipf,
}

/// The files, open.
pub struct FileSet {
    files: Vec<File>,
    pages_per_file: usize,
    buffer: Region,
    pattern: Pattern,
    /// Rewriting passes that they have been through.
    rewritten: u32,
    /// Percent of pages that each of those wrote anew.
    percent: u8,
}

/// How the files are opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// How many files.
    pub files: u16,
    /// Pages of all together; what cannot be shared out evenly is left out.
    pub pages: usize,
    /// Make them, or empty those that are there.
    pub create: bool,
    /// Leave the page cache out.
    pub direct: bool,
}

impl FileSet {
    /// Opens the files `0`, `1` … of `dir`.
    ///
    /// # Errors
    /// Where one cannot be opened, or there are more files than pages.
    pub fn open(dir: &Path, opening: Opening, pattern: Pattern, rewritten: u32, percent: u8) -> io::Result<Self> {
        let pages_per_file = opening.pages / usize::from(opening.files);
        if pages_per_file == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are more files than pages"));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(opening.create).truncate(opening.create);
        options.custom_flags(if opening.direct { libc::O_DIRECT } else { 0 });
        let files = (0..opening.files).map(|number| options.open(dir.join(number.to_string())));
        let files = files.collect::<io::Result<_>>()?;
        // Page-aligned, as direct reads want it.
        let buffer = Region::map(RUN_PAGES, None)?;
        Ok(Self { files, pages_per_file, buffer, pattern, rewritten, percent })
    }

    /// Pages of all files.
    pub fn pages(&self) -> u64 {
        (self.files.len() * self.pages_per_file) as u64
    }

    /// Makes one pass over the files. What was written is on the disk when it returns. `number` is different for each
    /// pass of a run.
    ///
    /// # Errors
    /// Where a file cannot be read or written, or is too short.
    pub fn pass(&mut self, step: Step, visits: Visits, number: u32) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let next = self.rewritten + 1;
        for (first, count) in self.runs(visits, number) {
            let file = &self.files[first / self.pages_per_file];
            let mut offset = (first % self.pages_per_file * PAGE_BYTES) as u64;
            let pages = &mut self.buffer.pages_mut()[..count];
            if matches!(step, Step::Read | Step::Rewrite) {
                file.read_exact_at(pages.as_flattened_mut(), offset)?;
            }
            for (number, page) in (first as u64..).zip(&mut *pages) {
                let version = version(self.pattern, number, self.rewritten, self.percent);
                if matches!(step, Step::Read | Step::Rewrite) {
                    verify(self.pattern, number, version, page, &mut tally);
                }
                let anew = self.pattern.rewritten(number, next, self.percent);
                let write = match step {
                    Step::Write => Some(version),
                    Step::Rewrite | Step::Overwrite if anew => Some(version.wrapping_add(1)),
                    _ => None,
                };
                if let Some(version) = write {
                    self.pattern.fill(number, version, page);
                    file.write_all_at(page, offset)?;
                    tally.written += 1;
                }
                offset += PAGE_BYTES as u64;
            }
        }
        if step != Step::Read {
            self.files.iter().try_for_each(File::sync_all)?;
        }
        if matches!(step, Step::Rewrite | Step::Overwrite) {
            self.rewritten = next;
        }
        Ok(tally)
    }

    /// The runs of a pass: first page, and count of pages, all of one file.
    fn runs(&self, visits: Visits, number: u32) -> Box<dyn Iterator<Item = (usize, usize)>> {
        let (files, per_file, key) = (self.files.len(), self.pages_per_file, self.pattern.seed ^ u64::from(number));
        let alone = |page| match usize::try_from(page) {
            Ok(page) => (page, 1),
            Err(_) => unreachable!("a page of a set whose size is a usize"),
        };
        match visits {
            Visits::Sequential => {
                let runs =
                    (0..files).flat_map(move |file| (0..per_file).step_by(RUN_PAGES).map(move |page| (file, page)));
                Box::new(runs.map(move |(file, page)| (file * per_file + page, RUN_PAGES.min(per_file - page))))
            }
            Visits::Random => Box::new(Order::Random.visit(self.pages(), key).map(alone)),
            Visits::Zipf => Box::new(order::zipf(self.pages(), self.pattern.seed, key).map(alone)),
        }
    }
}

/// How often a page was written anew by the first `rewritten` passes. It wraps, as the versions in memory do.
fn version(pattern: Pattern, number: u64, rewritten: u32, percent: u8) -> u8 {
    let passes = (1..=rewritten).filter(|pass| pattern.rewritten(number, *pass, percent));
    passes.fold(0, |version, _| version.wrapping_add(1))
}

fn verify(pattern: Pattern, number: u64, version: u8, page: &Page, tally: &mut Tally) {
    tally.verified += 1;
    tally.digest = tally.digest.wrapping_add(Pattern::digest(number, page));
    if let Err(damage) = pattern.check(number, version, page) {
        tally.add_bad(BadPage { page: number, version, found: damage.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Rest;

    const PATTERN: Pattern = Pattern { seed: 1, entropy: 30, rest: Rest::Records, duplicates: 20 };
    const OPENING: Opening = Opening { files: 3, pages: 220, create: false, direct: false };

    fn set(dir: &Path, create: bool, rewritten: u32) -> FileSet {
        FileSet::open(dir, Opening { create, ..OPENING }, PATTERN, rewritten, 50).unwrap()
    }

    fn written() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(set(dir.path(), true, 0).pass(Step::Write, Visits::Sequential, 0).unwrap().written, 219);
        dir
    }

    #[test]
    fn what_was_written_is_read_in_every_order_and_gives_one_digest() {
        let dir = written();
        let mut set = set(dir.path(), false, 0);
        let sequential = set.pass(Step::Read, Visits::Sequential, 1).unwrap();
        let random = set.pass(Step::Read, Visits::Random, 2).unwrap();
        assert_eq!((sequential.verified, sequential.bad_pages), (219, 0));
        assert_eq!((random.verified, random.bad_pages, random.digest), (219, 0, sequential.digest));
        let zipf = set.pass(Step::Read, Visits::Zipf, 3).unwrap();
        assert_eq!((zipf.verified, zipf.bad_pages), (219, 0));
    }

    #[test]
    fn a_later_run_knows_what_earlier_ones_have_rewritten() {
        let dir = written();
        let rewritten = set(dir.path(), false, 0).pass(Step::Rewrite, Visits::Sequential, 1).unwrap();
        assert_eq!((rewritten.verified, rewritten.bad_pages), (219, 0));
        assert!((60..160).contains(&rewritten.written), "{}", rewritten.written);
        let overwritten = set(dir.path(), false, 1).pass(Step::Overwrite, Visits::Random, 1).unwrap();
        assert_eq!(overwritten.verified, 0);
        assert_eq!(set(dir.path(), false, 2).pass(Step::Read, Visits::Sequential, 1).unwrap().bad_pages, 0);
    }

    #[test]
    fn a_lost_rewrite_is_found_as_stale() {
        let dir = written();
        let tally = set(dir.path(), false, 1).pass(Step::Read, Visits::Sequential, 1).unwrap();
        let lost = (0..219).filter(|number| PATTERN.rewritten(*number, 1, 50)).count();
        assert_eq!(tally.bad_pages, lost as u64);
        assert!(tally.bad.iter().all(|bad| bad.found == "its own version 0"), "{:?}", tally.bad);
    }

    #[test]
    fn a_byte_changed_on_the_disk_changes_the_digest_and_is_found() {
        let dir = written();
        let before = set(dir.path(), false, 0).pass(Step::Read, Visits::Sequential, 1).unwrap();
        let file = OpenOptions::new().write(true).open(dir.path().join("1")).unwrap();
        file.write_all_at(&[0xff; 3], 5 * PAGE_BYTES as u64 + 100).unwrap();
        let after = set(dir.path(), false, 0).pass(Step::Read, Visits::Sequential, 1).unwrap();
        assert_eq!((after.bad_pages, after.bad[0].page), (1, 73 + 5));
        assert_ne!(before.digest, after.digest);
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let dir = written();
        OpenOptions::new().write(true).open(dir.path().join("2")).unwrap().set_len(4096).unwrap();
        assert!(set(dir.path(), false, 0).pass(Step::Read, Visits::Sequential, 1).is_err());
        assert!(FileSet::open(dir.path(), Opening { files: 221, ..OPENING }, PATTERN, 0, 50).is_err());
    }
}
