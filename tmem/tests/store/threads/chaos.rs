//! Everything at once: no page is mixed or another key's, and the sums add up in the end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind};

use super::{Background, Dice, read_stamp, stamped, vcpus_beside};
use crate::guest::{BAD, Guest, get, put};

const THREADS: u64 = 4;
const ROUNDS: u64 = 8_000;
const POOLS: usize = 4;

fn random_key(dice: &mut Dice, pools: &[AtomicU32; POOLS]) -> (Key, u64) {
    let n = dice.below(POOLS as u64);
    let pool = pools[usize::try_from(n).unwrap()].load(Ordering::Relaxed);
    let (object, index) = (dice.below(4), dice.below(40) * 40);
    let key = Key { pool, object: ObjectId([object, 0, 0]), index: u32::try_from(index).unwrap() };
    (key, u64::from(pool) << 24 | object << 16 | index)
}

fn new_pool(client: &Client, dice: &mut Dice) -> u32 {
    let kind = if dice.below(2) == 0 { PoolKind::Persistent } else { PoolKind::Ephemeral };
    client.pool_new(kind).unwrap()
}

fn vcpu(client: &Client, seed: u64, pools: &[AtomicU32; POOLS]) {
    let mut dice = Dice::new(seed);
    for round in 0..ROUNDS {
        let (key, name) = random_key(&mut dice, pools);
        match dice.below(200) {
            0..90 => drop(put(client, key, stamped(name, round))),
            90..150 => {
                if let Ok(page) = get(client, key, dice.below(3) == 0) {
                    assert_eq!(read_stamp(&page).0, name, "another key's page");
                }
            }
            150..155 => drop(client.put(key, BAD, &Guest::blank())),
            155..160 => drop(client.get(key, BAD, true, &Guest::blank())),
            160..180 => drop(client.flush_range(key.pool, key.object, key.index, dice.below(900))),
            180..188 => drop(client.flush_object(key.pool, key.object)),
            188..191 => {
                let fresh = new_pool(client, &mut dice);
                let n = usize::try_from(dice.below(POOLS as u64)).unwrap();
                client.pool_destroy(pools[n].swap(fresh, Ordering::Relaxed));
            }
            191 if dice.below(20) == 0 => client.hello(),
            191..194 => client.set_limit(dice.below(1 << 21)),
            194..197 => drop(client.flush_ephemeral(dice.below(1 << 16))),
            197 => client.freeze(),
            _ => {
                client.thaw();
                client.reclaim(dice.below(50));
            }
        }
    }
}

#[test]
fn whatever_vcpus_and_host_do_at_once_pages_stay_whole_and_sums_add_up() {
    let config = ClientConfig { staging_bytes: 1 << 17, ..ClientConfig::new(1 << 21, [7, 7]) };
    let client = Client::new(config).unwrap();
    let mut dice = Dice::new(99);
    let pools: [AtomicU32; POOLS] = std::array::from_fn(|_| AtomicU32::new(new_pool(&client, &mut dice)));
    // All the time: the same pages get cold and smaller while they are loaded, replaced and flushed.
    let recompress: Background<'_> = Box::new(|| _ = client.recompress(|| true));
    let compress: Background<'_> = Box::new(|| {
        client.compress_staged(client.staging_mark(), || true);
        thread::yield_now();
    });
    vcpus_beside(THREADS, |seed| vcpu(&client, seed, &pools), vec![recompress, compress]);
    let done = client.statistics();
    assert!(done.pages_recompressed > 10 && done.pages_unstaged > 10, "the background had nothing to do: {done:?}");
    client.check_invariants();
    client.hello();
    client.check_invariants();
    assert_eq!(client.statistics().resident_bytes, 0);
}
