//! What the hypercall path counts.

use hypercall_abi::{Call, Status};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the hypercall path; each is exact and counts from the guest's start.
#[derive(Debug, Default)]
pub struct Counters {
    calls: [AtomicU64; Call::ALL.len()],
    entries: [AtomicU64; 3],
    batches: [AtomicU64; 3],
    batches_cut: AtomicU64,
    not_a_call: AtomicU64,
    unknown_call: AtomicU64,
    errors: [AtomicU64; ERRORS.len()],
}

/// Errors that are counted by reason, whichever call they answer.
const ERRORS: [(Status, &str); 7] = [
    (Status::BadCall, "errors_bad_call"),
    (Status::BadVersion, "errors_bad_version"),
    (Status::BadPool, "errors_bad_pool"),
    (Status::BadAddress, "errors_bad_address"),
    (Status::BadArgument, "errors_bad_argument"),
    (Status::Denied, "errors_denied"),
    (Status::NoResources, "errors_no_resources"),
];

/// What a batch may hold, with the names of: entries of that kind, batches with at least one of that kind.
const BATCHED: [(Call, &str, &str); 3] = [
    (Call::Put, "batch_put_entries", "batches_with_puts"),
    (Call::Get, "batch_get_entries", "batches_with_gets"),
    (Call::FlushRange, "batch_flush_entries", "batches_with_flushes"),
];

fn call_name(call: Call) -> &'static str {
    match call {
        Call::Hello => "calls_hello",
        Call::PoolNew => "calls_pool_new",
        Call::PoolDestroy => "calls_pool_destroy",
        Call::Put => "calls_put",
        Call::Get => "calls_get",
        Call::FlushRange => "calls_flush_range",
        Call::FlushObject => "calls_flush_object",
        Call::Batch => "calls_batch",
        Call::Events => "calls_events",
        Call::Report => "calls_report",
    }
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn call(&self, call: Call) {
        if let Some(index) = Call::ALL.iter().position(|known| *known == call) {
            add(&self.calls[index], 1);
        }
    }

    pub(super) fn not_a_call(&self) {
        add(&self.not_a_call, 1);
    }

    pub(super) fn unknown_call(&self) {
        add(&self.unknown_call, 1);
    }

    /// Counts a finished batch by what was in it: puts, gets, range flushes.
    pub(super) fn batch(&self, entries: [u64; 3], cut: bool) {
        for (kind, count) in entries.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            add(&self.entries[kind], count);
            add(&self.batches[kind], 1);
        }
        if cut {
            add(&self.batches_cut, 1);
        }
    }

    pub(super) fn error(&self, status: Status) {
        if let Some(index) = ERRORS.iter().position(|(error, _)| *error == status) {
            add(&self.errors[index], 1);
        }
    }

    /// Every counter with its name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let calls = Call::ALL.into_iter().zip(&self.calls).map(move |(call, counter)| (call_name(call), load(counter)));
        let batched = BATCHED.into_iter().enumerate().flat_map(move |(kind, (_, entries, batches))| {
            [(entries, load(&self.entries[kind])), (batches, load(&self.batches[kind]))]
        });
        let errors = ERRORS.into_iter().zip(&self.errors).map(move |((_, name), counter)| (name, load(counter)));
        let rest = [
            ("batches_cut_short", load(&self.batches_cut)),
            ("not_a_call", load(&self.not_a_call)),
            ("unknown_call", load(&self.unknown_call)),
        ];
        calls.chain(batched).chain(errors).chain(rest)
    }
}

/// Place of a batched call in the arrays above.
pub(super) fn batched(call: Call) -> Option<usize> {
    BATCHED.iter().position(|(known, _, _)| *known == call)
}
