//! After a long life the store holds no more memory than a fresh one with the same pages.
//!
//! Pages of all sizes come, are replaced and go, in files and swap areas, while the number of them rises and falls and the
//! background does its work. Then every page is compared, and put into a fresh store; both are left to the background
//! until nothing gets smaller.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]
#![allow(missing_docs, reason = "a test's name says what it is for")]

mod contents;
mod life;

#[allow(dead_code, reason = "needs half of it")]
#[path = "../store/guest.rs"]
mod guest;
#[allow(dead_code, reason = "needs a few of them")]
#[path = "../store/pages.rs"]
mod pages;

use tmem::{Client, ClientConfig, PoolKind};

use contents::Contents;
use life::Life;

/// Passes after which everything is as small as it gets.
const PASSES: usize = 10;

fn client() -> (Client, [u32; 2]) {
    let config = ClientConfig { staging_bytes: 4 << 20, ..ClientConfig::new(1 << 40, [3, 4]) };
    let client = Client::new(config).unwrap();
    let pools = [PoolKind::Persistent, PoolKind::Ephemeral].map(|kind| client.pool_new(kind).unwrap());
    (client, pools)
}

/// What the background threads do, to its end.
fn settle(client: &Client) {
    // A page that was loaded while it was staged waits a round.
    for _ in 0..2 {
        client.compress_staged(u64::MAX, || true);
    }
    for _ in 0..PASSES {
        client.recompress(|| true);
    }
    while client.reclaim(u64::MAX) > 0 {}
}

/// Resident bytes of a store after `operations` and of a fresh one with the same pages.
fn churned_and_fresh(operations: u64) -> (u64, u64) {
    let contents = Contents::new();
    let (churned, pools) = client();
    let mut life = Life::new(&churned, &contents, pools);
    life.run(operations);
    let (fresh, pools) = client();
    life.copy_to(&fresh, pools);
    settle(&churned);
    settle(&fresh);
    churned.check_invariants();
    fresh.check_invariants();
    let (old, new) = (churned.statistics(), fresh.statistics());
    println!("{operations} operations\n{old:?}\n{new:?}");
    assert_eq!(old.persistent_pages, new.persistent_pages);
    assert_eq!(old.ephemeral_pages, new.ephemeral_pages);
    (old.resident_bytes, new.resident_bytes)
}

fn assert_within_a_twentieth((churned, fresh): (u64, u64)) {
    assert!(churned * 20 <= fresh * 21, "{churned} bytes resident, {fresh} in a fresh store");
}

#[test]
fn a_store_that_was_long_in_use_is_as_small_as_a_fresh_one() {
    assert_within_a_twentieth(churned_and_fresh(300_000));
}

#[test]
#[ignore = "minutes without optimisation; `cargo xtask soak` runs it"]
fn ten_million_operations_leave_it_as_small_as_a_fresh_one() {
    assert_within_a_twentieth(churned_and_fresh(10_000_000));
}
