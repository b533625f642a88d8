//! First come, first served, as Xen has it by default: the baseline that the others are compared with.

use super::{Claim, Round, round};

/// First what each holds, which it keeps; then the rest, the same for each.
pub(super) fn rounds(claims: &[Claim]) -> Vec<Round> {
    vec![round(claims, |claim| (claim.used_bytes, claim.used_bytes)), round(claims, |claim| (claim.limit_bytes, 1))]
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, entitlements};
    use crate::schema::Algorithm::Greedy;

    fn claim(used_bytes: u64) -> Claim {
        Claim { taxed_weight: 1, reservation_bytes: 0, limit_bytes: 1000, used_bytes, wanted_bytes: 0 }
    }

    #[test]
    fn who_holds_much_keeps_it_and_what_is_free_is_anybodys() {
        assert_eq!(entitlements(Greedy, 100, &[claim(70), claim(10)]), [80, 20]);
        assert_eq!(entitlements(Greedy, 40, &[claim(70), claim(10)]), [35, 5], "a smaller pool: in proportion");
    }
}
