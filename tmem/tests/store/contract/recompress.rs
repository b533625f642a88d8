//! Cold pages get smaller, and nothing else changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use tmem::{Client, ClientConfig, PoolKind, Status};

use super::{client, configured, ephemeral, key, persistent};
use crate::guest::{get, put};
use crate::pages::{pointers, random, text};

const PAGES: u32 = 600;

/// Whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client with that many pages of text in a pool.
fn filled(pool: impl Fn(&Client) -> u32) -> (Client, u32) {
    let client = client();
    let pool = pool(&client);
    for index in 0..PAGES {
        assert_eq!(put(&client, key(pool, index), text(u64::from(index))), Status::Ok);
    }
    (client, pool)
}

fn passes(client: &Client, count: u32) -> u64 {
    (0..count).map(|_| client.recompress(|| true).smaller).sum()
}

#[test]
fn a_page_that_nobody_loads_for_three_passes_gets_smaller() {
    let (client, pool) = filled(persistent);
    let before = client.statistics();
    assert_eq!(passes(&client, 3), 0);
    assert_eq!(client.recompress(|| true).smaller, u64::from(PAGES));
    let after = client.statistics();
    assert_eq!((after.zstd_pages, after.page_lz_pages), (u64::from(PAGES), 0));
    assert_eq!(after.pages_recompressed, u64::from(PAGES));
    assert!(after.persistent_bytes < before.persistent_bytes * 8 / 10, "{before:?} {after:?}");
    client.reclaim(u64::MAX);
    assert!(client.statistics().resident_bytes < before.resident_bytes * 9 / 10);
    for index in 0..PAGES {
        assert_eq!(get(&client, key(pool, index), false), Ok(text(u64::from(index))));
    }
    client.check_invariants();
}

#[test]
fn a_load_makes_a_page_young_again() {
    let (client, pool) = filled(persistent);
    passes(&client, 3);
    assert!(get(&client, key(pool, 7), false).is_ok());
    assert_eq!(client.recompress(|| true).smaller, u64::from(PAGES) - 1);
    assert_eq!(client.statistics().page_lz_pages, 1);
}

#[test]
fn ephemeral_pages_get_no_smaller() {
    let (client, _) = filled(ephemeral);
    assert_eq!(passes(&client, 8), 0);
}

#[test]
fn a_page_that_does_not_get_smaller_is_tried_once() {
    let client = client();
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 0), random(1)), Status::Ok);
    assert_eq!(put(&client, key(pool, 1), text(1)), Status::Ok);
    assert_eq!(put(&client, key(pool, 2), pointers(1)), Status::Ok);
    passes(&client, 4);
    assert_eq!(client.statistics().raw_pages, 1);
    let tries = |client: &Client| {
        let mut asked = 0;
        client.recompress(|| {
            asked += 1;
            true
        });
        asked
    };
    // Once for the leaf, and once more for each page tried.
    assert_eq!(tries(&client), 1);
    assert_eq!(put(&client, key(pool, 1), text(2)), Status::Ok);
    passes(&client, 3);
    assert_eq!(tries(&client), 2);
    client.check_invariants();
}

#[test]
fn it_stops_when_told_and_goes_on_where_it_was() {
    let (client, pool) = filled(persistent);
    passes(&client, 3);
    let mut left = 10;
    let stopped = client.recompress(|| {
        left -= 1;
        left > 0
    });
    assert_eq!((stopped.smaller, stopped.is_done), (9, false));
    client.check_invariants();
    passes(&client, 2);
    assert_eq!(client.statistics().zstd_pages, u64::from(PAGES));
    assert_eq!(get(&client, key(pool, 3), true), Ok(text(3)));
    client.check_invariants();
}

#[test]
fn it_is_done_when_every_page_is_as_small_as_it_gets_until_the_next_call() {
    let (client, pool) = filled(persistent);
    assert_eq!(put(&client, key(pool, PAGES), random(1)), Status::Ok);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for pass in 0..4 {
        client.wake_at_next_call(&waker);
        assert!(!client.recompress(|| true).is_done, "pass {pass}: pages get older or smaller");
    }
    assert!(woken.0.load(Ordering::Relaxed), "what is held has changed");
    // They left slabs behind that others may have room for.
    let done = (0..8).position(|_| client.recompress(|| true).is_done);
    assert!(done.is_some());
    assert!(get(&client, key(pool, 7), false).is_ok());
    assert!(client.recompress(|| true).is_done, "a page that was compressed once more stays so");
    assert_eq!(put(&client, key(pool, 7), text(7)), Status::Ok);
    assert!(!client.recompress(|| true).is_done);
}

#[test]
fn it_is_not_done_while_a_page_is_staged() {
    let client = configured(ClientConfig { staging_bytes: 1 << 20, ..ClientConfig::new(1 << 30, [0; 2]) });
    let pool = persistent(&client);
    assert_eq!(put(&client, key(pool, 0), text(0)), Status::Ok);
    for _ in 0..5 {
        assert!(!client.recompress(|| true).is_done);
    }
}

#[test]
fn who_waits_for_the_next_call_is_woken_by_every_call_of_its_guest() {
    let (client, pool) = filled(persistent);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    // Whether the call before this woke; asks for the next one.
    let was_woken = || {
        client.wake_at_next_call(&waker);
        woken.0.swap(false, Ordering::Relaxed)
    };
    assert!(!was_woken());
    put(&client, key(pool, 0), text(1));
    assert!(was_woken());
    get(&client, key(pool, 0), false).unwrap();
    assert!(was_woken());
    client.flush_range(pool, super::OBJECT, 0, 1);
    assert!(was_woken());
    client.pool_new(PoolKind::Ephemeral).unwrap();
    assert!(was_woken());
    client.flush_object(pool, super::OBJECT);
    assert!(was_woken());
    client.pool_destroy(pool);
    assert!(was_woken());
    client.hello();
    assert!(was_woken());
    client.statistics();
    client.recompress(|| true);
    client.set_limit(client.used_bytes());
    assert!(!was_woken(), "nothing is there to be made smaller");
    client.set_limit(1 << 30);
    assert!(was_woken(), "there may not have been room before");
}

/// Leaves one page in eight, all over the slabs, and a pass to move them together.
fn thin_out(client: &Client, pool: u32) {
    for index in (0..PAGES).filter(|index| index % 8 != 0) {
        assert_eq!(client.flush_range(pool, super::OBJECT, index, 1), Status::Ok);
    }
    client.reclaim(u64::MAX);
    let before = client.statistics();
    assert_eq!(client.recompress(|| true).smaller, 0);
    let after = client.statistics();
    assert!(after.pages_moved > 0 && after.resident_bytes < before.resident_bytes / 2, "{before:?} {after:?}");
    for index in (0..PAGES).step_by(8) {
        assert_eq!(get(client, key(pool, index), false), Ok(text(u64::from(index))));
    }
    client.check_invariants();
}

#[test]
fn pages_move_out_of_slabs_that_are_nearly_empty() {
    let (client, pool) = filled(persistent);
    thin_out(&client, pool);
}

#[test]
fn ephemeral_pages_move_too() {
    let (client, pool) = filled(ephemeral);
    thin_out(&client, pool);
    assert_eq!(client.statistics().pages_evicted, 0);
}

#[test]
fn at_the_limit_it_does_what_there_is_room_for() {
    let (client, pool) = filled(persistent);
    client.set_limit(client.statistics().resident_bytes);
    passes(&client, 8);
    assert!(client.statistics().resident_bytes <= client.statistics().limit_bytes);
    for index in 0..PAGES {
        assert_eq!(get(&client, key(pool, index), false), Ok(text(u64::from(index))));
    }
    client.check_invariants();
}

#[test]
fn a_cut_while_a_leaf_is_worked_on_takes_its_pages_too() {
    let (client, _) = filled(ephemeral);
    client.recompress(|| {
        client.set_limit(0);
        true
    });
    assert_eq!(client.statistics().ephemeral_pages, 0);
    client.check_invariants();
}
