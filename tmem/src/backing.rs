//! Memory that becomes resident when it is touched, and can be given back.

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// One contiguous range of zeroed memory that becomes resident when it is touched.
///
/// # Safety
/// The range at [`base`](Self::base) is readable and writable for [`len`](Self::len) bytes, aligned to a page, and
/// used by nobody else, for as long as the value lives.
pub(crate) unsafe trait Backing: Send + Sync {
    /// First byte.
    fn base(&self) -> NonNull<u8>;

    /// Bytes.
    fn len(&self) -> usize;

    /// Makes the pages of a range resident before they are touched, in one call; what they hold stays.
    ///
    /// # Errors
    /// What the system says: no memory, or Linux before 5.14. Any part of the range may be resident then.
    fn populate(&self, offset: usize, len: usize) -> io::Result<()>;

    /// Gives the pages of a range back; they read as zero when touched again.
    ///
    /// # Errors
    /// What the system says; then the range is as it was.
    ///
    /// # Safety
    /// The range lies inside, is a multiple of pages, and holds nothing that anybody still reads.
    unsafe fn release(&self, offset: usize, len: usize) -> io::Result<()>;
}

/// Anonymous memory of the process.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and handing out its address needs no thread in particular.
unsafe impl Send for Mapping {}
// SAFETY: as above; who may touch which byte is the arena's business.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `len` bytes, none of which is resident yet.
    ///
    /// # Errors
    /// What the system says: no address space (`ulimit -v`), or memory overcommitment is off.
    pub(crate) fn reserve(len: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        let base = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { base, len };
        // A huge page would make 2 MiB resident at the first touch, and the account would be wrong by that. Guests'
        // secrets do not belong into a core dump. Both are advice: a kernel that was built without them says EINVAL.
        for advice in [Advice::LinuxNoHugepage, Advice::LinuxDontDump] {
            // SAFETY: neither advice changes the contents of the range, which is ours.
            let _ = unsafe { madvise(mapping.base.as_ptr().cast::<c_void>(), len, advice) };
        }
        Ok(mapping)
    }
}

// SAFETY: `reserve` mapped the range, and only `drop` unmaps it.
unsafe impl Backing for Mapping {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.len
    }

    fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "a range of the mapping");
        // SAFETY: the range lies inside the mapping, and the advice changes no contents.
        unsafe { madvise(self.base.as_ptr().add(offset).cast::<c_void>(), len, Advice::LinuxPopulateWrite) }?;
        Ok(())
    }

    unsafe fn release(&self, offset: usize, len: usize) -> io::Result<()> {
        // SAFETY: the caller keeps the range inside the mapping, and nobody reads what is in it.
        unsafe { madvise(self.base.as_ptr().add(offset).cast::<c_void>(), len, Advice::LinuxDontNeed) }?;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `reserve`, and the arena that handed out its slots is gone.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

/// Heap memory, where tools that know no `mmap` watch the arena.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Heap {
    base: NonNull<u8>,
    layout: std::alloc::Layout,
}

#[cfg(test)]
mod heap {
    use super::{Backing, Heap, NonNull, io};
    use crate::key::PAGE_SIZE;

    // SAFETY: as for `Mapping`.
    unsafe impl Send for Heap {}
    // SAFETY: as for `Mapping`.
    unsafe impl Sync for Heap {}

    impl Heap {
        pub(crate) fn new(len: usize) -> Self {
            let layout = std::alloc::Layout::from_size_align(len, PAGE_SIZE).unwrap();
            // SAFETY: the tests ask for more than nothing.
            let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
            Self { base, layout }
        }
    }

    // SAFETY: `new` allocated the range, and only `drop` frees it.
    unsafe impl Backing for Heap {
        fn base(&self) -> NonNull<u8> {
            self.base
        }

        fn len(&self) -> usize {
            self.layout.size()
        }

        fn populate(&self, _: usize, _: usize) -> io::Result<()> {
            Ok(())
        }

        unsafe fn release(&self, offset: usize, len: usize) -> io::Result<()> {
            // SAFETY: the caller keeps the range inside, and nobody reads what is in it.
            unsafe { self.base.as_ptr().add(offset).write_bytes(0, len) };
            Ok(())
        }
    }

    impl Drop for Heap {
        fn drop(&mut self) {
            // SAFETY: allocated by `new` with this layout.
            unsafe { std::alloc::dealloc(self.base.as_ptr(), self.layout) };
        }
    }
}
