//! The idle tax: a VM whose pages lie idle is entitled to less than one that uses them.
//!
//! ESX taxes idle memory: a page costs its VM `k = 1/(1 − tax)` times as much when it is idle, and shares follow
//! `weight / (f + k(1 − f))` with `f` the part of its pages in use (Waldspurger, "Memory Resource Management in VMware
//! ESX Server", OSDI 2002). With `k` put in this is `(1 − tax) · weight / (1 − tax · f)`; the first factor is the same
//! for all, so shares follow `weight / (1 − tax · f)`, which whole numbers can say.

use super::observation::Statistics;
use crate::value::Percent;

/// One, in the hundredths of percent of `tax` times those of `f`.
const ONE: u64 = 10_000 * 10_000;

/// What a weight is multiplied by before it is divided, so that little is lost: a taxed weight is exact to 1 in 10⁸.
const SCALE: u64 = ONE * 100_000_000;

/// The highest tax; the rules of the file allow no higher one.
const TAX_MAX: u64 = 9_900;

/// The heaviest weight; the rules of the file allow no heavier one.
const WEIGHT_MAX: u32 = 10_000;

/// The part of a VM's pages that are in use: hits within `share.idle_after` to pages stored, at most all. A VM that stores
/// nothing has nothing idle.
#[must_use]
pub fn active(statistics: &Statistics) -> Percent {
    if statistics.hit_pages >= statistics.stored_pages {
        return Percent::ALL;
    }
    let part = u128::from(statistics.hit_pages) * 10_000 / u128::from(statistics.stored_pages);
    Percent::from_basis_points(u32::try_from(part).unwrap_or(10_000))
}

/// A weight after the idle tax, in units of its own: only its proportion to the weights of other VMs means something.
/// At most 2⁴⁷, and not 0 but for a weight of 0.
#[must_use]
pub fn taxed_weight(weight: u32, active: Percent, idle_tax: Percent) -> u64 {
    let tax = u64::from(idle_tax.basis_points()).min(TAX_MAX);
    let active = u64::from(active.basis_points()).min(10_000);
    let weight = u128::from(weight.min(WEIGHT_MAX));
    u64::try_from(weight * u128::from(SCALE) / u128::from(ONE - tax * active)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statistics(hit_pages: u64, stored_pages: u64) -> Statistics {
        Statistics { hit_pages, stored_pages, ..Statistics::default() }
    }

    #[test]
    fn the_active_part_is_hits_to_stored_pages_and_at_most_all() {
        let table = [(0, 100, 0), (25, 100, 2500), (100, 100, 10_000), (300, 100, 10_000), (0, 0, 10_000)];
        for (hits, stored, basis_points) in table {
            assert_eq!(active(&statistics(hits, stored)).basis_points(), basis_points);
        }
        assert_eq!(active(&statistics(u64::MAX - 1, u64::MAX)).basis_points(), 9_999);
    }

    #[test]
    fn an_idle_page_costs_1_over_1_less_tax_times_an_active_one() {
        let weight = |active, tax| taxed_weight(100, Percent::whole(active), Percent::whole(tax));
        assert_eq!(weight(100, 75), 4 * weight(0, 75));
        assert_eq!(weight(100, 99), 100 * weight(0, 99));
        assert_eq!(weight(100, 0), weight(0, 0), "no tax");
    }

    #[test]
    fn the_heaviest_taxed_weight_is_small_enough_to_calculate_with() {
        let heaviest =
            taxed_weight(u32::MAX, Percent::from_basis_points(u32::MAX), Percent::from_basis_points(u32::MAX));
        assert!(heaviest < 1 << 47, "far below what `fill` takes for the most");
        assert!(taxed_weight(1, Percent::default(), Percent::ALL) > 0);
    }

    proptest! {
        #[test]
        fn the_formula_is_that_of_the_paper(weight in 1..=10_000_u32, f in 0..=10_000_u32, tax in 0..=9_900_u32) {
            let (idle, whole) = (f64::from(f) / 10_000.0, f64::from(tax) / 10_000.0);
            let k = 1.0 / (1.0 - whole);
            let wanted = f64::from(weight) / (idle + k * (1.0 - idle)) / (1.0 - whole);
            #[expect(clippy::cast_precision_loss, reason = "compared to 1 in 10⁶")]
            let found = taxed_weight(weight, Percent::from_basis_points(f), Percent::from_basis_points(tax)) as f64 / 1e8;
            prop_assert!((found / wanted - 1.0).abs() < 1e-6, "{found} and {wanted}");
        }
    }
}
