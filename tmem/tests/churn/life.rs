//! Operations on a store, and what must be in it.

use std::collections::HashMap;

use tmem::{Client, Key, ObjectId, Status};

use crate::contents::Contents;
use crate::guest::{get, put};
use crate::pages::Noise;

/// Operations from one tide to the next.
const TIDE: u64 = 50_000;
/// Pages at low and at high tide.
const LOW: usize = 4_000;
const HIGH: usize = 40_000;
/// Operations from one pass of the background to the next.
const BACKGROUND: u64 = 20_000;
/// Objects of each kind.
const FILES: u64 = 20_000;
const LIBRARIES: u64 = 40;
const SWAP_AREAS: u64 = 2;

/// A store with its history.
pub struct Life<'a> {
    client: &'a Client,
    contents: &'a Contents,
    pools: [u32; 2],
    noise: Noise,
    /// Seed of each page, and where its key is in `keys`.
    pages: HashMap<Key, (u64, usize)>,
    keys: Vec<Key>,
}

impl<'a> Life<'a> {
    pub fn new(client: &'a Client, contents: &'a Contents, pools: [u32; 2]) -> Self {
        Self { client, contents, pools, noise: Noise(11), pages: HashMap::new(), keys: Vec::new() }
    }

    pub fn run(&mut self, operations: u64) {
        for n in 0..operations {
            let high = (n / TIDE).is_multiple_of(2);
            let grow = if high { self.keys.len() < HIGH } else { self.keys.len() < LOW };
            // Towards the tide's mark three operations of four go its way.
            let forth = self.below(4) > 0;
            match self.below(10) {
                0 => self.replace(),
                1 | 2 => self.load(false),
                _ if grow == forth => self.store(),
                3..6 => self.load(true),
                6..9 => self.flush_range(),
                _ => self.flush_object(),
            }
            if n % BACKGROUND == BACKGROUND - 1 {
                self.client.compress_staged(self.client.staging_mark(), || true);
                self.client.recompress(|| true);
                self.client.reclaim(4096);
            }
        }
    }

    /// Puts every page into another store, and compares it.
    pub fn copy_to(&self, other: &Client, pools: [u32; 2]) {
        for key in &self.keys {
            let page = get(self.client, *key, false).unwrap();
            assert_eq!(page, self.contents.page(self.pages[key].0), "{key:?}");
            let pool = pools[usize::from(key.pool == self.pools[1])];
            assert_eq!(put(other, Key { pool, ..*key }, page), Status::Ok);
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.noise.next().unwrap() % end
    }

    /// A key in a swap area, a library or a small file.
    fn any_key(&mut self) -> Key {
        let pool = self.pools[usize::from(self.below(4) == 0)];
        let (object, indexes) = match self.below(4) {
            0 | 1 => (self.below(SWAP_AREAS), 50_000),
            2 => (100 + self.below(LIBRARIES), 600),
            _ => (1000 + self.below(FILES), 6),
        };
        Key { pool, object: ObjectId([object, 0, 0]), index: u32::try_from(self.below(indexes)).unwrap() }
    }

    fn present_key(&mut self) -> Option<Key> {
        let at = self.below(self.keys.len().max(1) as u64);
        self.keys.get(usize::try_from(at).unwrap()).copied()
    }

    fn store(&mut self) {
        let key = self.any_key();
        self.store_at(key);
    }

    fn store_at(&mut self, key: Key) {
        let seed = self.noise.next().unwrap();
        assert_eq!(put(self.client, key, self.contents.page(seed)), Status::Ok);
        let at = self.keys.len();
        let entry = self.pages.entry(key).or_insert((seed, at));
        entry.0 = seed;
        if entry.1 == at {
            self.keys.push(key);
        }
    }

    fn replace(&mut self) {
        if let Some(key) = self.present_key() {
            self.store_at(key);
        }
    }

    fn load(&mut self, exclusive: bool) {
        let Some(key) = self.present_key() else { return };
        assert_eq!(get(self.client, key, exclusive), Ok(self.contents.page(self.pages[&key].0)), "{key:?}");
        if exclusive {
            self.forget(key);
        }
    }

    fn flush_range(&mut self) {
        let Some(key) = self.present_key() else { return };
        let count = u32::try_from(1 + self.below(8)).unwrap();
        assert_eq!(self.client.flush_range(key.pool, key.object, key.index, count.into()), Status::Ok);
        (0..count).for_each(|n| self.forget(Key { index: key.index + n, ..key }));
    }

    /// Flushes a file or a library; a swap area would end the tide.
    fn flush_object(&mut self) {
        let Some(key) = self.present_key().filter(|key| key.object.0[0] >= 100) else { return };
        assert_eq!(self.client.flush_object(key.pool, key.object), Status::Ok);
        (0..600).for_each(|index| self.forget(Key { index, ..key }));
    }

    fn forget(&mut self, key: Key) {
        let Some((_, at)) = self.pages.remove(&key) else { return };
        self.keys.swap_remove(at);
        if let Some(moved) = self.keys.get(at) {
            self.pages.get_mut(moved).unwrap().1 = at;
        }
    }
}
