//! Exclusive gets: a page that was put once is taken once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Status};

use super::{Dice, read_stamp, stamped};
use crate::guest::{get, put};

const THREADS: u64 = 4;
const ROUNDS: u64 = 5_000;
const KEYS: u64 = 3;

#[test]
fn each_accepted_page_is_taken_at_most_once() {
    let client = Client::new(ClientConfig::new(1 << 30, [7, 7])).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let taken: Vec<AtomicBool> = (0..THREADS * ROUNDS).map(|_| AtomicBool::new(false)).collect();
    let takes = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, taken, takes) = (&client, &taken, &takes);
            scope.spawn(move || {
                let mut dice = Dice::new(thread);
                for round in 0..ROUNDS {
                    let n = dice.below(KEYS);
                    let key = Key { pool, object: ObjectId([0, n, 0]), index: 5 };
                    if dice.below(2) == 0 {
                        assert_eq!(put(client, key, stamped(n, thread * ROUNDS + round)), Status::Ok);
                    } else if let Ok(page) = get(client, key, true) {
                        let (name, put) = read_stamp(&page);
                        assert_eq!(name, n, "another key's page");
                        let before = taken[usize::try_from(put).unwrap()].swap(true, Ordering::Relaxed);
                        assert!(!before, "put {put} was taken twice");
                        takes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(client.statistics().gets_exclusive, takes.into_inner());
    // With duplicates and what is left, every accepted put is accounted for.
    client.check_invariants();
}

#[test]
fn of_many_vcpus_that_fault_on_one_page_one_takes_it() {
    let client = Client::new(ClientConfig::new(1 << 30, [7, 7])).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let key = Key { pool, object: ObjectId([0; 3]), index: 0 };
    for round in 0..2_000 {
        assert_eq!(put(&client, key, stamped(0, round)), Status::Ok);
        let takes: usize = thread::scope(|scope| {
            let take = || usize::from(get(&client, key, true).is_ok());
            let others = [scope.spawn(take), scope.spawn(take)];
            take() + others.into_iter().map(|other| other.join().unwrap()).sum::<usize>()
        });
        assert_eq!(takes, 1);
    }
    client.check_invariants();
}
