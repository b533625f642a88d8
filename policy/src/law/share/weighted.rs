//! By weight and idle tax, used or not: `E = R + (w·a / Σ w·a) · (Pool − ΣR)`.

use super::{Claim, Round, round};

/// One round by weight.
pub(super) fn rounds(claims: &[Claim]) -> Vec<Round> {
    vec![by_weight(claims)]
}

/// Up to the limit, by weight after the idle tax.
pub(super) fn by_weight(claims: &[Claim]) -> Round {
    round(claims, |claim| (claim.limit_bytes, claim.taxed_weight))
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, entitlements};
    use crate::schema::Algorithm::Weighted;

    #[test]
    fn what_no_reservation_takes_is_shared_out_by_weight() {
        let claim = |taxed_weight, reservation_bytes| Claim {
            taxed_weight,
            reservation_bytes,
            limit_bytes: 1000,
            used_bytes: 0,
            wanted_bytes: 0,
        };
        assert_eq!(entitlements(Weighted, 100, &[claim(1, 20), claim(3, 0)]), [40, 60]);
        assert_eq!(entitlements(Weighted, 30, &[claim(1, 20), claim(9, 40)]), [10, 20], "reservations do not fit");
    }
}
