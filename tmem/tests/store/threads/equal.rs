//! Equal pages of several vCPUs, merged while they are replaced, loaded and flushed.

use tmem::{Client, ClientConfig, Key, ObjectId, PAGE_SIZE, PoolKind, Status};

use super::{Background, Dice, vcpus_beside};
use crate::guest::{get, put};
use crate::pages::text;

const THREADS: u64 = 3;
const ROUNDS: u64 = 6_000;
/// Indexes of each thread, and the different pages that there are.
const INDEXES: u32 = 48;
const PAGES: u64 = 5;

/// Puts, loads and flushes pages of an object of its own, and knows what each of them is.
fn vcpu(client: &Client, pool: u32, thread: u64) {
    let mut dice = Dice::new(thread);
    let object = ObjectId([thread, 0, 0]);
    let mut held: Vec<Option<u64>> = (0..INDEXES).map(|_| None).collect();
    for _ in 0..ROUNDS {
        let n = dice.below(INDEXES.into());
        let (at, index) = (usize::try_from(n).unwrap(), u32::try_from(n).unwrap());
        let key = Key { pool, object, index };
        match dice.below(8) {
            0..4 => {
                let seed = dice.below(PAGES);
                assert_eq!(put(client, key, text(seed)), Status::Ok);
                held[at] = Some(seed);
            }
            4..7 => {
                let exclusive = dice.below(3) == 0;
                assert_eq!(get(client, key, exclusive).ok(), held[at].map(text));
                held[at] = held[at].filter(|_| !exclusive);
            }
            _ => {
                assert_eq!(client.flush_range(pool, object, index, 1), Status::Ok);
                held[at] = None;
            }
        }
    }
    for (index, seed) in (0..).zip(held) {
        assert_eq!(get(client, Key { pool, object, index }, false).ok(), seed.map(text));
    }
}

#[test]
fn a_page_that_others_share_is_as_safe_as_one_of_its_own() {
    let config = ClientConfig { staging_bytes: 64 * PAGE_SIZE, ..ClientConfig::new(1 << 30, [7, 8]) };
    let client = Client::new(config).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let background: Background<'_> = Box::new(|| {
        client.compress_staged(u64::MAX, || true);
        client.recompress(|| true);
    });
    vcpus_beside(THREADS, |thread| vcpu(&client, pool, thread), vec![background]);
    assert!(client.statistics().pages_merged > 100, "{:?}", client.statistics());
    client.check_invariants();
    client.hello();
    client.check_invariants();
    assert_eq!(client.statistics().resident_bytes, 0);
}
