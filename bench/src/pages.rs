//! Sets of real pages: from files, or made of what this machine has.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tmem::{PAGE_SIZE, Page};

/// Neighbouring pages taken together: what a guest swaps out are neighbours.
const RUN_PAGES: usize = 32;
/// Files and memory areas that are looked at for a set made on the spot.
const MOST_SOURCES: usize = 4096;

/// Pages in one piece of memory, aligned to a page as O_DIRECT wants it.
pub(crate) struct PageSet {
    pub(crate) name: String,
    bytes: Vec<u8>,
    start: usize,
    pages: usize,
}

impl PageSet {
    /// The first pages of `contents`, `most` at most.
    pub(crate) fn new(name: String, contents: &[u8], most: usize) -> Self {
        let pages = (contents.len() / PAGE_SIZE).min(most);
        let mut bytes = vec![0; (pages + 1) * PAGE_SIZE];
        let start = bytes.as_ptr().align_offset(PAGE_SIZE);
        bytes[start..start + pages * PAGE_SIZE].copy_from_slice(&contents[..pages * PAGE_SIZE]);
        Self { name, bytes, start, pages }
    }

    /// An empty set of as many zero pages, to read back into.
    pub(crate) fn sink(&self) -> Self {
        Self::new("sink".into(), &vec![0; self.bytes().len()], self.pages)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.pages * PAGE_SIZE]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.pages * PAGE_SIZE]
    }

    pub(crate) fn pages(&self) -> &[Page] {
        self.bytes().as_chunks().0
    }
}

/// Name of the set that holds all others.
pub(crate) const ALL: &str = "all sets together";

/// Name of the set in which each page is there four times.
pub(crate) const REPEATED: &str = "each page four times";
const REPETITIONS: usize = 4;

/// The sets that the arguments name, or those of this machine; of several also one that holds them all, for in a small
/// one what an allocator leaves empty weighs more than it does in use; and one with duplicates, which page sets hardly have.
pub(crate) fn load(paths: &[PathBuf], most: usize) -> Result<Vec<PageSet>> {
    let mut sets = parts(paths, most)?;
    if sets.len() > 1 {
        let all: Vec<_> = sets.iter().flat_map(|set| set.bytes().iter().copied()).collect();
        sets.push(PageSet::new(ALL.to_owned(), &all, usize::MAX));
    }
    if let Some(first) = sets.first() {
        let some = &first.bytes()[..first.pages / REPETITIONS * PAGE_SIZE];
        sets.push(PageSet::new(REPEATED.to_owned(), &some.repeat(REPETITIONS), usize::MAX));
    }
    Ok(sets)
}

fn parts(paths: &[PathBuf], most: usize) -> Result<Vec<PageSet>> {
    if paths.is_empty() {
        return of_this_machine(most);
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            files.extend(entries.into_iter().filter(|entry| is_page_file(entry)));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no .pages or .pages.zst file in {}", paths[0].display());
    files.iter().map(|path| from_file(path, most)).collect()
}

fn is_page_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".pages") || name.ends_with(".pages.zst")
}

fn from_file(path: &Path, most: usize) -> Result<PageSet> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let contents = if name.ends_with(".zst") { zstd::decode_all(file)? } else { fs::read(path)? };
    ensure!(contents.len() >= PAGE_SIZE, "{} holds less than a page of {PAGE_SIZE} bytes", path.display());
    let stem = name.trim_end_matches(".zst").trim_end_matches(".pages");
    Ok(PageSet::new(stem.to_owned(), &contents, most))
}

/// Pages of programs, and of the memory of processes that may be read.
fn of_this_machine(most: usize) -> Result<Vec<PageSet>> {
    let sets = [("files", file_pages(most)), ("processes", process_pages(most))];
    let sets: Vec<_> = sets.into_iter().filter(|(_, bytes)| bytes.len() >= PAGE_SIZE).collect();
    ensure!(!sets.is_empty(), "no page of this machine can be read: give a file with --pages");
    Ok(sets.into_iter().map(|(name, bytes)| PageSet::new(name.to_owned(), &bytes, most)).collect())
}

fn file_pages(most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let files = ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/share/doc"].into_iter().flat_map(|folder| {
        let mut paths: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        paths.truncate(MOST_SOURCES);
        paths
    });
    for path in files {
        if bytes.len() >= most * PAGE_SIZE {
            break;
        }
        let mut run = Vec::new();
        let limit = (RUN_PAGES * PAGE_SIZE) as u64;
        let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut run));
        if read.is_ok() {
            bytes.extend_from_slice(&run[..run.len() / PAGE_SIZE * PAGE_SIZE]);
        }
    }
    bytes
}

fn process_pages(most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for process in processes {
        let Ok(maps) = fs::read_to_string(process.join("maps")) else { continue };
        let Ok(memory) = File::open(process.join("mem")) else { continue };
        for area in maps.lines().filter_map(anonymous_area).take(MOST_SOURCES) {
            let mut run = [0; RUN_PAGES * PAGE_SIZE];
            for at in (area.0..area.1).step_by(64 * RUN_PAGES * PAGE_SIZE) {
                if bytes.len() >= most * PAGE_SIZE {
                    return bytes;
                }
                let read = memory.read_at(&mut run, at).unwrap_or(0);
                let touched = run[..read].as_chunks::<PAGE_SIZE>().0.iter().filter(|page| **page != [0; PAGE_SIZE]);
                touched.for_each(|page| bytes.extend_from_slice(page));
            }
        }
    }
    bytes
}

/// Start and end of a private writable area without a file.
fn anonymous_area(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let file = words.nth(3).unwrap_or_default();
    let (start, end) = range.split_once('-')?;
    let bounds = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    (rights.starts_with("rw-p") && (file.is_empty() || file == "[heap]")).then_some(bounds)
}
