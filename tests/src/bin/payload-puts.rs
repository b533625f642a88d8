//! Puts 50 000 distinct compressible pages into an empty store and gets each once, between two marks on stderr: the
//! program that the system-call test traces. With an argument the operations are recorded in that file.

use hypercall_abi::{PAGE_SIZE, Status};
use std::fs::File;
use std::process::ExitCode;
use tests::payload::{self, FIRST_FRAME, Machine, get, put};
use vm_memory::{Bytes, GuestAddress};
use vmm::vcpu::{Step, Stop};

const PAGES: u32 = 50_000;

fn main() -> ExitCode {
    let ram_bytes = (u64::from(PAGES) + FIRST_FRAME + 1) << 12;
    let mut machine = match std::env::args_os().nth(1) {
        None => Machine::with(1, ram_bytes),
        Some(path) => Machine::traced(1, ram_bytes, File::create(path).expect("a file for the trace")),
    };
    let pool = machine.greet();
    for index in 0..PAGES {
        // Text-like lines that differ from page to page.
        let line = format!("page {index:08} of the payload, as compressible as a log file\n");
        let page: Vec<u8> = line.bytes().cycle().take(PAGE_SIZE).collect();
        machine.ram.write_slice(&page, GuestAddress((FIRST_FRAME + u64::from(index)) << 12)).expect("in RAM");
    }
    let frame = |index: u32| FIRST_FRAME + u64::from(index);
    let mut records: Vec<_> = (0..PAGES).map(|index| put(pool, index, frame(index))).collect();
    records.extend((0..PAGES).map(|index| get(pool, index, frame(index))));

    let (vcpu, ram) = (&mut machine.vcpus[0], &machine.ram);
    payload::start(vcpu, ram, &records);
    eprintln!("calls begin");
    while payload::step(vcpu) != Step::Stop(Stop::Halt) {}
    eprintln!("calls end");
    let bad = payload::finish(vcpu, ram, records.len()).iter().filter(|reply| reply.status() != Status::Ok).count();
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
