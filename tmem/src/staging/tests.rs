use std::collections::BTreeSet;

use super::*;
use crate::backing::Heap;
use crate::key::ObjectId;

const PAGES: usize = 4;
const BYTES: usize = PAGES * PAGE_SIZE;

fn staging() -> (Staging<Heap>, Quota) {
    (Staging::new(Heap::new(Staging::<Heap>::address_bytes(BYTES)), BYTES), Quota::new(1 << 20, 0))
}

fn key(index: u32) -> Key {
    Key { pool: 1, object: ObjectId([0; 3]), index }
}

fn next(staging: &Staging<Heap>, mark: u64) -> Option<(u32, Key)> {
    staging.queued(mark).next()
}

#[test]
fn a_full_buffer_has_no_page() {
    let (staging, quota) = staging();
    let taken: Vec<_> = (0..9).filter_map(|index| staging.take(key(index), &quota)).collect();
    assert_eq!(taken.len(), PAGES);
    assert_eq!(quota.used(), BYTES as u64);
    staging.give(taken[2]);
    assert_eq!(staging.take(key(9), &quota), Some(taken[2]));
}

#[test]
fn near_the_limit_nothing_is_staged() {
    let (staging, quota) = staging();
    let buffer = BYTES as u64;
    quota.set_limit(2 * buffer - 1);
    assert_eq!(staging.take(key(0), &quota), None, "the buffer itself and as much again");
    quota.set_limit(2 * buffer);
    let page = staging.take(key(0), &quota).unwrap();
    staging.give(page);
    quota.set_limit(2 * buffer - 1);
    assert_eq!(staging.take(key(0), &quota), None);
}

#[test]
fn pages_come_in_the_order_in_which_they_were_taken_and_freed_ones_do_not() {
    let (staging, quota) = staging();
    let taken: Vec<_> = (0..3).map(|index| staging.take(key(index), &quota).unwrap()).collect();
    let mark = staging.mark();
    let late = staging.take(key(3), &quota).unwrap();
    staging.give(taken[1]);
    assert_eq!(next(&staging, mark), Some((taken[0], key(0))));
    assert_eq!(next(&staging, mark), Some((taken[2], key(2))));
    assert_eq!(next(&staging, mark), None);
    staging.requeue(taken[0]);
    assert_eq!(next(&staging, u64::MAX), Some((late, key(3))));
    assert_eq!(next(&staging, u64::MAX), Some((taken[0], key(0))));
    assert_eq!(next(&staging, u64::MAX), None);
}

#[test]
fn a_page_that_is_used_again_is_queued_once() {
    let (staging, quota) = staging();
    for index in 0..1000 {
        let page = staging.take(key(index), &quota).unwrap();
        staging.give(page);
    }
    let page = staging.take(key(7), &quota).unwrap();
    assert_eq!(Vec::from_iter(staging.queued(u64::MAX)), [(page, key(7))]);
}

#[test]
fn memory_goes_back_when_nothing_is_staged() {
    let (staging, quota) = staging();
    let page = staging.take(key(0), &quota).unwrap();
    assert_eq!(staging.release(&quota), 0);
    staging.give(page);
    assert_eq!(staging.release(&quota), PAGES * PAGE_SIZE);
    assert_eq!((quota.used(), staging.release(&quota)), (0, 0));
    // Whoever had it from the queue looked for it meanwhile.
    staging.requeue(page);
    assert_eq!(next(&staging, u64::MAX), None);
    assert_eq!(staging.take(key(1), &quota), Some(page));
    assert_eq!(next(&staging, u64::MAX), Some((page, key(1))));
}

#[test]
fn a_take_wakes_who_waits() {
    let (staging, quota) = staging();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while staging.fill().0 == 0 {
                staging.wait();
            }
        });
        while staging.sleeper.lock().is_none() {
            thread::yield_now();
        }
        assert!(staging.take(key(0), &quota).is_some());
        waiter.join().unwrap();
    });
}

#[test]
fn threads_have_parts_of_their_own_and_take_from_others_what_theirs_have_not() {
    let bytes = (GROWTH_PAGES as usize + 2) * PAGE_SIZE;
    let quota = Quota::new(1 << 30, 0);
    let staging = Staging::new(Heap::new(Staging::<Heap>::address_bytes(bytes)), bytes);
    let take = |thread| staging.take_as(thread, key(0), &quota);
    let part_of = |page: Option<u32>| page.map(|page| page / staging.most);
    assert_eq!((part_of(take(3)), quota.used()), (Some(3), (GROWTH_PAGES as usize * PAGE_SIZE) as u64));
    assert_eq!((part_of(take(5)), quota.used()), (Some(5), bytes as u64), "it grows by what is left");
    assert_eq!(part_of(take(PARTS + 5)), Some(5), "with more threads than parts some share one");
    assert_eq!(part_of(take(6)), Some(3));
    let taken: usize = 4 + std::iter::from_fn(|| take(6)).count();
    assert_eq!(
        (taken * PAGE_SIZE, staging.fill()),
        (bytes, (taken, taken)),
        "one has the whole buffer, wherever it is"
    );
    let queued: BTreeSet<_> = staging.queued(u64::MAX).map(|(page, _)| page).collect();
    assert_eq!(queued.len(), taken, "the queues of all are emptied");
    queued.into_iter().for_each(|page| staging.give(page));
    assert_eq!((staging.release(&quota), quota.used()), (bytes, 0));
}

#[test]
fn a_part_in_use_keeps_its_memory() {
    let bytes = 2 * GROWTH_PAGES as usize * PAGE_SIZE;
    let quota = Quota::new(1 << 30, 0);
    let staging = Staging::new(Heap::new(Staging::<Heap>::address_bytes(bytes)), bytes);
    let [one, two] = [0, 1].map(|thread| staging.take_as(thread, key(0), &quota).unwrap());
    staging.give(one);
    assert_eq!(staging.release(&quota), bytes / 2);
    assert_eq!(Vec::from_iter(staging.queued(u64::MAX)), [(two, key(0))]);
    staging.give(two);
    assert_eq!((staging.release(&quota), staging.release(&quota), quota.used()), (bytes / 2, 0, 0));
}
