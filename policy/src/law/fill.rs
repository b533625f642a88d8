//! Water-filling: an amount is poured out by weight until each has its fill or nothing is left.

/// The most that one VM takes or weighs, in bytes or as a weight: 4 PiB. Larger numbers are taken for this, so that a
/// product of two, summed over a million VMs, stays below 128 bits whatever an observation says.
pub(super) const MOST: u64 = 1 << 52;

/// Somebody who takes of what is poured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taker {
    /// The most it takes.
    pub cap: u64,
    /// Its part, against the weights of the others; at 0 it gets nothing.
    pub weight: u64,
}

/// What each gets of an amount. Nothing is left that somebody could still take; of two with the same cap the one with
/// the heavier weight never gets less. Whole numbers only, so the result is the same on every machine.
///
/// Those whose cap is below their part are found in the order of cap to weight: what they leave makes the parts of the
/// others larger, never smaller. The others are served from the heaviest on and each part is rounded up, so that the
/// odd bytes go to the heavier.
pub(super) fn fill(amount: u64, takers: &[Taker]) -> Vec<u64> {
    let takers: Vec<Taker> =
        takers.iter().map(|taker| Taker { cap: taker.cap.min(MOST), weight: taker.weight.min(MOST) }).collect();
    let mut order: Vec<usize> = (0..takers.len()).filter(|i| takers[*i].weight > 0).collect();
    order.sort_by_key(|i| std::cmp::Reverse(takers[*i].weight));
    order.sort_by(|a, b| {
        let (a, b) = (takers[*a], takers[*b]);
        (u128::from(a.cap) * u128::from(b.weight)).cmp(&(u128::from(b.cap) * u128::from(a.weight)))
    });

    let mut given = vec![0; takers.len()];
    let mut rest = u128::from(amount);
    let mut weights: u128 = order.iter().map(|i| u128::from(takers[*i].weight)).sum();
    let full = order.iter().take_while(|i| {
        let Taker { cap, weight } = takers[**i];
        let is_full = u128::from(cap) * weights <= rest * u128::from(weight);
        if is_full {
            given[**i] = cap;
            rest -= u128::from(cap);
            weights -= u128::from(weight);
        }
        is_full
    });
    let full = full.count();

    let others = &mut order[full..];
    others.sort_by_key(|i| (std::cmp::Reverse(takers[*i].weight), *i));
    for i in others {
        let weight = u128::from(takers[*i].weight);
        let part = (rest * weight).div_ceil(weights);
        given[*i] = u64::try_from(part).unwrap_or(u64::MAX).min(takers[*i].cap);
        rest -= u128::from(given[*i]);
        weights -= weight;
    }
    given
}

/// A sum that does not wrap.
pub(super) fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takers(pairs: &[(u64, u64)]) -> Vec<Taker> {
        pairs.iter().map(|(cap, weight)| Taker { cap: *cap, weight: *weight }).collect()
    }

    #[test]
    fn parts_follow_weights_and_what_one_leaves_the_others_share() {
        assert_eq!(fill(100, &takers(&[(1000, 1), (1000, 3)])), [25, 75]);
        assert_eq!(fill(100, &takers(&[(10, 1), (1000, 1), (1000, 2)])), [10, 30, 60]);
        assert_eq!(fill(100, &takers(&[(10, 1), (20, 1)])), [10, 20]);
        assert_eq!(fill(100, &takers(&[(1000, 0), (1000, 1)])), [0, 100]);
        assert_eq!(fill(1, &takers(&[(1, 1), (10, 2)])), [0, 1], "the odd byte goes to the heavier");
        assert!(fill(100, &[]).is_empty());
    }

    fn any_takers() -> impl Strategy<Value = Vec<Taker>> {
        let small = (0..50_u64, 0..5_u64);
        let any = (any::<u64>(), any::<u64>());
        prop::collection::vec(prop_oneof![small, any], 0..12).prop_map(|pairs| takers(&pairs))
    }

    proptest! {
        #[test]
        fn nothing_is_left_that_somebody_could_take(amount: u64, small in 0..200_u64, takers in any_takers()) {
            for amount in [amount, small] {
                let given = fill(amount, &takers);
                let takeable = takers.iter().filter(|taker| taker.weight > 0).map(|taker| taker.cap.min(MOST));
                prop_assert_eq!(sum(given.iter().copied()), amount.min(sum(takeable)));
                prop_assert!(given.iter().zip(&takers).all(|(given, taker)| *given <= taker.cap));
            }
        }

        #[test]
        fn the_heavier_never_gets_less(amount: u64, small in 0..200_u64, takers in any_takers()) {
            for amount in [amount, small] {
                let given = fill(amount, &takers);
                for (a, mine) in takers.iter().zip(&given) {
                    for (b, theirs) in takers.iter().zip(&given) {
                        if a.weight.min(MOST) > b.weight.min(MOST) && a.cap >= b.cap {
                            prop_assert!(mine >= theirs, "{takers:?} of {amount}: {given:?}");
                        }
                    }
                }
            }
        }

        #[test]
        fn equals_get_the_same_but_for_a_byte(amount: u64, count in 1..20_usize) {
            let given = fill(amount, &vec![Taker { cap: MOST, weight: 7 }; count]);
            prop_assert!(given.iter().max().unwrap() - given.iter().min().unwrap() <= 1);
        }
    }
}
