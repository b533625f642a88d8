//! What several vCPUs at once may see.

mod area;
mod chaos;
mod equal;
mod exclusive;
mod pressure;
mod register;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tmem::{PAGE_SIZE, Page};

use crate::pages::{Noise, pointers, random, sparse, text};

/// A page that tells what it is: `name` and `version` at its start and, through its check word, in all of it.
pub fn stamped(name: u64, version: u64) -> Page {
    let seed = name << 32 ^ version;
    let mut page = match seed % 5 {
        0 => random(seed),
        1 => pointers(seed),
        2 => sparse(seed % 100),
        _ => text(seed),
    };
    page[..8].copy_from_slice(&name.to_le_bytes());
    page[8..16].copy_from_slice(&version.to_le_bytes());
    let sum = check_word(&page);
    page[PAGE_SIZE - 8..].copy_from_slice(&sum.to_le_bytes());
    page
}

/// The name and version of a page.
///
/// # Panics
/// Where it is not one whole page that [`stamped`] made.
pub fn read_stamp(page: &Page) -> (u64, u64) {
    let words = page.as_chunks::<8>().0;
    assert_eq!(u64::from_le_bytes(words[511]), check_word(page), "a mix of pages");
    (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]))
}

fn check_word(page: &Page) -> u64 {
    let words = page.as_chunks::<8>().0[..511].iter().map(|word| u64::from_le_bytes(*word));
    words.fold(1, |sum, word| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5))
}

/// What the host does all the time, a bit at each call.
pub type Background<'a> = Box<dyn FnMut() + Send + 'a>;

/// Runs so many vCPUs to their ends, and beside them the background. Returns what the vCPUs do.
pub fn vcpus_beside<T: Send>(threads: u64, vcpu: impl Fn(u64) -> T + Sync, background: Vec<Background<'_>>) -> Vec<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (vcpu, over) = (&vcpu, &over);
        let vcpus: Vec<_> = (0..threads).map(|number| scope.spawn(move || vcpu(number))).collect();
        for mut work in background {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        let ends: Vec<_> = vcpus.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Before anything fails: the host's threads wait for it.
        over.store(true, Ordering::Relaxed);
        ends.into_iter().map(Result::unwrap).collect()
    })
}

/// A thread's own choices.
pub struct Dice(Noise);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Noise(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next().unwrap_or_default() % end
    }
}
