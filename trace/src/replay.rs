//! Playing a trace on a store.

use std::io::BufRead;
use std::time::Duration;

use tmem::{Client, PAGE_SIZE};

use crate::error::ReadError;
use crate::operation::{Operation, Record};
use crate::player::Player;
use crate::reader::Reader;

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

/// Plays a trace on `client`, which has no pools yet, as fast as it goes and on this thread alone.
///
/// What the host did to the limit is done again where `limits` says so. With a client as
/// [`Header::config`](crate::Header::config) makes it, the answers are those of the recording but for operations that
/// overlapped, and what hangs on the last bytes of room: pages are made as large as recorded or very nearly so.
///
/// # Errors
/// Where the trace cannot be read; what stands before has been played.
pub fn replay<R: BufRead>(trace: Reader<R>, client: &Client, limits: bool) -> Result<Outcome, ReadError> {
    let mut player = Player::new(trace.header().codec);
    let mut outcome = Outcome::default();
    for record in trace {
        let operation = match record? {
            Record::Lost { operations } => {
                outcome.lost = outcome.lost.saturating_add(operations);
                continue;
            }
            Record::Operation { operation, .. } => operation,
        };
        let is_played = limits || !matches!(operation, Operation::SetLimit { .. });
        outcome.operations += 1;
        outcome.differing += u64::from(is_played && player.play(client, &operation) != operation.answer());
        if outcome.operations.is_multiple_of(SAMPLE_INTERVAL) {
            let statistics = client.statistics();
            let pages = statistics.persistent_pages + statistics.ephemeral_pages;
            outcome.held.0 += pages * PAGE_SIZE as u64;
            outcome.held.1 += statistics.resident_bytes;
        }
    }
    outcome.busy = player.busy();
    Ok(outcome)
}
