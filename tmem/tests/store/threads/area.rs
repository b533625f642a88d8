//! vCPUs that swap to and from one large area at once, each its own pages.

use std::collections::BTreeMap;
use std::thread;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Status};

use super::{Background, Dice, read_stamp, stamped, vcpus_beside};
use crate::guest::{get, put};

const THREADS: u32 = 4;
const ROUNDS: u64 = 30_000;
/// Neighbouring indexes that all threads have pages among: several leaves, which stay.
const COMMON: u32 = 4 * 512;
/// Pages of a leaf of a thread's own, which comes and goes.
const LEAF: u32 = 512;

fn vcpu(client: &Client, pool: u32, number: u32) {
    let mut dice = Dice::new(u64::from(number));
    let mut below = |end: u32| u32::try_from(dice.below(u64::from(end))).unwrap();
    let mut stored = BTreeMap::new();
    let own_leaf = (100 + number) * LEAF;
    for round in 0..ROUNDS {
        let index = match below(8) {
            0 => own_leaf + below(LEAF),
            _ => below(COMMON / THREADS) * THREADS + number,
        };
        let key = Key { pool, object: ObjectId([5; 3]), index };
        match below(16) {
            0..8 => {
                assert_eq!(put(client, key, stamped(u64::from(index), round)), Status::Ok);
                stored.insert(index, round);
            }
            8..14 => {
                let exclusive = below(3) == 0;
                let got = get(client, key, exclusive).ok().map(|page| read_stamp(&page));
                assert_eq!(got, stored.get(&index).map(|version| (u64::from(index), *version)), "page {index}");
                if exclusive {
                    stored.remove(&index);
                }
            }
            14 => {
                assert_eq!(client.flush_range(pool, key.object, index, 1), Status::Ok);
                stored.remove(&index);
            }
            _ => {
                assert_eq!(client.flush_range(pool, key.object, own_leaf, LEAF.into()), Status::Ok);
                stored.retain(|index, _| !(own_leaf..own_leaf + LEAF).contains(index));
            }
        }
    }
    for (index, version) in stored {
        let key = Key { pool, object: ObjectId([5; 3]), index };
        assert_eq!(read_stamp(&get(client, key, true).unwrap()), (u64::from(index), version));
    }
}

#[test]
fn of_a_large_area_each_vcpu_finds_its_own_pages_while_leaves_come_and_go() {
    // Room for a growth of each thread's part, and then some that they take from each other.
    let config = ClientConfig { staging_bytes: 3 << 20, ..ClientConfig::new(1 << 28, [3, 4]) };
    let client = Client::new(config).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let background: Background<'_> = Box::new(|| {
        client.compress_staged(client.staging_mark(), || true);
        client.reclaim(u64::MAX);
        thread::yield_now();
    });
    vcpus_beside(THREADS.into(), |number| vcpu(&client, pool, u32::try_from(number).unwrap()), vec![background]);
    let done = client.statistics();
    assert!(done.puts_staged > 1_000 && done.pages_unstaged > 1_000, "most puts went another way: {done:?}");
    assert_eq!((done.persistent_pages, client.staging_fill().0), (0, 0));
    client.check_invariants();
}
