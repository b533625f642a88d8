//! Playing a trace on a store.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

use tmem::{BadFrame, Client, GuestPages, Key, PAGE_SIZE, Page, Status};

use crate::error::ReadError;
use crate::operation::{Operation, Record};
use crate::reader::Reader;
use crate::synthesis::Synthesis;

/// The frame of the one page that a replay's guest has.
const FRAME: u64 = 0;
/// A frame that it has not.
const NO_FRAME: u64 = 1;
/// A pool that the store never gives out.
const NO_POOL: u32 = 0;
/// The store's holdings are looked at once in this many operations.
const SAMPLE_INTERVAL: u64 = 512;

/// What a replay did, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations played.
    pub operations: u64,
    /// Operations that were answered in another way than when they were recorded.
    pub differing: u64,
    /// Operations that the trace says it lacks.
    pub lost: u64,
    /// Time spent in the store.
    pub busy: Duration,
    /// Bytes of the pages held, and resident bytes charged for them: sums over samples at equal distances.
    pub held: (u64, u64),
}

/// Memory of one page.
struct Memory(RefCell<Page>);

impl GuestPages for Memory {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        if frame != FRAME {
            return Err(BadFrame);
        }
        *into = *self.0.borrow();
        Ok(())
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        if frame != FRAME {
            return Err(BadFrame);
        }
        *self.0.borrow_mut() = *from;
        Ok(())
    }
}

/// Plays a trace on `client`, which has no pools yet, as fast as it goes and on this thread alone.
///
/// What the host did to the limit is done again where `limits` says so. With a client as
/// [`Header::config`](crate::Header::config) makes it, the answers are those of the recording but for operations that
/// overlapped, and what hangs on the last bytes of room: pages are made as large as recorded or very nearly so.
///
/// # Errors
/// Where the trace cannot be read; what stands before has been played.
pub fn replay<R: BufRead>(mut trace: Reader<R>, client: &Client, limits: bool) -> Result<Outcome, ReadError> {
    let synthesis = Synthesis::new(trace.header().codec);
    let mut player = Player {
        client,
        limits,
        synthesis,
        memory: Memory(RefCell::new([0; PAGE_SIZE])),
        pools: HashMap::new(),
        outcome: Outcome::default(),
    };
    trace.try_for_each(|record| {
        player.play(record?);
        Ok(())
    })?;
    Ok(player.outcome)
}

struct Player<'a> {
    client: &'a Client,
    limits: bool,
    synthesis: Synthesis,
    memory: Memory,
    /// The pools of the guest's life: their ids here by those in the trace.
    pools: HashMap<u32, u32>,
    outcome: Outcome,
}

impl Player<'_> {
    fn play(&mut self, record: Record) {
        let operation = match record {
            Record::Lost { operations } => {
                self.outcome.lost = self.outcome.lost.saturating_add(operations);
                return;
            }
            Record::Operation { operation, .. } => operation,
        };
        if let Operation::Put { content: Some(content), .. } = operation {
            *self.memory.0.borrow_mut() = self.synthesis.page(&content);
        }
        let started = Instant::now();
        let same = self.carry_out(operation);
        self.outcome.busy += started.elapsed();
        self.outcome.operations += 1;
        self.outcome.differing += u64::from(!same);
        if self.outcome.operations.is_multiple_of(SAMPLE_INTERVAL) {
            let statistics = self.client.statistics();
            let pages = statistics.persistent_pages + statistics.ephemeral_pages;
            self.outcome.held.0 += pages * PAGE_SIZE as u64;
            self.outcome.held.1 += statistics.resident_bytes;
        }
    }

    /// Returns whether the answer is the recorded one.
    fn carry_out(&mut self, operation: Operation) -> bool {
        let client = self.client;
        match operation {
            Operation::Hello => {
                client.hello();
                self.pools.clear();
            }
            Operation::PoolNew { kind, answer } => return self.pool_new(client.pool_new(kind), answer),
            Operation::PoolDestroy { pool, status } => return client.pool_destroy(self.pool(pool)) == status,
            Operation::Put { key, content, status } => {
                let frame = if content.is_some() { FRAME } else { NO_FRAME };
                return client.put(self.key(key), frame, &self.memory) == status;
            }
            Operation::Get { key, exclusive, status } => {
                let frame = if status == Status::BadAddress { NO_FRAME } else { FRAME };
                return client.get(self.key(key), frame, exclusive, &self.memory) == status;
            }
            Operation::FlushRange { first, count, status } => {
                let Key { pool, object, index } = self.key(first);
                return client.flush_range(pool, object, index, count) == status;
            }
            Operation::FlushObject { pool, object, status } => {
                return client.flush_object(self.pool(pool), object) == status;
            }
            Operation::SetLimit { bytes } if self.limits => client.set_limit(bytes),
            Operation::SetLimit { .. } => {}
            Operation::Freeze => client.freeze(),
            Operation::Thaw => client.thaw(),
            Operation::FlushEphemeral { bytes } => drop(client.flush_ephemeral(bytes)),
        }
        true
    }

    fn pool_new(&mut self, here: Result<u32, Status>, recorded: Result<u32, Status>) -> bool {
        match (here, recorded) {
            (Ok(here), Ok(recorded)) => {
                self.pools.insert(recorded, here);
                true
            }
            (here, recorded) => here == recorded,
        }
    }

    fn pool(&self, recorded: u32) -> u32 {
        self.pools.get(&recorded).copied().unwrap_or(NO_POOL)
    }

    fn key(&self, key: Key) -> Key {
        Key { pool: self.pool(key.pool), ..key }
    }
}
