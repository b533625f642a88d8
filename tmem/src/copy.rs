//! Reading a page that is in no cache.
//!
//! A guest's page that is put has not been used for a while. The C library copies a page with `rep movsb` where the CPU says
//! that this is fast; there it still waits longer for such a page than registers do that are filled by the cache line.

use std::ptr;

use crate::key::{PAGE_SIZE, Page};

/// Copies the page that begins at `from`.
///
/// # Safety
/// `from` is valid for reads of [`PAGE_SIZE`] bytes. Others may write those meanwhile, as a guest may: then the copy is of
/// some of the old bytes and some of the new.
#[inline]
pub unsafe fn copy_page(from: *const u8, into: &mut Page) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has the instructions; the rest is the caller's promise.
        unsafe { by_cache_lines(from, into) };
        return;
    }
    // SAFETY: the caller's promise; what is borrowed as mutable is not what `from` points at.
    unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), PAGE_SIZE) };
}

/// Four lines are read, then four are written.
///
/// # Safety
/// The CPU has AVX-512. As for [`copy_page`].
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn by_cache_lines(from: *const u8, into: &mut Page) {
    // SAFETY: reads a page at `from` and writes the page `into`. The compiler sees neither, so it is nothing to it that
    // the guest writes what is read. SSE has no part of zmm16 and up, so nothing waits for their upper halves (`vzeroupper`).
    unsafe {
        std::arch::asm!(
            "2:",
            "vmovdqu64 zmm16, [{from}]",
            "vmovdqu64 zmm17, [{from} + 64]",
            "vmovdqu64 zmm18, [{from} + 128]",
            "vmovdqu64 zmm19, [{from} + 192]",
            "vmovdqu64 [{into}], zmm16",
            "vmovdqu64 [{into} + 64], zmm17",
            "vmovdqu64 [{into} + 128], zmm18",
            "vmovdqu64 [{into} + 192], zmm19",
            "add {from}, 256",
            "add {into}, 256",
            "sub {left}, 256",
            "jnz 2b",
            from = inout(reg) from => _,
            into = inout(reg) into.as_mut_ptr() => _,
            left = inout(reg) PAGE_SIZE => _,
            out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_page_and_nothing_beside_it() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * PAGE_SIZE).collect();
        for from in [0, 1, 63, PAGE_SIZE] {
            let mut pages = [[0; PAGE_SIZE]; 3];
            // SAFETY: a page from there on is inside the vector.
            unsafe { copy_page(bytes[from..].as_ptr(), &mut pages[1]) };
            assert_eq!(pages, [[0; PAGE_SIZE], bytes[from..from + PAGE_SIZE].try_into().unwrap(), [0; PAGE_SIZE]]);
        }
    }
}
