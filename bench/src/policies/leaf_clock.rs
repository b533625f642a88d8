//! The store's hand: it goes over leaves of 512 neighbouring pages, in the order in which the leaves were made, and over
//! all pages of one before it goes on; a policy changes two bits.

use std::collections::{BTreeSet, VecDeque};

use super::{Cache, Page};

/// Pages that an eviction frees at once.
const BATCH: usize = 32;

/// The age after a hit, and what the hand makes of an age: another, or the end.
pub(super) type Ages = (fn(u8) -> u8, fn(u8) -> Option<u8>);

/// A page goes when the hand comes by.
pub(super) const FIFO: Ages = (|age| age, |_| None);
/// A page lives one pass longer for each of its last three uses.
pub(super) const SECOND_CHANCE: Ages = (|age| 3.min(age + 1), |age| age.checked_sub(1));
/// A page that was used goes at the next pass, another at the second.
pub(super) const USED_FIRST: Ages = (|_| 1, |age| (age == 0).then_some(1));

pub(super) struct LeafClock {
    capacity: usize,
    leaf_of: Vec<usize>,
    policy: Ages,
    ages: Vec<u8>,
    leaves: Vec<BTreeSet<Page>>,
    queue: VecDeque<usize>,
    here: usize,
}

impl LeafClock {
    pub(super) fn new(capacity: usize, leaf_of: &[usize], policy: Ages) -> Self {
        let leaves = leaf_of.iter().max().map_or(0, |last| last + 1);
        Self {
            capacity,
            leaf_of: leaf_of.to_vec(),
            policy,
            ages: vec![0; leaf_of.len()],
            leaves: vec![BTreeSet::new(); leaves],
            queue: VecDeque::new(),
            here: 0,
        }
    }

    fn evict(&mut self) {
        let mut evicted = 0;
        while evicted < BATCH {
            let Some(leaf) = self.queue.pop_front() else { return };
            let mut whole = true;
            for page in self.leaves[leaf].clone() {
                if let Some(age) = (self.policy.1)(self.ages[page]) {
                    self.ages[page] = age;
                } else if evicted < BATCH {
                    self.leaves[leaf].remove(&page);
                    self.here -= 1;
                    evicted += 1;
                } else {
                    whole = false;
                    break;
                }
            }
            match (self.leaves[leaf].is_empty(), whole) {
                (true, _) => {}
                (false, true) => self.queue.push_back(leaf),
                (false, false) => self.queue.push_front(leaf),
            }
        }
    }
}

impl Cache for LeafClock {
    fn get(&mut self, page: Page) -> bool {
        let here = self.leaves[self.leaf_of[page]].contains(&page);
        if here {
            self.ages[page] = (self.policy.0)(self.ages[page]);
        }
        here
    }

    fn put(&mut self, page: Page) {
        let leaf = self.leaf_of[page];
        // A put makes an entry of its own: what it replaces is forgotten with its age.
        self.ages[page] = 0;
        if self.leaves[leaf].contains(&page) {
            return;
        }
        if self.here >= self.capacity {
            self.evict();
        }
        if self.leaves[leaf].is_empty() {
            self.queue.push_back(leaf);
        }
        self.here += usize::from(self.leaves[leaf].insert(page));
    }

    fn remove(&mut self, page: Page, _hit: bool) {
        let leaf = self.leaf_of[page];
        if self.leaves[leaf].remove(&page) {
            self.here -= 1;
            if self.leaves[leaf].is_empty() {
                self.queue.retain(|queued| *queued != leaf);
            }
        }
    }
}
