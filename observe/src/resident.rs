//! How much memory a process holds.

use std::path::PathBuf;

use super::text_of;

/// Resident memory of a process in bytes (`/proc/PID/statm`, proc(5)); `None` where it is gone or hidden. A page that
/// two processes map counts for both.
#[must_use]
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let text = text_of(&PathBuf::from(format!("/proc/{pid}/statm"))).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_more_once_it_wrote_to_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = resident_bytes(own).unwrap();
        let held = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = resident_bytes(own).unwrap();
        assert!(after > before + (24 << 20), "{before} and {after} with {} more", held.len());
        assert_eq!(resident_bytes(-1), None);
    }
}
