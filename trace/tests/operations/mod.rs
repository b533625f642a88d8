//! Random operations.

use proptest::prelude::*;
use tmem::{Form, Key, ObjectId, PoolKind, Status};
use trace::{Content, Operation};

fn object() -> impl Strategy<Value = ObjectId> {
    prop_oneof![
        6 => (0..3_u64).prop_map(|n| ObjectId([n, 0, 0])),
        1 => any::<[u64; 3]>().prop_map(ObjectId),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let index = prop_oneof![8 => 0..600_u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    (0..4_u32, object(), index).prop_map(|(pool, object, index)| Key { pool, object, index })
}

fn content() -> impl Strategy<Value = Content> {
    let form = prop_oneof![
        1 => Just(Form::SameFilled),
        1 => Just(Form::SameFilledWide),
        1 => Just(Form::Raw),
        5 => (30..3800_u16).prop_map(|bytes| Form::Compressed { bytes }),
    ];
    (0..40_u64, form).prop_map(|(hash, form)| Content { hash, form })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![2 => Just(Status::Ok), 1 => prop::sample::select(Status::ALL.as_slice())]
}

fn kind() -> impl Strategy<Value = PoolKind> {
    prop_oneof![Just(PoolKind::Persistent), Just(PoolKind::Ephemeral)]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..4_u64, 2 => 4..3000_u64, 1 => any::<u64>()]
}

/// Any operation, with any answer to it.
pub fn operation() -> impl Strategy<Value = Operation> {
    let bad = prop::sample::select(&Status::ALL[1..]);
    prop_oneof![
        40 => (key(), prop::option::weighted(0.95, content()), status())
            .prop_map(|(key, content, status)| Operation::Put { key, content, status }),
        30 => (key(), any::<bool>(), status())
            .prop_map(|(key, exclusive, status)| Operation::Get { key, exclusive, status }),
        6 => (key(), count(), status())
            .prop_map(|(first, count, status)| Operation::FlushRange { first, count, status }),
        2 => (0..4_u32, object(), status())
            .prop_map(|(pool, object, status)| Operation::FlushObject { pool, object, status }),
        4 => (kind(), prop_oneof![(1..9_u32).prop_map(Ok), bad.prop_map(Err)])
            .prop_map(|(kind, answer)| Operation::PoolNew { kind, answer }),
        1 => (0..4_u32, status()).prop_map(|(pool, status)| Operation::PoolDestroy { pool, status }),
        1 => Just(Operation::Hello),
        2 => prop_oneof![Just(0), 0..1_u64 << 21, Just(1_u64 << 30)].prop_map(|bytes| Operation::SetLimit { bytes }),
        1 => Just(Operation::Freeze),
        2 => Just(Operation::Thaw),
        1 => (0..1_u64 << 18).prop_map(|bytes| Operation::FlushEphemeral { bytes }),
    ]
}
