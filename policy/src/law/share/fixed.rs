//! The same for every VM.

use super::{Claim, Round, round};

/// One round with the same weight for each.
pub(super) fn rounds(claims: &[Claim]) -> Vec<Round> {
    vec![round(claims, |claim| (claim.limit_bytes, 1))]
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, entitlements};
    use crate::schema::Algorithm::Static;

    #[test]
    fn each_gets_the_same_whatever_its_weight_and_use() {
        let claim = |taxed_weight, used_bytes, limit_bytes| Claim {
            taxed_weight,
            reservation_bytes: 0,
            limit_bytes,
            used_bytes,
            wanted_bytes: used_bytes,
        };
        assert_eq!(entitlements(Static, 90, &[claim(1, 0, 99), claim(9, 80, 99), claim(1, 0, 10)]), [40, 40, 10]);
    }
}
