//! The order in which pages are visited: by address, or a permutation that needs no table.

use crate::pattern::mix;

/// Rounds of the Feistel network; four are enough to look random.
const ROUNDS: u64 = 4;

/// An order of visiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// A pseudo-random permutation, another one each pass
    Random,
    /// Lowest address first
    Sequential,
}

impl Order {
    /// All of `0..count`, each once, in this order. Different `key`s give different random orders.
    pub fn visit(self, count: u64, key: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |position| match self {
            Self::Sequential => position,
            Self::Random => permuted(position, count, key),
        })
    }
}

/// Where `position` goes in a permutation of `0..count`: a Feistel network permutes the next power of four; what falls
/// outside is sent through again until it falls inside (cycle walking, Black and Rogaway 2002).
fn permuted(position: u64, count: u64, key: u64) -> u64 {
    let half_bits = (u64::BITS - (count - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half_bits) - 1;
    let mut value = position;
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(right ^ mix(key ^ round)) & mask));
        }
        value = left << half_bits | right;
        if value < count {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_page_is_visited_once(count in 0u64..3000, key: u64) {
            let mut visited: Vec<_> = Order::Random.visit(count, key).collect();
            visited.sort_unstable();
            prop_assert_eq!(visited, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn random_is_neither_sequential_nor_the_same_for_each_key() {
        let order = |key| Order::Random.visit(1000, key).collect::<Vec<_>>();
        assert_ne!(order(1), Order::Sequential.visit(1000, 1).collect::<Vec<_>>());
        assert_ne!(order(1), order(2));
        let neighbours = order(1).windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(neighbours < 20, "{neighbours}");
    }
}
