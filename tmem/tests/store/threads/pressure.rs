//! The host takes memory back and moves pages about, all the time: what was accepted is still there, and nothing else.

use std::collections::HashMap;
use std::thread;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Status};

use super::{Background, Dice, stamped, vcpus_beside};
use crate::guest::{get, put};

const VCPUS: u64 = 4;
const ROUNDS: u64 = 10_000;
/// Room for about half of what the vCPUs want to keep.
const LIMIT_BYTES: u64 = 1 << 20;
const STAGING_BYTES: usize = 128 << 10;

/// A vCPU with keys of its own, in objects and leaves that it shares with the others.
struct Vcpu<'a> {
    client: &'a Client,
    number: u64,
    pools: [u32; 2],
    dice: Dice,
    /// What each key of the persistent pool holds, and may hold of the ephemeral one.
    versions: HashMap<Key, u64>,
}

impl Vcpu<'_> {
    fn any_key(&mut self) -> Key {
        let pool = self.pools[usize::from(self.dice.below(3) == 0)];
        let (object, index) = match self.dice.below(3) {
            0 => (self.dice.below(30), 0),
            1 => (100, self.dice.below(40)),
            _ => (101, self.dice.below(20) * 100),
        };
        let index = u32::try_from(index * VCPUS + self.number).unwrap();
        Key { pool, object: ObjectId([object, 0, 0]), index }
    }

    fn run(&mut self) {
        for round in 1..=ROUNDS {
            let key = self.any_key();
            match self.dice.below(10) {
                0..4 => {
                    self.versions.remove(&key);
                    let status = put(self.client, key, stamped(self.name(key), round));
                    assert!(matches!(status, Status::Ok | Status::OverLimit | Status::Frozen), "{status:?}");
                    if status == Status::Ok {
                        self.versions.insert(key, round);
                    }
                }
                4..7 => self.check(key, false),
                7 => self.check(key, true),
                _ => {
                    assert_eq!(self.client.flush_range(key.pool, key.object, key.index, 1), Status::Ok);
                    self.versions.remove(&key);
                }
            }
        }
    }

    /// The page is the newest one or none: in a persistent pool the newest one, and after a miss none.
    fn check(&mut self, key: Key, exclusive: bool) {
        let version = self.versions.get(&key).copied();
        match get(self.client, key, exclusive) {
            Ok(page) => {
                let newest = version.map(|version| stamped(self.name(key), version));
                assert!(Some(page) == newest, "{key:?} is not version {version:?}");
                if exclusive {
                    self.versions.remove(&key);
                }
            }
            Err(status) => {
                assert!(matches!(status, Status::Miss | Status::Empty), "{status:?}");
                assert!(version.is_none() || key.pool == self.pools[1], "{key:?} was accepted and is lost");
                self.versions.remove(&key);
            }
        }
    }

    fn check_all(&mut self) {
        let keys: Vec<Key> = self.versions.keys().copied().collect();
        keys.into_iter().for_each(|key| self.check(key, false));
    }

    fn name(&self, key: Key) -> u64 {
        u64::from(key.pool) << 20 | key.object.0[0] << 13 | u64::from(key.index)
    }
}

/// Cuts and restores the limit, takes ephemeral pages, freezes, and frees what was flushed.
fn host(client: &Client, dice: &mut Dice) {
    match dice.below(8) {
        0 => client.set_limit(dice.below(LIMIT_BYTES)),
        1..4 => client.set_limit(LIMIT_BYTES),
        4 => {
            client.flush_ephemeral(dice.below(LIMIT_BYTES / 4));
        }
        5 => {
            client.freeze();
            thread::yield_now();
            client.thaw();
        }
        _ => {
            client.reclaim(dice.below(100));
        }
    }
    thread::yield_now();
}

#[test]
fn what_was_accepted_outlives_cuts_of_the_limit_moves_and_recompression() {
    let config = ClientConfig { staging_bytes: STAGING_BYTES, ..ClientConfig::new(LIMIT_BYTES, [7, 7]) };
    let client = Client::new(config).unwrap();
    let pools = [PoolKind::Persistent, PoolKind::Ephemeral].map(|kind| client.pool_new(kind).unwrap());
    let run = |number| {
        let mut vcpu = Vcpu { client: &client, number, pools, dice: Dice::new(number), versions: HashMap::new() };
        vcpu.run();
        vcpu
    };
    let mut dice = Dice::new(77);
    let background: Vec<Background<'_>> = vec![
        Box::new(|| host(&client, &mut dice)),
        Box::new(|| _ = client.recompress(|| true)),
        Box::new(|| _ = client.compress_staged(client.staging_mark(), || true)),
    ];
    vcpus_beside(VCPUS, run, background).iter_mut().for_each(Vcpu::check_all);
    let done = client.statistics();
    let each = [done.pages_recompressed, done.pages_moved, done.pages_unstaged, done.pages_evicted];
    assert!(each.iter().all(|count| *count > 10), "too little happened: {done:?}");
    assert!(done.puts_rejected_over_limit > 10, "the limit was never in the way: {done:?}");
    client.check_invariants();
}
