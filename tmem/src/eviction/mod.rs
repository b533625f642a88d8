//! Which ephemeral pages go first.
//!
//! A [`Policy`] reads and writes the two age bits of an entry and nothing else, so that hits cost no lock of their own
//! and pages no list node. The [`Hand`](crate::hand::Hand) of a pool goes over its leaves in the order in which they were
//! made; which pool's hand moves, [`giver`] says.

mod fifo;
mod second_chance;
mod shares;
mod used_first;

use crate::config::EvictionChoice;

pub(crate) use shares::{Giver, Holding, giver};

/// What becomes of a page that the hand passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes.
    Evict,
    /// It stays, with this age.
    Spare(u8),
}

/// An eviction policy over ages 0 to 3; a page is put with age 0.
pub(crate) trait Policy: Send + Sync + std::fmt::Debug {
    /// The age after a hit.
    fn hit(&self, age: u8) -> u8;

    /// What the hand does with a page of this age. Sparing must lead to eviction within four passes.
    fn pass(&self, age: u8) -> Verdict;
}

/// The policy of this name.
pub(crate) fn policy(choice: EvictionChoice) -> &'static dyn Policy {
    match choice {
        EvictionChoice::SecondChance => &second_chance::SecondChance,
        EvictionChoice::Fifo => &fifo::Fifo,
        EvictionChoice::UsedFirst => &used_first::UsedFirst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_page_goes_before_one_that_was_not() {
        let used_first = policy(EvictionChoice::UsedFirst);
        assert_eq!(used_first.pass(used_first.hit(0)), Verdict::Evict);
        let Verdict::Spare(age) = used_first.pass(0) else { unreachable!("an unused page is spared once") };
        assert_eq!(used_first.pass(age), Verdict::Evict);
    }

    #[test]
    fn no_page_is_spared_for_ever() {
        let spared = |policy: &dyn Policy| {
            let mut age = (0..10).fold(0, |age, _| policy.hit(age));
            let mut passes = 0;
            while let Verdict::Spare(younger) = policy.pass(age) {
                age = younger;
                passes += 1;
            }
            passes
        };
        assert_eq!(spared(policy(EvictionChoice::Fifo)), 0);
        assert_eq!(spared(policy(EvictionChoice::SecondChance)), 3);
        assert_eq!(spared(policy(EvictionChoice::UsedFirst)), 0);
    }
}
