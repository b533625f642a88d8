//! Prints what a staged put costs as one of 32 in a BATCH call, against a call of its own: on `/dev/kvm` as it is here,
//! guest code and exits included. And what a driver would pay on top that must copy each page before it can wait for
//! others, as a page that is evicted does not stay.

use hypercall_abi::{BATCH_ENTRY_SIZE, Call, PAGE_SIZE, Status};
use std::time::Instant;
use tests::payload::{self, FIRST_FRAME, Machine, Record, batch_entry, put};
use vm_memory::{Bytes, GuestAddress};
use vmm::vcpu::{Step, Stop};

/// Pages of a round: as many as the buffer takes.
const PAGES: u32 = 2048;
const PER_BATCH: u32 = 32;
const ROUNDS: usize = 31;
/// 256 MiB: more than the CPU's caches.
const COPIED_PAGES: usize = 1 << 16;
/// The arrays of the batches lie in front of the pages.
const ARRAYS: u64 = FIRST_FRAME << 12;
const FIRST_PAGE: u64 = FIRST_FRAME + PAGES as u64 * BATCH_ENTRY_SIZE as u64 / PAGE_SIZE as u64;

fn main() {
    let mut machine = Machine::staging((FIRST_PAGE + u64::from(PAGES) + 1) << 12, 2 * PAGES as usize * PAGE_SIZE);
    let pool = machine.greet();
    let frame = |index: u32| FIRST_PAGE + u64::from(index);
    for index in 0..PAGES {
        let line = format!("page {index:08} of the payload, as compressible as a log file\n");
        let page: Vec<u8> = line.bytes().cycle().take(PAGE_SIZE).collect();
        machine.ram.write_slice(&page, GuestAddress(frame(index) << 12)).expect("in RAM");
        let entry = batch_entry(Call::Put, pool, index, frame(index)).to_bytes();
        let at = ARRAYS + u64::from(index) * BATCH_ENTRY_SIZE as u64;
        machine.ram.write_slice(&entry, GuestAddress(at)).expect("in RAM");
    }
    let calls: Vec<Record> = (0..PAGES).map(|index| put(pool, index, frame(index))).collect();
    let batch_bytes = u64::from(PER_BATCH) * BATCH_ENTRY_SIZE as u64;
    let batches: Vec<Record> = (0..u64::from(PAGES / PER_BATCH))
        .map(|n| Record { rdi: ARRAYS + n * batch_bytes, rsi: PER_BATCH.into(), ..Record::call(Call::Batch) })
        .collect();

    let mut ns = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (ns, records) in ns.iter_mut().zip([&calls, &batches]) {
            ns.push(ns_per_page(&mut machine, records));
        }
    }
    let [call, batched] = ns.map(|mut ns| {
        ns.sort_by(f64::total_cmp);
        ns[ROUNDS / 2]
    });
    let copied = copy_ns_per_page();
    println!("a staged put, medians of {ROUNDS} rounds of {PAGES} pages on this machine's /dev/kvm");
    println!("  a call each     {call:6.0} ns");
    println!("  {PER_BATCH} a batch      {batched:6.0} ns");
    println!("  ratio             {:.2}", batched / call);
    println!("  copying a page    {copied:6.0} ns");
    println!("  ratio, copied     {:.2}", (batched + copied) / call);
}

/// Copies pages that no cache of the CPU holds into a buffer of a batch's size.
fn copy_ns_per_page() -> f64 {
    let pages = vec![1_u8; COPIED_PAGES * PAGE_SIZE];
    let mut buffer = vec![0_u8; PER_BATCH as usize * PAGE_SIZE];
    let mut ns: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for batch in pages.chunks_exact(buffer.len()) {
                buffer.copy_from_slice(batch);
                std::hint::black_box(&buffer);
            }
            start.elapsed().as_secs_f64() * 1e9 / COPIED_PAGES as f64
        })
        .collect();
    ns.sort_by(f64::total_cmp);
    ns[ROUNDS / 2]
}

/// Makes the calls, and empties the buffer after that.
fn ns_per_page(machine: &mut Machine, records: &[Record]) -> f64 {
    let (vcpu, ram) = (&mut machine.vcpus[0], &machine.ram);
    payload::start(vcpu, ram, records);
    let start = Instant::now();
    while payload::step(vcpu) != Step::Stop(Stop::Halt) {}
    let elapsed = start.elapsed();
    let replies = payload::finish(vcpu, ram, records.len());
    assert!(replies.iter().all(|reply| reply.status() == Status::Ok), "a put was rejected");
    while machine.client.staging_fill().0 > 0 {
        machine.client.compress_staged(u64::MAX, || true);
    }
    elapsed.as_secs_f64() * 1e9 / f64::from(PAGES)
}
