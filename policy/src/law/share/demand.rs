//! By weight and idle tax, first to those who use it: rejected puts raise what a VM is entitled to, unused room lowers
//! it. The idea is smart-alloc's (Garrido, Nishtala and Carpenter, "SmarTmem", 2019), which moves targets by steps; here
//! what a VM wants is measured and the steps are those of the lease.

use super::super::observation::{PAGE_BYTES, Statistics};
use super::{Claim, Round, round, weighted};

/// What a VM could use now: what it holds, and room for the pages that were rejected since the last decision. They are
/// counted uncompressed, so that it is never too little.
#[must_use]
pub fn wanted(used_bytes: u64, statistics: &Statistics) -> u64 {
    used_bytes.saturating_add(statistics.rejected_pages.saturating_mul(PAGE_BYTES))
}

/// First what each wants; then what nobody wants, so that a burst of any of them finds room before the next decision.
pub(super) fn rounds(claims: &[Claim]) -> Vec<Round> {
    vec![round(claims, |claim| (claim.wanted_bytes, claim.taxed_weight)), weighted::by_weight(claims)]
}

#[cfg(test)]
mod tests {
    use super::super::entitlements;
    use super::*;
    use crate::schema::Algorithm::Demand;

    fn claim(taxed_weight: u64, wanted_bytes: u64) -> Claim {
        Claim { taxed_weight, reservation_bytes: 0, limit_bytes: 1000, used_bytes: wanted_bytes, wanted_bytes }
    }

    #[test]
    fn who_uses_it_comes_before_who_does_not() {
        assert_eq!(entitlements(Demand, 100, &[claim(1, 60), claim(1, 0)]), [80, 20]);
        assert_eq!(entitlements(Demand, 100, &[claim(1, 500), claim(9, 10)]), [90, 10]);
        assert_eq!(entitlements(Demand, 100, &[claim(1, 500), claim(3, 500)]), [25, 75], "all want: by weight");
    }

    #[test]
    fn rejected_pages_are_wanted_room() {
        let statistics = |rejected_pages| Statistics { rejected_pages, ..Statistics::default() };
        assert_eq!(wanted(100, &statistics(0)), 100);
        assert_eq!(wanted(100, &statistics(2)), 8292);
        assert_eq!(wanted(100, &statistics(u64::MAX)), u64::MAX);
    }
}
