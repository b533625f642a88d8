//! The working set's memory: private, anonymous, page-aligned.

use std::{io, ptr, slice};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};

use crate::pattern::{PAGE_BYTES, Page};

/// What the kernel is told about huge pages in the working set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum HugePages {
    /// Ask for them
    Always,
    /// Refuse them
    Never,
}

/// A mapping of whole pages, unmapped when dropped.
pub struct Region {
    start: *mut Page,
    pages: usize,
}

impl Region {
    /// Maps `pages` pages; none is touched yet.
    ///
    /// # Errors
    /// Where the kernel refuses the mapping or the advice.
    pub fn map(pages: usize, huge_pages: Option<HugePages>) -> io::Result<Self> {
        let bytes = pages.checked_mul(PAGE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at a place the kernel chooses; it overlaps nothing.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        let region = Self { start: start.cast(), pages };
        let advice = match huge_pages {
            None => return Ok(region),
            Some(HugePages::Always) => Advice::LinuxHugepage,
            Some(HugePages::Never) => Advice::LinuxNoHugepage,
        };
        // SAFETY: the range is the mapping made above, and the advice changes no content.
        unsafe { madvise(start, bytes, advice) }?;
        Ok(region)
    }

    /// The pages.
    pub fn pages_mut(&mut self) -> &mut [Page] {
        // SAFETY: the mapping is `pages` pages long, zeroed, valid for any bytes, and lives as long as `self`, which is
        // borrowed for as long as the slice is.
        unsafe { slice::from_raw_parts_mut(self.start, self.pages) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and no slice of it outlives it.
        // It fails only for a range that is no mapping.
        let _ = unsafe { munmap(self.start.cast(), self.pages * PAGE_BYTES) };
    }
}

/// Keeps bookkeeping out of swap, where the limits allow it: the load is what should be swapped, not its records.
pub fn keep_resident(bytes: &[u8]) {
    // SAFETY: locking changes no content; the range is that of a live slice.
    // Refused by a low RLIMIT_MEMLOCK, the run is still right, only a little slower.
    let _ = unsafe { mlock(bytes.as_ptr().cast_mut().cast(), bytes.len()) };
}
