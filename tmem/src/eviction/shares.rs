//! Which ephemeral pool gives pages first.
//!
//! The pools of a client are entitled to the same: an active page of one and an active page of another. An idle page, as
//! many as a pool has above its hits of late, counts as four, as by the default of a host's `share.idle_tax`. The pool
//! that weighs most gives, until it weighs no more than the next. So a pool that weighs less than the mean of all, which is what
//! it is entitled to, gives nothing; and in the end what pools hold is to each other as what they are entitled to.

/// Pages of this kind that an idle one counts as.
const IDLE: u64 = 4;

/// What a pool has, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Its pages.
    pub(crate) pages: u64,
    /// Gets that found their page, of late.
    pub(crate) hits: u64,
}

impl Holding {
    /// What it weighs.
    fn weight(self) -> u64 {
        let active = self.hits.min(self.pages);
        (self.pages - active).saturating_mul(IDLE).saturating_add(active)
    }
}

/// The pool that gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Giver {
    /// Where it is among those asked about.
    pub(crate) at: usize,
    /// What it gives before another one has to; at least one page.
    pub(crate) pages: u64,
}

/// The one of these that gives first; `None` where none has a page.
pub(crate) fn giver(holdings: impl IntoIterator<Item = Holding>) -> Option<Giver> {
    let (mut first, mut first_weight, mut next_weight) = (None, 0, 0);
    for (at, holding) in holdings.into_iter().enumerate() {
        let weight = holding.weight();
        if weight > first_weight {
            (first, next_weight, first_weight) = (Some((at, holding)), first_weight, weight);
        } else {
            next_weight = next_weight.max(weight);
        }
    }
    // What leaves first is idle.
    first.map(|(at, holding)| Giver { at, pages: ((first_weight - next_weight) / IDLE).clamp(1, holding.pages) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding() -> impl Strategy<Value = Holding> {
        (0_u64..1 << 40, 0_u64..1 << 40).prop_map(|(pages, hits)| Holding { pages, hits })
    }

    #[test]
    fn of_pools_that_are_used_alike_the_larger_gives_first() {
        let of = |pages| Holding { pages, hits: 0 };
        assert_eq!(giver([of(100), of(300), of(200)]), Some(Giver { at: 1, pages: 100 }));
        let used = |pages| Holding { pages, hits: pages };
        assert_eq!(giver([used(100), used(300), used(200)]).map(|giver| giver.at), Some(1));
        assert_eq!(giver([of(0), of(0)]), None);
    }

    #[test]
    fn an_idle_page_goes_before_three_active_ones() {
        let (idle, active) = (Holding { pages: 101, hits: 0 }, Holding { pages: 400, hits: 4000 });
        assert_eq!(giver([idle, active]).map(|giver| giver.at), Some(0));
        assert_eq!(giver([Holding { pages: 99, ..idle }, active]).map(|giver| giver.at), Some(1));
    }

    proptest! {
        #[test]
        fn who_holds_less_than_it_is_entitled_to_gives_nothing(holdings in proptest::collection::vec(holding(), 1..20)) {
            let sum: u128 = holdings.iter().map(|holding| u128::from(holding.weight())).sum();
            match giver(holdings.iter().copied()) {
                None => prop_assert_eq!(sum, 0),
                Some(Giver { at, pages }) => {
                    let weight = u128::from(holdings[at].weight());
                    prop_assert!(weight * holdings.len() as u128 >= sum, "{:?} of {:?}", holdings[at], holdings);
                    prop_assert!((1..=holdings[at].pages).contains(&pages));
                }
            }
        }

        #[test]
        fn pools_that_gave_are_level_and_nobody_is_above_them(before in proptest::collection::vec(0_u64..5000, 1..8)) {
            let mut pages = before.clone();
            let mut left = before.iter().sum::<u64>() / 2;
            while left > 0 {
                let of = |pages: &u64| Holding { pages: *pages, hits: 0 };
                let Giver { at, pages: most } = giver(pages.iter().map(of)).unwrap();
                let given = most.min(left);
                pages[at] -= given;
                left -= given;
            }
            let highest = pages.iter().max().copied().unwrap_or(0);
            let gave = pages.iter().zip(&before).filter(|(after, before)| after < before);
            for (after, _) in gave {
                prop_assert!(after + 1 >= highest, "{before:?} became {pages:?}");
            }
        }
    }
}
