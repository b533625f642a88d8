//! Dropping ephemeral pages: of which pool first, and which of its pages.

use std::sync::atomic::Ordering;

use crate::eviction::{Giver, Holding, Verdict, giver};
use crate::index::{Leaf, Object, POOLS_MAX, Pool};
use crate::key::PoolKind;
use crate::statistics::Counter;

use super::Client;

/// Pages that a pool gives at a time at least: to ask who is next costs a look at each pool.
const AT_A_TIME: usize = 32;

/// How much an eviction may do.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) pages: usize,
    pub(super) leaves: usize,
}

impl Client {
    /// Evicts ephemeral pages within a bound, of those pools first that hold most above what they are entitled to. Returns
    /// how many.
    pub(super) fn evict(&self, bound: Bound) -> usize {
        let mut evicted = 0;
        let mut gave_nothing = [false; POOLS_MAX];
        while evicted < bound.pages {
            let Some(Giver { at, pages }) = self.giver(&gave_nothing) else { break };
            let least = AT_A_TIME.max(bound.pages / AT_A_TIME);
            let pages = usize::try_from(pages).unwrap_or(usize::MAX).max(least).min(bound.pages - evicted);
            let given = self.evict_of(at, Bound { pages, ..bound });
            evicted += given;
            if given == 0 {
                // Its leaves are all being looked at, or its pages are gone since: another one has to give.
                gave_nothing[at] = true;
            } else if given < pages {
                // It has more, for which more leaves would have to be looked at than this time may be.
                break;
            }
        }
        self.counters.add(Counter::PagesEvicted, evicted as u64);
        self.go_on_with_turn(evicted as u64);
        evicted
    }

    /// The ephemeral pool that gives first, but for some. What it is at is its place.
    fn giver(&self, but_for: &[bool; POOLS_MAX]) -> Option<Giver> {
        giver(self.pools.by_place().zip(but_for).map(|(pool, left_out)| match pool.filter(|_| !left_out) {
            Some(pool) if pool.kind() == PoolKind::Ephemeral => Holding { pages: pool.pages(), hits: pool.hits() },
            _ => Holding::default(),
        }))
    }

    /// Counts evicted pages. When they are as many as there are, hits of the turn before are long ago.
    fn go_on_with_turn(&self, evicted: u64) {
        let in_turn = self.turn.fetch_add(evicted, Ordering::Relaxed) + evicted;
        if evicted == 0 || in_turn < self.counters.sum(Counter::EphemeralPages) {
            return;
        }
        self.turn.store(0, Ordering::Relaxed);
        self.pools.by_place().flatten().for_each(|pool| pool.begin_turn());
    }

    /// Evicts pages of the pool at a place within a bound, as the policy says. Returns how many.
    fn evict_of(&self, place: usize, bound: Bound) -> usize {
        let hand = &self.ephemeral_hands[place];
        let mut evicted = 0;
        for visit in 0..2 * bound.leaves {
            // Pages that are all spared do not turn a put away: the guest would lose the newest for the oldest.
            let spares = visit < bound.leaves;
            if evicted >= bound.pages || (visit == bound.leaves && evicted > 0) {
                break;
            }
            let Some(leaf) = hand.next() else { break };
            let Some(object) = leaf.object() else { continue };
            let Some(pool) = self.pool(object.pool()) else { continue };
            let most = bound.pages - evicted;
            match self.evict_from(&pool, &object, &leaf, most, spares) {
                Passed::Gone => {}
                Passed::Emptied(pages) => {
                    evicted += pages;
                    if !self.prune(&pool, &object, leaf.number()) {
                        hand.requeue(&leaf);
                    }
                }
                Passed::Half(pages) => {
                    evicted += pages;
                    hand.resume(&leaf);
                }
                Passed::Whole(pages) => {
                    evicted += pages;
                    hand.requeue(&leaf);
                }
            }
        }
        evicted
    }

    fn evict_from(&self, pool: &Pool, object: &Object, leaf: &Leaf, most: usize, spares: bool) -> Passed {
        let _tree = object.tree().read();
        let mut state = leaf.lock();
        if object.is_cut_off() || !state.attached {
            return Passed::Gone;
        }
        let mut evicted = 0;
        let mut next = state.next(0);
        while let Some((place, entry)) = next {
            match self.policy.pass(entry.age()) {
                Verdict::Spare(age) if spares => state.set_age(place, age),
                Verdict::Evict | Verdict::Spare(_) if evicted == most => return Passed::Half(evicted),
                Verdict::Evict | Verdict::Spare(_) => {
                    evicted += usize::from(self.remove_page(pool, object, &mut state, place));
                }
            }
            next = state.next(place + 1);
        }
        if state.is_empty() { Passed::Emptied(evicted) } else { Passed::Whole(evicted) }
    }
}

/// How far the hand got in a leaf, and the pages it evicted there.
enum Passed {
    /// The leaf was cut off.
    Gone,
    /// No page is left.
    Emptied(usize),
    /// The bound was met.
    Half(usize),
    /// It passed every page.
    Whole(usize),
}
