//! The BATCH call: several puts, gets and range flushes for one exit.

use super::counters::batched;
use super::dispatch::Hypercalls;
use super::registers::Reply;
use hypercall_abi::{BATCH_ENTRY_SIZE, BATCH_MAX, BATCH_STATUS_OFFSET, BatchEntry, Call, Status};
use std::time::{Duration, Instant};
use tmem::{Key, ObjectId};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend};

/// How long one batch may hold a vCPU before it is cut short.
const BATCH_TIME: Duration = Duration::from_millis(1);
/// The clock is looked at once in this many entries.
const CLOCK_INTERVAL: usize = 8;
const BATCH_BYTES: usize = BATCH_MAX as usize * BATCH_ENTRY_SIZE;

impl Hypercalls {
    /// Runs the entries in order. The array is copied in before it is read: the guest may change it meanwhile.
    pub(super) fn batch(&self, address: u64, count: u64) -> Reply {
        let done = |status, entries: usize| Reply { rdi: Some(entries as u64), ..Reply::from(status) };
        if count > u64::from(BATCH_MAX) {
            return done(Status::BadArgument, 0);
        }
        let Some(length) = usize::try_from(count).ok().and_then(|count| count.checked_mul(BATCH_ENTRY_SIZE)) else {
            return done(Status::BadArgument, 0);
        };
        if !address.is_multiple_of(BATCH_ENTRY_SIZE as u64) {
            return done(Status::BadAddress, 0);
        }
        if length == 0 {
            return done(Status::Ok, 0);
        }
        let mut bytes = [0; BATCH_BYTES];
        let array = GuestAddress(address);
        // A slice of guest memory lies in one region; an array over the end of one is refused here.
        match self.ram.get_slice(array, length) {
            Ok(slice) => slice.copy_to(&mut bytes[..length]),
            Err(_) => return done(Status::BadAddress, 0),
        };

        let started = Instant::now();
        let mut kinds = [0; 3];
        let (entries, _) = bytes[..length].as_chunks::<BATCH_ENTRY_SIZE>();
        let mut finished = 0;
        for (position, entry) in entries.iter().enumerate() {
            if position % CLOCK_INTERVAL == 0 && position > 0 && started.elapsed() > BATCH_TIME {
                break;
            }
            let status = self.entry(&BatchEntry::from_bytes(entry), &mut kinds);
            let offset = (position * BATCH_ENTRY_SIZE + BATCH_STATUS_OFFSET) as u64;
            let written = array.checked_add(offset).map(|at| self.ram.write_obj(status.code(), at));
            if !matches!(written, Some(Ok(()))) {
                self.counters.batch(kinds, true);
                return done(Status::BadAddress, finished);
            }
            finished = position + 1;
        }
        self.counters.batch(kinds, finished < entries.len());
        done(Status::Ok, finished)
    }

    fn entry(&self, entry: &BatchEntry, kinds: &mut [u64; 3]) -> Status {
        let call = Call::from_number(u32::from(entry.call));
        let Some((call, kind)) = call.and_then(|call| Some((call, batched(call)?))) else {
            self.counters.unknown_call();
            self.mistake(Status::BadCall, format_args!("call {:#x} in a batch", entry.call));
            return Status::BadCall;
        };
        kinds[kind] += 1;
        let key = Key { pool: entry.pool, object: ObjectId(entry.object), index: entry.index };
        let malformed = entry.reserved != [0; 2] || (entry.flags != 0 && call != Call::Get);
        let status = match call {
            // Whatever is wrong with a put on a valid pool, afterwards its key is absent.
            Call::Put if malformed => match self.store.flush_range(key, 1) {
                Status::Ok => Status::BadArgument,
                error => error,
            },
            _ if malformed => Status::BadArgument,
            Call::Put => self.put(key, entry.frame),
            Call::Get => self.get(key, entry.frame, u64::from(entry.flags)),
            _ => self.flush_range(key, entry.frame),
        };
        if status.is_error() {
            self.mistake(status, format_args!("{call:?} in a batch: {status:?}"));
        }
        status
    }
}
