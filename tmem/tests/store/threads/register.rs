//! Each key is an atomic register: a get sees a state that the key had between the get's begin and its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tmem::{Client, ClientConfig, Key, ObjectId, PoolKind, Status};

use super::{Dice, read_stamp, stamped};
use crate::guest::{BAD, Guest, get, put};

const WRITERS: u64 = 3;
const KEYS: u64 = 8;
const ROUNDS: u64 = 6_000;

/// The history of one key, which one thread writes: state `n` begins somewhere between `begun` and `done` reaching `n`.
#[derive(Default)]
struct History {
    begun: AtomicU64,
    done: AtomicU64,
}

/// What a state of a key is; the same for everybody, so that only its number needs to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Present,
}

fn state(version: u64) -> State {
    if version == 0 || version % 4 == 3 { State::Absent } else { State::Present }
}

/// Two writers' keys share an object and a leaf; the objects that one writer flushes whole are its own.
fn key(pool: u32, writer: u64, key: u64) -> Key {
    let own = u64::from(key >= KEYS / 2) * (1 + writer);
    Key { pool, object: ObjectId([own, 0, 0]), index: u32::try_from(key * WRITERS + writer).unwrap() }
}

fn name(writer: u64, key: u64) -> u64 {
    writer << 8 | key
}

fn write(client: &Client, pool: u32, writer: u64, histories: &[History]) {
    let mut dice = Dice::new(writer);
    for _ in 0..ROUNDS {
        let n = dice.below(KEYS);
        let history = &histories[usize::try_from(n).unwrap()];
        let key = key(pool, writer, n);
        let version = history.begun.load(Ordering::Relaxed) + 1;
        history.begun.store(version, Ordering::SeqCst);
        match state(version) {
            State::Present => {
                assert_eq!(put(client, key, stamped(name(writer, n), version)), Status::Ok);
                assert_eq!(get(client, key, false).map(|page| read_stamp(&page)), Ok((name(writer, n), version)));
            }
            State::Absent => {
                let status = match dice.below(3) {
                    0 => client.flush_range(key.pool, key.object, key.index, 1),
                    1 => client.put(key, BAD, &Guest::blank()),
                    _ => get(client, key, true).map_or_else(|status| status, |_| Status::Ok),
                };
                assert!(matches!(status, Status::Ok | Status::BadAddress), "{status:?}");
                assert!(matches!(get(client, key, false), Err(Status::Miss | Status::Empty)));
            }
        }
        history.done.store(version, Ordering::SeqCst);
    }
}

fn read(client: &Client, pool: u32, seed: u64, histories: &[Vec<History>]) {
    let mut dice = Dice::new(seed);
    for _ in 0..ROUNDS {
        let (writer, n) = (dice.below(WRITERS), dice.below(KEYS));
        let history = &histories[usize::try_from(writer).unwrap()][usize::try_from(n).unwrap()];
        let first = history.done.load(Ordering::SeqCst);
        let found = get(client, key(pool, writer, n), false);
        let last = history.begun.load(Ordering::SeqCst);
        match found {
            Ok(page) => {
                let (found, version) = read_stamp(&page);
                assert_eq!(found, name(writer, n), "another key's page");
                assert!((first..=last).contains(&version), "version {version}, not {first} to {last}");
            }
            Err(status) => {
                assert!(matches!(status, Status::Miss | Status::Empty));
                let absent = (first..=last).any(|version| state(version) == State::Absent);
                assert!(absent, "missed, between versions {first} and {last}");
            }
        }
    }
}

#[test]
fn a_get_sees_what_its_key_held_meanwhile() {
    let client = Client::new(ClientConfig::new(1 << 30, [7, 7])).unwrap();
    let pool = client.pool_new(PoolKind::Persistent).unwrap();
    let history = || (0..KEYS).map(|_| History::default()).collect();
    let histories: Vec<Vec<History>> = (0..WRITERS).map(|_| history()).collect();
    thread::scope(|scope| {
        let (client, histories) = (&client, &histories);
        for (writer, own) in (0..).zip(histories) {
            scope.spawn(move || write(client, pool, writer, own));
        }
        for reader in 0..2 {
            scope.spawn(move || read(client, pool, 100 + reader, histories));
        }
    });
    client.check_invariants();
}
