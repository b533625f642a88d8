//! Entitlements: what each VM should have of the pool.
//!
//! Each VM has its reservation; what no reservation takes is shared out in rounds. A round says up to what each VM is
//! served in it and with which weight; the algorithms differ in their rounds only. No VM gets more than its limit.

mod demand;
mod fixed;
mod greedy;
mod weighted;

use serde::Serialize;

use super::fill::{MOST, Taker, fill, sum};
use crate::schema::Algorithm;

pub use demand::wanted;

/// What a VM brings to the sharing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Its weight after the idle tax ([`taxed_weight`](super::activity::taxed_weight)).
    pub taxed_weight: u64,
    /// What is never taken from it.
    pub reservation_bytes: u64,
    /// What it never exceeds.
    pub limit_bytes: u64,
    /// What it holds.
    pub used_bytes: u64,
    /// What it could use now ([`wanted`]).
    pub wanted_bytes: u64,
}

/// What each VM is entitled to. The sum is the pool, or that of the limits where it is less. Where the reservations are
/// more than the pool, it is shared out in proportion to them.
#[must_use]
pub fn entitlements(algorithm: Algorithm, pool_bytes: u64, claims: &[Claim]) -> Vec<u64> {
    let pool = pool_bytes.min(MOST);
    let reserved = claims.iter().map(|claim| {
        let bytes = claim.reservation_bytes.min(claim.limit_bytes).min(MOST);
        Taker { cap: bytes, weight: bytes }
    });
    let mut given = fill(pool, &reserved.collect::<Vec<_>>());
    for round in rounds(algorithm, claims) {
        let takers = round.iter().zip(claims).zip(&given).map(|((taker, claim), given)| Taker {
            cap: taker.cap.min(claim.limit_bytes).saturating_sub(*given),
            weight: taker.weight,
        });
        let more = fill(pool - sum(given.iter().copied()), &takers.collect::<Vec<_>>());
        for (given, more) in given.iter_mut().zip(more) {
            *given += more;
        }
    }
    given
}

type Round = Vec<Taker>;

fn rounds(algorithm: Algorithm, claims: &[Claim]) -> Vec<Round> {
    match algorithm {
        Algorithm::Greedy => greedy::rounds(claims),
        Algorithm::Static => fixed::rounds(claims),
        Algorithm::Weighted => weighted::rounds(claims),
        Algorithm::Demand => demand::rounds(claims),
    }
}

/// A round of this cap and weight for each claim.
fn round(claims: &[Claim], taker: impl Fn(&Claim) -> (u64, u64)) -> Round {
    let taker = |claim| {
        let (cap, weight) = taker(claim);
        Taker { cap, weight }
    };
    claims.iter().map(taker).collect()
}
