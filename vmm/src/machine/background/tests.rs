use std::fs;
use std::time::Instant;

use tmem::{ClientConfig, Key, ObjectId, PoolKind, Statistics, Status};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::memory::{Pages, allocate};

/// A store, and a guest that puts a page of text in it, each under another number.
fn guest(staging_bytes: usize) -> (Arc<Client>, impl Fn(u32)) {
    let ram = allocate(1 << 20).unwrap();
    let config = ClientConfig { staging_bytes, ..ClientConfig::new(1 << 30, [0; 2]) };
    let client = Arc::new(Client::new(config).unwrap());
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let store = Arc::downgrade(&client);
    let put = move |index: u32| {
        let text: Vec<u8> =
            (0..4096_u32).flat_map(|n| (n % 97 * n + index).to_string().into_bytes()).take(4096).collect();
        ram.write_slice(&text, GuestAddress(0)).unwrap();
        let key = Key { pool, object: ObjectId([0; 3]), index };
        assert_eq!(store.upgrade().unwrap().put(key, 0, &Pages(&ram)), Status::Ok);
    };
    (client, put)
}

fn wait_until(client: &Client, done: impl Fn(&Statistics) -> bool) {
    let started = Instant::now();
    while !done(&client.statistics()) && started.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(done(&client.statistics()), "{:?}", client.statistics());
}

/// Runs one page through a store with a background thread until `done`, and ends the thread.
fn store_a_page(staging_bytes: usize, start: impl Fn(&Arc<Client>) -> Background, done: impl Fn(&Statistics) -> bool) {
    let (client, put) = guest(staging_bytes);
    let background = start(&client);
    put(0);
    wait_until(&client, done);
    drop(background);
    assert_eq!(Arc::strong_count(&client), 1);
}

#[test]
fn staged_pages_are_compressed_and_their_memory_goes_back_and_the_thread_ends_with_its_owner() {
    let back = |s: &Statistics| s.pages_unstaged == 1 && s.resident_bytes < 2 * 4096 + s.metadata_bytes;
    store_a_page(64 << 10, |client| Background::compress(client).unwrap(), back);
}

#[test]
fn cold_pages_get_smaller_by_themselves_and_the_thread_ends_with_its_owner() {
    let cold = Duration::from_millis(30);
    store_a_page(0, |client| Background::recompress(client, cold).unwrap(), |s| s.zstd_pages == 1);
}

/// How often the thread of this name has gone to sleep or was sent there, over its life.
fn switches(name: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let of_name = tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    let status = of_name.map(|task| fs::read_to_string(task.join("status")).unwrap_or_default());
    let lines = status.flat_map(|status| status.lines().map(str::to_owned).collect::<Vec<_>>());
    let counts = lines.filter(|line| line.contains("ctxt_switches"));
    counts.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

/// Waits until the thread of this name is never woken in a second.
fn assert_falls_asleep(name: &str) {
    let started = Instant::now();
    let mut before = switches(name);
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = switches(name);
        if now == before {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{now} switches and no end");
        before = now;
    }
    assert!(before > 0, "the thread is the one that was counted");
}

#[test]
fn an_idle_store_wakes_nobody() {
    let config = ClientConfig { staging_bytes: 64 << 10, ..ClientConfig::new(1 << 30, [0; 2]) };
    let client = Arc::new(Client::new(config).unwrap());
    // A name of its own, for the other tests have such a thread too.
    let _background = Background::start("idle", &client, compress::run).unwrap();
    assert_falls_asleep("idle");
}

#[test]
fn who_recompresses_sleeps_when_all_is_done_until_the_guest_calls_again() {
    let (client, put) = guest(0);
    let start = |client: &Arc<Client>, over: &Over| recompress::run(client, Duration::from_millis(30), over);
    let _background = Background::start("done", &client, start).unwrap();
    for pages in 1..3 {
        put(pages);
        wait_until(&client, |s| s.zstd_pages == u64::from(pages));
        assert_falls_asleep("done");
    }
}
