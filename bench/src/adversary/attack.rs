//! What a hostile guest does.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use tmem::{BadFrame, Client, ClientConfig, GuestPages, Key, ObjectId, Page, PoolKind, Statistics, Status};

use super::victim::next;

/// The key of its hash, which it does not know.
const KEY: [u64; 2] = [0x6e6f_7468, 0x6572_6b65];
/// Calls between two looks at whether it is over.
const BURST: u64 = 256;

/// One way to be hostile.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    burst: fn(&Attacker, u64),
}

pub(super) const ALL: &[Attack] = &[
    Attack { name: "a thread that computes", burst: |_, n| compute(n) },
    Attack { name: "noise, persistent", burst: |attacker, n| attacker.fill(PoolKind::Persistent, Made::Noise, n) },
    Attack { name: "noise, ephemeral", burst: |attacker, n| attacker.fill(PoolKind::Ephemeral, Made::Noise, n) },
    Attack { name: "one page over and over", burst: |attacker, n| attacker.fill(PoolKind::Persistent, Made::Same, n) },
    Attack {
        name: "an object a page, persistent",
        burst: |attacker, n| attacker.scatter(PoolKind::Persistent, n, [n, 0, 0]),
    },
    Attack {
        name: "an object a page, ephemeral",
        burst: |attacker, n| attacker.scatter(PoolKind::Ephemeral, n, [n, 0, 0]),
    },
    Attack { name: "a leaf a page", burst: Attacker::stride },
    Attack { name: "flushes of ranges", burst: Attacker::flush_ranges },
    Attack { name: "flushes of objects and pools", burst: Attacker::flush_all },
    Attack {
        name: "ids by their upper bits",
        burst: |attacker, n| attacker.scatter(PoolKind::Ephemeral, n, [n << 40, 0, 0]),
    },
    Attack {
        name: "ids whose words sum to 0",
        burst: |attacker, n| attacker.scatter(PoolKind::Ephemeral, n, [n, n.wrapping_neg(), 0]),
    },
    Attack { name: "ids whose words cancel", burst: |attacker, n| attacker.scatter(PoolKind::Ephemeral, n, [n, n, 0]) },
];

/// A guest that attacks.
pub(super) struct Attacker {
    attack: Attack,
    client: Client,
    persistent: u32,
    ephemeral: u32,
}

/// Pages of the attacker.
#[derive(Clone, Copy)]
enum Made {
    /// Different for each frame, and not to be compressed.
    Noise,
    /// The same for each, and not same-filled.
    Same,
    /// Zeros.
    Empty,
}

impl GuestPages for Made {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        let mut state = match self {
            Self::Noise => frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            Self::Same => 1,
            Self::Empty => 0,
        };
        for word in into.as_chunks_mut::<8>().0 {
            state = next(state);
            *word = if matches!(self, Self::Same) { state & 0xff } else { state }.to_le_bytes();
        }
        Ok(())
    }

    fn write_page(&self, _: u64, _: &Page) -> Result<(), BadFrame> {
        Err(BadFrame)
    }
}

impl Attacker {
    pub(super) fn new(attack: Attack, limit_bytes: u64) -> Result<Self> {
        let client = Client::new(ClientConfig::new(limit_bytes, KEY))?;
        let pool = |kind| client.pool_new(kind).map_err(|status| anyhow::anyhow!("no pool: {status:?}"));
        let (persistent, ephemeral) = (pool(PoolKind::Persistent)?, pool(PoolKind::Ephemeral)?);
        Ok(Self { attack, client, persistent, ephemeral })
    }

    /// Attacks until it is over. Returns the number of rounds of calls.
    pub(super) fn run(&self, over: &AtomicBool) -> Result<u64> {
        let limit = self.statistics().limit_bytes;
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            (n..n + BURST).for_each(|n| (self.attack.burst)(self, n));
            n += BURST;
            let held = self.statistics().resident_bytes;
            ensure!(held <= limit, "{}: {held} bytes held, {limit} allowed", self.attack.name);
        }
        Ok(n)
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.client.statistics()
    }

    fn pool(&self, kind: PoolKind) -> u32 {
        match kind {
            PoolKind::Persistent => self.persistent,
            PoolKind::Ephemeral => self.ephemeral,
        }
    }

    /// One page more of an object.
    fn fill(&self, kind: PoolKind, made: Made, n: u64) {
        self.put(Key { pool: self.pool(kind), object: ObjectId([1; 3]), index: low_bits(n) }, made, n);
    }

    /// The only page of an object.
    fn scatter(&self, kind: PoolKind, n: u64, id: [u64; 3]) {
        self.put(Key { pool: self.pool(kind), object: ObjectId(id), index: 0 }, Made::Empty, n);
    }

    /// The only page of a leaf.
    fn stride(&self, n: u64) {
        let index = low_bits(n.wrapping_mul(512));
        self.put(Key { pool: self.persistent, object: ObjectId([1; 3]), index }, Made::Empty, n);
    }

    /// Sixteen pages, and ranges that cover far more than them.
    fn flush_ranges(&self, n: u64) {
        let object = ObjectId([n % 64; 3]);
        for at in 0..16 {
            self.put(Key { pool: self.persistent, object, index: at * 0x0ff0_0123 }, Made::Noise, n);
        }
        self.client.flush_range(self.persistent, object, 1, u64::from(u32::MAX) - 1);
        self.client.flush_range(self.persistent, object, low_bits(n), 1 << 16);
    }

    /// Objects and pools that are filled to be flushed.
    fn flush_all(&self, n: u64) {
        let Ok(pool) = self.client.pool_new(PoolKind::Persistent) else { return };
        for object in 0..4 {
            for index in 0..8 {
                self.put(Key { pool, object: ObjectId([object; 3]), index: index * 100 }, Made::Noise, n);
            }
            self.client.flush_object(pool, ObjectId([object; 3]));
        }
        self.client.pool_destroy(pool);
    }

    fn put(&self, key: Key, made: Made, frame: u64) {
        // At its limit an attacker is told so; what matters is what that costs others.
        let _: Status = self.client.put(key, frame, &made);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an attacker starts again where its numbers end")]
fn low_bits(n: u64) -> u32 {
    n as u32
}

fn compute(n: u64) {
    let state = (0..2000).fold(n | 1, |state, _| next(state));
    std::hint::black_box(state);
}
