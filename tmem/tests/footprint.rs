//! What the store says it holds is what the process's resident memory shows. Alone in its process, so that nothing else
//! changes that.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

#[allow(dead_code, reason = "needs half of it")]
#[path = "store/guest.rs"]
mod guest;
#[path = "store/pages.rs"]
mod pages;

use std::fs;

use guest::{get, put};
use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Status};

/// Resident memory of this process, in bytes.
fn process_resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn assert_close(claimed: u64, real: u64, percent: u64) {
    let apart = claimed.abs_diff(real);
    assert!(apart * 100 <= real * percent, "{claimed} bytes claimed, {real} bytes resident");
}

fn client() -> (Client, u32) {
    let client = Client::new(ClientConfig::new(1 << 40, [5, 6])).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    // The thread's buffers belong to nobody's account.
    let key = Key { pool, object: ObjectId([9; 3]), index: 0 };
    assert_eq!(put(&client, key, pages::text(0)), Status::Ok);
    assert!(get(&client, key, true).is_ok());
    (client, pool)
}

/// Stores `count` pages and returns what the client says and what the process shows for them.
fn growth(client: &Client, name: impl Fn(u32) -> Key, page: fn(u64) -> tmem::Page, count: u32) -> (u64, u64) {
    let before = (client.statistics().resident_bytes, process_resident_bytes());
    for n in 0..count {
        assert_eq!(put(client, name(n), page(n.into())), Status::Ok);
    }
    (client.statistics().resident_bytes - before.0, process_resident_bytes() - before.1)
}

#[test]
fn the_account_is_the_processs_resident_memory() {
    let (client, pool) = client();
    let swap = move |object: u64| move |index| Key { pool, object: ObjectId([object, 0, 0]), index };

    let (claimed, real) = growth(&client, swap(1), pages::random, 20_000);
    assert_close(claimed, real, 2);
    let (claimed, real) = growth(&client, swap(2), pages::text, 40_000);
    assert_close(claimed, real, 2);
    let (claimed, real) = growth(&client, swap(3), pages::mixed, 40_000);
    assert_close(claimed, real, 2);

    // One page each: nearly all of it is the index, on a heap whose blocks are rounded and whose map doubles.
    let files = |n| Key { pool, object: ObjectId([n, 7, 7].map(u64::from)), index: 0 };
    let (claimed, real) = growth(&client, files, |_| [0; tmem::PAGE_SIZE], 100_000);
    assert_close(claimed, real, 15);
    assert!(claimed >= real * 95 / 100, "the host must not pay: {claimed} bytes claimed, {real} bytes resident");

    let before = process_resident_bytes();
    let held = client.statistics().resident_bytes;
    client.hello();
    assert_eq!(client.statistics().resident_bytes, 0);
    assert!(before - process_resident_bytes() > held * 3 / 4, "the memory is back at the host");
}
