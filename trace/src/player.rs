//! The guest of a replay: it asks a store for what was recorded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use tmem::{BadFrame, Client, CodecChoice, GuestPages, Key, PAGE_SIZE, Page, Status};

use crate::operation::Operation;
use crate::synthesis::Synthesis;

/// The frame of the one page that a replay's guest has.
const FRAME: u64 = 0;
/// A frame that it has not.
const NO_FRAME: u64 = 1;
/// A pool that the store never gives out.
const NO_POOL: u32 = 0;

/// Memory of one page.
#[derive(Debug)]
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

/// Plays recorded operations, one after the other, on a store that has no pools yet.
#[derive(Debug)]
pub struct Player {
    synthesis: Synthesis,
    memory: Memory,
    /// The pools of the guest's life: their ids here by those in the trace.
    pools: HashMap<u32, u32>,
    busy: Duration,
}

impl Player {
    /// A guest whose trace was recorded with `codec`.
    #[must_use]
    pub fn new(codec: CodecChoice) -> Self {
        Self {
            synthesis: Synthesis::new(codec),
            memory: Memory(RefCell::new([0; PAGE_SIZE])),
            pools: HashMap::new(),
            busy: Duration::ZERO,
        }
    }

    /// Carries an operation out on `client`, which is the same for all operations. The answer is `None` where
    /// [`Operation::answer`] is.
    pub fn play(&mut self, client: &Client, operation: &Operation) -> Option<Status> {
        if let Operation::Put { content: Some(content), .. } = operation {
            *self.memory.0.borrow_mut() = self.synthesis.page(content);
        }
        let started = Instant::now();
        let answer = self.carry_out(client, operation);
        self.busy += started.elapsed();
        answer
    }

    /// Time spent in the store.
    #[must_use]
    pub fn busy(&self) -> Duration {
        self.busy
    }

    fn carry_out(&mut self, client: &Client, operation: &Operation) -> Option<Status> {
        match *operation {
            Operation::Hello => {
                client.hello();
                self.pools.clear();
            }
            Operation::PoolNew { kind, answer } => {
                let here = client.pool_new(kind);
                if let (Ok(here), Ok(recorded)) = (here, answer) {
                    self.pools.insert(recorded, here);
                }
                return Some(here.err().unwrap_or(Status::Ok));
            }
            Operation::PoolDestroy { pool, .. } => return Some(client.pool_destroy(self.pool(pool))),
            Operation::Put { key, content, .. } => {
                let frame = if content.is_some() { FRAME } else { NO_FRAME };
                return Some(client.put(self.key(key), frame, &self.memory));
            }
            Operation::Get { key, exclusive, status } => {
                let frame = if status == Status::BadAddress { NO_FRAME } else { FRAME };
                return Some(client.get(self.key(key), frame, exclusive, &self.memory));
            }
            Operation::FlushRange { first, count, .. } => {
                let Key { pool, object, index } = self.key(first);
                return Some(client.flush_range(pool, object, index, count));
            }
            Operation::FlushObject { pool, object, .. } => return Some(client.flush_object(self.pool(pool), object)),
            Operation::SetLimit { bytes } => client.set_limit(bytes),
            Operation::Freeze => client.freeze(),
            Operation::Thaw => client.thaw(),
            Operation::FlushEphemeral { bytes } => drop(client.flush_ephemeral(bytes)),
        }
        None
    }

    fn pool(&self, recorded: u32) -> u32 {
        self.pools.get(&recorded).copied().unwrap_or(NO_POOL)
    }

    fn key(&self, key: Key) -> Key {
        Key { pool: self.pool(key.pool), ..key }
    }
}
