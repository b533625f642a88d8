use std::fs;
use std::time::Instant;

use tmem::{ClientConfig, Key, ObjectId, PoolKind, Statistics, Status};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::memory::{Pages, allocate};

/// Runs one page of text through a store with a background thread until `done`, and ends the thread.
fn store_a_page(staging_bytes: usize, start: impl Fn(&Arc<Client>) -> Background, done: impl Fn(&Statistics) -> bool) {
    let ram = allocate(1 << 20).unwrap();
    let config = ClientConfig { staging_bytes, ..ClientConfig::new(1 << 30, [0; 2]) };
    let client = Arc::new(Client::new(config).unwrap());
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let text: Vec<u8> = (0..4096_u32).flat_map(|n| (n % 97 * n).to_string().into_bytes()).take(4096).collect();
    ram.write_slice(&text, GuestAddress(0)).unwrap();

    let background = start(&client);
    assert_eq!(client.put(Key { pool, object: ObjectId([0; 3]), index: 0 }, 0, &Pages(&ram)), Status::Ok);
    let started = Instant::now();
    while !done(&client.statistics()) && started.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(done(&client.statistics()), "{:?}", client.statistics());
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

#[test]
fn an_idle_store_wakes_nobody() {
    let config = ClientConfig { staging_bytes: 64 << 10, ..ClientConfig::new(1 << 30, [0; 2]) };
    let client = Arc::new(Client::new(config).unwrap());
    // A name of its own, for the other tests have such a thread too.
    let _background = Background::start("idle", &client, compress::run).unwrap();
    // It looks for work until it has had none for a second.
    let started = Instant::now();
    let mut before = switches("idle");
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = switches("idle");
        if now == before {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{now} switches and no end");
        before = now;
    }
    assert!(before > 0, "the thread is the one that was counted");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(switches("idle"), before);
}
