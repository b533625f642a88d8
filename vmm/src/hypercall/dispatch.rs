//! Which call, are its arguments sane, and what does the store say: a function without a KVM type.
//!
//! Every number here comes from the guest. A bad one costs that call, or that entry of a batch, and nothing else.

use super::counters::{Counters, batched};
use crate::memory::{GuestRam, Pages};
use crate::mistakes::Mistakes;
use hypercall_abi::{
    ABI_VERSION, BATCH_ENTRY_SIZE, BATCH_MAX, BATCH_STATUS_OFFSET, BatchEntry, Call, EVENT_FROZEN, FEATURE_BATCH,
    FEATURE_EPHEMERAL, FEATURE_EVENTS, FEATURE_PERSISTENT, FEATURE_REPORT, GET_EXCLUSIVE, POOL_PERSISTENT, POOL_SHARED,
    REPORT_ABOUT_TO_OOM, REPORT_SIZE, REPORT_SIZE_MAX, Report, Status,
};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmem::{Client, Key, ObjectId, PoolKind};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Everything version 1 offers.
const FEATURES: u64 = FEATURE_PERSISTENT | FEATURE_EPHEMERAL | FEATURE_BATCH | FEATURE_EVENTS | FEATURE_REPORT;
/// How long one batch may hold a vCPU before it is cut short.
const BATCH_TIME: Duration = Duration::from_millis(1);
/// Flushed pages that the event loop frees in one go.
const LEFTOVERS_AT_ONCE: u64 = 4096;
/// A range of this many indexes may cut off whole leaves of the index; a shorter one frees its pages in the call.
const CUTS_LEAVES: u64 = 512;
/// The clock is looked at once in this many entries.
const CLOCK_INTERVAL: usize = 8;
/// Largest value of `Report::psi_some` and `psi_full`: 100 %.
const PSI_MAX: u32 = 10_000;
const BATCH_BYTES: usize = BATCH_MAX as usize * BATCH_ENTRY_SIZE;

/// The registers of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the registers")]
pub struct Registers {
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
}

/// What a call answers: the status, and the registers that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Goes into `RAX`.
    pub status: Status,
    /// New value of `RDI`.
    pub rdi: Option<u64>,
    /// New value of `RSI`.
    pub rsi: Option<u64>,
    /// New value of `R8`.
    pub r8: Option<u64>,
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self { status, rdi: None, rsi: None, r8: None }
    }
}

/// The hypercall interface of one life of a VM.
pub struct Hypercalls {
    client: Arc<Client>,
    ram: Arc<GuestRam>,
    greeted: AtomicBool,
    report: Mutex<Option<(Report, Instant)>>,
    counters: Counters,
    mistakes: Mistakes,
    leftovers: EventFd,
}

impl fmt::Debug for Hypercalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hypercalls")
            .field("greeted", &self.greeted)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Hypercalls {
    /// An interface to `client` for the guest that has `ram`. No call but HELLO works before HELLO.
    ///
    /// # Errors
    /// Where the host has no file descriptor left.
    pub fn new(client: Arc<Client>, ram: Arc<GuestRam>) -> io::Result<Self> {
        Ok(Self {
            leftovers: EventFd::new(EFD_NONBLOCK)?,
            client,
            ram,
            greeted: AtomicBool::new(false),
            report: Mutex::new(None),
            counters: Counters::default(),
            mistakes: Mistakes::of("hypercall"),
        })
    }

    /// Readable when a pool or an object was flushed: what it held waits to be freed by [`free_leftovers`].
    ///
    /// [`free_leftovers`]: Self::free_leftovers
    #[must_use]
    pub fn leftovers(&self) -> &EventFd {
        &self.leftovers
    }

    /// Frees a bounded number of flushed pages. Where more are left, [`leftovers`](Self::leftovers) is readable again.
    pub fn free_leftovers(&self) {
        // Empty or not, the store is asked.
        let _ = self.leftovers.read();
        let freed = self.client.reclaim(LEFTOVERS_AT_ONCE);
        if freed > 0 || self.client.has_detached() {
            self.announce_leftovers();
        }
    }

    fn announce_leftovers(&self) {
        // It fails only where the counter is full, that is, where it is readable already.
        let _ = self.leftovers.write(1);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The guest's last report, and how old it is.
    #[must_use]
    pub fn report(&self) -> Option<(Report, Duration)> {
        let last = *self.report.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|(report, at)| (report, at.elapsed()))
    }

    /// Counts a write to the port that is no call.
    pub(super) fn not_a_call(&self) {
        self.counters.not_a_call();
        self.counters.error(Status::BadCall);
        self.mistakes.note("a write to the tmem port that is no 4-byte OUT of EAX");
    }

    /// Whether this call needs the vCPU's mode checked first: only 64-bit code may say HELLO, and nothing works
    /// without it. (What 32-bit code calls after 64-bit code said HELLO harms nobody but that guest.)
    #[must_use]
    pub fn is_hello(registers: &Registers) -> bool {
        call_number(registers) == Call::Hello.number()
    }

    /// Answers one call.
    pub fn dispatch(&self, registers: &Registers) -> Reply {
        let number = call_number(registers);
        let Some(call) = Call::from_number(number) else {
            self.counters.unknown_call();
            self.mistake(Status::BadCall, format_args!("unknown call {number:#x}"));
            return Status::BadCall.into();
        };
        self.counters.call(call);
        let reply = if call != Call::Hello && !self.greeted.load(Ordering::Acquire) {
            Status::BadVersion.into()
        } else {
            self.answer(call, registers)
        };
        if reply.status.is_error() {
            self.mistake(reply.status, format_args!("{call:?}: {:?}", reply.status));
        }
        reply
    }

    fn mistake(&self, status: Status, what: fmt::Arguments<'_>) {
        self.counters.error(status);
        self.mistakes.note(what);
    }

    fn answer(&self, call: Call, registers: &Registers) -> Reply {
        let Registers { rdi, rsi, r8, r9, r10, r11, .. } = *registers;
        let (pool, index) = halves(rdi);
        match call {
            Call::Hello => self.hello(rdi, rsi),
            Call::PoolNew => self.pool_new(rdi, rsi, r8),
            Call::PoolDestroy => match u32::try_from(rdi) {
                Ok(pool) => self.flushed(self.client.pool_destroy(pool)),
                Err(_) => Status::BadPool.into(),
            },
            Call::Put => self.put(Key { pool, object: ObjectId([r8, r9, r10]), index }, rsi).into(),
            Call::Get => self.get(Key { pool, object: ObjectId([r8, r9, r10]), index }, rsi, r11).into(),
            Call::FlushRange => {
                let status = self.client.flush_range(pool, ObjectId([r8, r9, r10]), index, rsi);
                if rsi >= CUTS_LEAVES { self.flushed(status) } else { status.into() }
            }
            Call::FlushObject => match u32::try_from(rdi) {
                Ok(pool) => self.flushed(self.client.flush_object(pool, ObjectId([r8, r9, r10]))),
                Err(_) => Status::BadPool.into(),
            },
            Call::Batch => self.batch(rdi, rsi),
            Call::Events => self.events(),
            Call::Report => self.take_report(rdi).into(),
        }
    }

    /// The flush itself is O(1); what it cut off is freed by the event loop, off the vCPU.
    fn flushed(&self, status: Status) -> Reply {
        if status == Status::Ok {
            self.announce_leftovers();
        }
        status.into()
    }

    fn hello(&self, version: u64, features: u64) -> Reply {
        let offer = Reply {
            status: Status::Ok,
            rdi: Some(u64::from(ABI_VERSION)),
            rsi: Some(FEATURES),
            r8: Some(u64::from(BATCH_MAX)),
        };
        if version != u64::from(ABI_VERSION) {
            return Reply { status: Status::BadVersion, ..offer };
        }
        if features & !FEATURES != 0 {
            return Reply { status: Status::BadArgument, ..offer };
        }
        self.client.hello();
        self.greeted.store(true, Ordering::Release);
        offer
    }

    fn pool_new(&self, flags: u64, uuid_low: u64, uuid_high: u64) -> Reply {
        let kind = match flags {
            0 => PoolKind::Ephemeral,
            POOL_PERSISTENT => PoolKind::Persistent,
            // The host has filled no shared pool.
            POOL_SHARED => return Status::Denied.into(),
            _ => return Status::BadArgument.into(),
        };
        if (uuid_low, uuid_high) != (0, 0) {
            return Status::BadArgument.into();
        }
        match self.client.pool_new(kind) {
            Ok(pool) => Reply { rdi: Some(u64::from(pool)), ..Status::Ok.into() },
            Err(status) => status.into(),
        }
    }

    fn put(&self, key: Key, frame: u64) -> Status {
        self.client.put(key, frame, &Pages(&self.ram))
    }

    fn get(&self, key: Key, frame: u64, flags: u64) -> Status {
        if flags & !GET_EXCLUSIVE != 0 {
            return Status::BadArgument;
        }
        self.client.get(key, frame, flags & GET_EXCLUSIVE != 0, &Pages(&self.ram))
    }

    fn events(&self) -> Reply {
        let bits = if self.client.is_frozen() { EVENT_FROZEN } else { 0 };
        Reply { rdi: Some(bits), rsi: Some(0), ..Status::Ok.into() }
    }

    /// Runs the entries in order. The array is copied in before it is read: the guest may change it meanwhile.
    fn batch(&self, address: u64, count: u64) -> Reply {
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
            Call::Put if malformed => match self.client.flush_range(key.pool, key.object, key.index, 1) {
                Status::Ok => Status::BadArgument,
                error => error,
            },
            _ if malformed => Status::BadArgument,
            Call::Put => self.put(key, entry.frame),
            Call::Get => self.get(key, entry.frame, u64::from(entry.flags)),
            _ => {
                let status = self.client.flush_range(key.pool, key.object, key.index, entry.frame);
                if entry.frame >= CUTS_LEAVES { self.flushed(status).status } else { status }
            }
        };
        if status.is_error() {
            self.mistake(status, format_args!("{call:?} in a batch: {status:?}"));
        }
        status
    }

    fn take_report(&self, address: u64) -> Status {
        let record = GuestAddress(address);
        let Ok(size) = self.ram.read_obj::<u32>(record) else { return Status::BadAddress };
        let Ok(size) = usize::try_from(size) else { return Status::BadArgument };
        if !(REPORT_SIZE..=REPORT_SIZE_MAX).contains(&size) {
            return Status::BadArgument;
        }
        let mut bytes = [0; REPORT_SIZE_MAX];
        if self.ram.read_slice(&mut bytes[..size], record).is_err() {
            return Status::BadAddress;
        }
        let Some((known, rest)) = bytes[..size].split_first_chunk::<REPORT_SIZE>() else { return Status::BadArgument };
        let report = Report::from_bytes(known);
        let is_sane = report.flags & !REPORT_ABOUT_TO_OOM == 0
            && report.psi_some <= PSI_MAX
            && report.psi_full <= PSI_MAX
            && rest.iter().all(|byte| *byte == 0);
        if !is_sane {
            return Status::BadArgument;
        }
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some((report, Instant::now()));
        Status::Ok
    }
}

/// `EAX`.
fn call_number(registers: &Registers) -> u32 {
    halves(registers.rax).1
}

/// The high and the low 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "taking the halves is the point")]
const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
