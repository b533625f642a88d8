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

/// `count` draws from `0..count`: the page of rank r comes up about 1/r as often as that of rank 1. `placing` decides
/// which page has which rank, `key` the draws.
pub fn zipf(count: u64, placing: u64, key: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |draw| {
        // The logarithm of the rank is even over its range: Zipf's law with exponent 1, made continuous.
        let even = unit_interval(mix(key ^ mix(draw)));
        let rank = (even * to_float(count + 1).ln()).exp() - 1.0;
        permuted(floor_below(rank, count), count, placing)
    })
}

/// The high 53 bits as a number from 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[expect(clippy::cast_precision_loss, reason = "no file has 2^53 pages")]
fn to_float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to count")]
fn floor_below(rank: f64, count: u64) -> u64 {
    (rank.max(0.0) as u64).min(count - 1)
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
    fn zipf_visits_few_pages_often() {
        let mut visits = vec![0u32; 1000];
        zipf(1000, 1, 2).for_each(|page| visits[usize::try_from(page).unwrap()] += 1);
        visits.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let of_the_tenth: u32 = visits[..100].iter().sum();
        // ln(101) / ln(1001) of all, and what chance adds.
        assert!((620..760).contains(&of_the_tenth), "{of_the_tenth}");
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
