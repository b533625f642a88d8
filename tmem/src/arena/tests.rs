//! The arena over heap memory.

use super::*;
use crate::backing::Heap;

const LIMIT: u64 = 1 << 30;

fn arena(slabs: usize) -> (Arena<Heap>, Quota) {
    (Arena::new(Heap::new(slabs * SLAB_BYTES)), Quota::new(LIMIT, 0))
}

#[test]
fn slots_keep_their_bytes_apart() {
    let (arena, quota) = arena(128);
    let payloads: Vec<Vec<u8>> = (1..=200_u8).map(|i| vec![i; usize::from(i) * 7]).collect();
    let slots: Vec<Slot> =
        payloads.iter().map(|bytes| arena.store(PoolKind::Persistent, bytes, &quota).unwrap()).collect();
    for (slot, bytes) in slots.iter().zip(&payloads) {
        // SAFETY: none of the slots was freed.
        assert_eq!(unsafe { arena.bytes(*slot) }, bytes);
    }
    assert_eq!(arena.holdings().slots, 200);
    assert_eq!(arena.holdings().resident_bytes as u64, quota.used());
}

#[test]
fn freed_slots_are_used_again_before_memory_is() {
    let (arena, quota) = arena(8);
    let store = || arena.store(PoolKind::Ephemeral, &[1; 1000], &quota).unwrap();
    let slots: Vec<Slot> = (0..100).map(|_| store()).collect();
    let used = quota.used();
    for slot in &slots[20..60] {
        // SAFETY: each is freed once and not read afterwards.
        unsafe { arena.free(PoolKind::Ephemeral, *slot, &quota) };
    }
    let again: Vec<Slot> = (0..40).map(|_| store()).collect();
    assert_eq!(quota.used(), used);
    assert!(again.iter().all(|slot| slots[20..60].contains(slot)));
}

#[test]
fn everything_freed_is_everything_given_back() {
    let (arena, quota) = arena(200);
    let slots: Vec<Slot> =
        (0..1600).map(|_| arena.store(PoolKind::Persistent, &[9; PAGE_SIZE], &quota).unwrap()).collect();
    assert_eq!(quota.used(), 1600 * PAGE_SIZE as u64);
    for slot in slots {
        // SAFETY: each is freed once and not read afterwards.
        unsafe { arena.free(PoolKind::Persistent, slot, &quota) };
    }
    assert!(quota.used() <= 129 * SLAB_BYTES as u64, "the reserve is bounded");
    arena.release_idle(usize::MAX, &quota);
    assert_eq!((quota.used(), arena.holdings()), (0, Holdings::default()));
}

#[test]
fn the_limit_and_the_end_of_the_range_are_told_apart() {
    let (arena, quota) = arena(1);
    quota.set_limit(PAGE_SIZE as u64);
    let store = || arena.store(PoolKind::Persistent, &[5; PAGE_SIZE], &quota);
    assert!(store().is_ok());
    assert_eq!(store(), Err(NoRoom::OverLimit));
    quota.set_limit(LIMIT);
    let left = SLAB_BYTES / PAGE_SIZE - 1;
    assert_eq!((0..left).filter(|_| store().is_ok()).count(), left);
    assert_eq!(store(), Err(NoRoom::ArenaFull));
}

#[test]
fn memory_ahead_of_its_use_is_charged_and_goes_back_when_it_is_not_used() {
    let (arena, quota) = arena(400);
    let store = || arena.store(PoolKind::Persistent, &[5; PAGE_SIZE], &quota).unwrap();
    let slots: Vec<_> = (0..20 * SLAB_BYTES / PAGE_SIZE).map(|_| store()).collect();
    let needed = slots.len() * PAGE_SIZE;
    assert!(arena.holdings().resident_bytes > needed);
    assert_eq!(quota.used(), arena.holdings().resident_bytes as u64);
    arena.store(PoolKind::Persistent, &[5; 100], &quota).unwrap();
    arena.release_idle(usize::MAX, &quota);
    arena.trim(&quota);
    assert_eq!(arena.holdings().resident_bytes, needed + PAGE_SIZE);
    assert_eq!(quota.used(), (needed + PAGE_SIZE) as u64);
    let intact = |slot| {
        // SAFETY: the slots are not freed.
        unsafe { arena.bytes(slot) == [5; PAGE_SIZE] }
    };
    assert!(slots.into_iter().all(intact));
}

#[test]
fn a_slab_taken_in_vain_goes_back() {
    let (arena, quota) = arena(1);
    quota.set_limit(0);
    assert_eq!(arena.store(PoolKind::Persistent, &[5; 100], &quota), Err(NoRoom::OverLimit));
    quota.set_limit(LIMIT);
    assert!(arena.store(PoolKind::Ephemeral, &[5; 3000], &quota).is_ok());
}
