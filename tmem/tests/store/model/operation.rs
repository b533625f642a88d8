//! One call on the store, by number.

use proptest::prelude::*;
use tmem::{ObjectId, PoolKind};

/// Seeds of page contents; few, so that equal pages meet.
const SEEDS: u64 = 60;

/// A key whose pool is the n-th that was created (or none).
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub pool: usize,
    pub object: ObjectId,
    pub index: u32,
}

/// A call.
#[derive(Clone, Debug)]
pub enum Operation {
    Put { target: Target, seed: u64, fault: bool },
    Get { target: Target, exclusive: bool, fault: bool },
    FlushRange { target: Target, count: u64 },
    FlushObject { target: Target },
    PoolNew { kind: PoolKind },
    PoolDestroy { pool: usize },
    Hello,
    Freeze,
    Thaw,
    SetLimit { bytes: u64 },
    FlushEphemeral { bytes: u64 },
    Reclaim { pages: u64 },
    Recompress,
    CompressStaged,
}

fn target() -> impl Strategy<Value = Target> {
    let object = prop_oneof![
        8 => (0..3_u64).prop_map(|n| ObjectId([n, 0, 0])),
        1 => (0..40_u64).prop_map(|n| ObjectId([0, n, u64::MAX])),
    ];
    let index = prop_oneof![
        6 => 0..8_u32,
        4 => 500..530_u32,
        3 => 1024..1600_u32,
        1 => u32::MAX - 3..=u32::MAX,
    ];
    (0..6_usize, object, index).prop_map(|(pool, object, index)| Target { pool, object, index })
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.05)
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..4_u64, 4..2000_u64, Just(1 << 32), (1_u64 << 32) - 8..(1 << 32) + 8, Just(u64::MAX)]
}

fn limit() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1 << 12..1_u64 << 20, Just(1 << 30)]
}

fn kind() -> impl Strategy<Value = PoolKind> {
    prop_oneof![Just(PoolKind::Persistent), Just(PoolKind::Ephemeral)]
}

/// Up to `most` calls, after two pools were created.
pub fn operations(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        50 => (target(), 0..SEEDS, rarely()).prop_map(|(target, seed, fault)| Operation::Put { target, seed, fault }),
        25 => (target(), any::<bool>(), rarely())
            .prop_map(|(target, exclusive, fault)| Operation::Get { target, exclusive, fault }),
        6 => (target(), count()).prop_map(|(target, count)| Operation::FlushRange { target, count }),
        2 => target().prop_map(|target| Operation::FlushObject { target }),
        3 => kind().prop_map(|kind| Operation::PoolNew { kind }),
        1 => (0..6_usize).prop_map(|pool| Operation::PoolDestroy { pool }),
        1 => Just(Operation::Hello),
        2 => Just(Operation::Freeze),
        4 => Just(Operation::Thaw),
        4 => limit().prop_map(|bytes| Operation::SetLimit { bytes }),
        2 => (0..1_u64 << 18).prop_map(|bytes| Operation::FlushEphemeral { bytes }),
        2 => (0..100_u64).prop_map(|pages| Operation::Reclaim { pages }),
        8 => Just(Operation::Recompress),
        4 => Just(Operation::CompressStaged),
    ];
    prop::collection::vec(operation, 1..most).prop_map(|mut operations| {
        let pools = [PoolKind::Persistent, PoolKind::Ephemeral].map(|kind| Operation::PoolNew { kind });
        operations.splice(0..0, pools);
        operations
    })
}
