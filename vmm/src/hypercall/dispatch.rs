//! Which call, are its arguments sane, and what does the store say: a function without a KVM type.
//!
//! Every number here comes from the guest. A bad one costs that call, or that entry of a batch, and nothing else.

use super::counters::Counters;
use super::registers::{Registers, Reply, halves};
use super::report;
use crate::memory::{GuestRam, Pages};
use crate::mistakes::Mistakes;
use hypercall_abi::{
    ABI_VERSION, BATCH_MAX, Call, EVENT_FROZEN, FEATURE_BATCH, FEATURE_EPHEMERAL, FEATURE_EVENTS, FEATURE_PERSISTENT,
    FEATURE_REPORT, GET_EXCLUSIVE, POOL_PERSISTENT, POOL_SHARED, Report, Status,
};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmem::{Key, ObjectId, PoolKind};
use trace::RecordedClient;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Everything version 1 offers.
const FEATURES: u64 = FEATURE_PERSISTENT | FEATURE_EPHEMERAL | FEATURE_BATCH | FEATURE_EVENTS | FEATURE_REPORT;
/// Flushed pages that the event loop frees in one go.
const LEFTOVERS_AT_ONCE: u64 = 4096;
/// A range of this many indexes may cut off whole leaves of the index; a shorter one frees its pages in the call.
const CUTS_LEAVES: u64 = 512;

/// The hypercall interface of one life of a VM.
pub struct Hypercalls {
    pub(super) store: RecordedClient,
    pub(super) ram: Arc<GuestRam>,
    greeted: AtomicBool,
    report: Mutex<Option<(Report, Instant)>>,
    pub(super) counters: Counters,
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
    /// An interface to `store` for the guest that has `ram`. No call but HELLO works before HELLO.
    ///
    /// # Errors
    /// Where the host has no file descriptor left.
    pub fn new(store: impl Into<RecordedClient>, ram: Arc<GuestRam>) -> io::Result<Self> {
        Ok(Self {
            leftovers: EventFd::new(EFD_NONBLOCK)?,
            store: store.into(),
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
        let client = self.store.client();
        let freed = client.reclaim(LEFTOVERS_AT_ONCE);
        if freed > 0 || client.has_detached() {
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
        registers.call_number() == Call::Hello.number()
    }

    /// Answers one call.
    pub fn dispatch(&self, registers: &Registers) -> Reply {
        let number = registers.call_number();
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

    pub(super) fn mistake(&self, status: Status, what: fmt::Arguments<'_>) {
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
                Ok(pool) => self.flushed(self.store.pool_destroy(pool)).into(),
                Err(_) => Status::BadPool.into(),
            },
            Call::Put => self.put(Key { pool, object: ObjectId([r8, r9, r10]), index }, rsi).into(),
            Call::Get => self.get(Key { pool, object: ObjectId([r8, r9, r10]), index }, rsi, r11).into(),
            Call::FlushRange => self.flush_range(Key { pool, object: ObjectId([r8, r9, r10]), index }, rsi).into(),
            Call::FlushObject => match u32::try_from(rdi) {
                Ok(pool) => self.flushed(self.store.flush_object(pool, ObjectId([r8, r9, r10]))).into(),
                Err(_) => Status::BadPool.into(),
            },
            Call::Batch => self.batch(rdi, rsi),
            Call::Events => self.events(),
            Call::Report => match report::read(&self.ram, rdi) {
                Ok(report) => self.keep(report).into(),
                Err(status) => status.into(),
            },
        }
    }

    /// The flush itself is O(1); what it cut off is freed by the event loop, off the vCPU.
    fn flushed(&self, status: Status) -> Status {
        if status == Status::Ok {
            self.announce_leftovers();
        }
        status
    }

    /// Flushes `count` indexes from the key's on.
    pub(super) fn flush_range(&self, first: Key, count: u64) -> Status {
        let status = self.store.flush_range(first, count);
        if count >= CUTS_LEAVES { self.flushed(status) } else { status }
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
        self.store.hello();
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
        match self.store.pool_new(kind) {
            Ok(pool) => Reply { rdi: Some(u64::from(pool)), ..Status::Ok.into() },
            Err(status) => status.into(),
        }
    }

    pub(super) fn put(&self, key: Key, frame: u64) -> Status {
        self.store.put(key, frame, &Pages(&self.ram))
    }

    pub(super) fn get(&self, key: Key, frame: u64, flags: u64) -> Status {
        if flags & !GET_EXCLUSIVE != 0 {
            return Status::BadArgument;
        }
        self.store.get(key, frame, flags & GET_EXCLUSIVE != 0, &Pages(&self.ram))
    }

    fn events(&self) -> Reply {
        let bits = if self.store.client().is_frozen() { EVENT_FROZEN } else { 0 };
        Reply { rdi: Some(bits), rsi: Some(0), ..Status::Ok.into() }
    }

    fn keep(&self, report: Report) -> Status {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some((report, Instant::now()));
        Status::Ok
    }
}
