//! Asking the CPU for memory before it is needed.
//!
//! A page that was not used for a while is in nobody's cache, and a copy waits for its lines one after the other. Asked for
//! early they come while something else is done: a guest's page while its contents are looked up, stored bytes while the
//! locks that they were found under are let go.
//!
//! Any address is fine: a prefetch reads nothing that a program sees, and does not fault.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};

use crate::key::PAGE_SIZE;

const LINE_BYTES: usize = 64;

/// Asks for the cache lines of the page that begins at `page`, to be written, and does not wait for them.
#[inline]
pub fn prefetch(page: *const u8) {
    for offset in (0..PAGE_SIZE).step_by(LINE_BYTES) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch neither faults nor changes anything; `wrapping_add` makes any address.
        unsafe {
            _mm_prefetch::<_MM_HINT_ET0>(page.wrapping_add(offset).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (page, offset);
    }
}

/// Asks for the cache lines of `bytes`, to be read, and does not wait for them.
#[inline]
pub(crate) fn prefetch_to_read(bytes: &[u8]) {
    for line in bytes.chunks(LINE_BYTES) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}
