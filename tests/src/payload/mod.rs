//! Drives the hypercall interface on `/dev/kvm` with a payload that makes the calls of a table and halts.
//!
//! No kernel and no device is needed, so this runs on a software-only KVM too. The path under test is the real one:
//! guest code, `OUT`, KVM exit, transport, dispatch, store.

mod code;
mod record;

pub use record::{How, Record, batch_entry, get, hello, pool_new, put};

use hypercall_abi::{PAGE_SHIFT, PAGE_SIZE, POOL_PERSISTENT, Status};
use kvm_bindings::kvm_regs;
use std::io::Write;
use std::sync::Arc;
use tmem::{Client, ClientConfig};
use trace::{ContentKey, Header, RecordedClient, Recorder};
use vm_memory::{Bytes, GuestAddress};
use vmm::arch::x86_64::layout::HIGH_RAM;
use vmm::arch::x86_64::long_mode;
use vmm::config::CpuModel;
use vmm::hypercall::Hypercalls;
use vmm::memory::{self, GuestRam};
use vmm::vcpu::{Ports, Step, Stop, Vcpu};
use vmm::vm::{Interrupts, Vm, open_kvm};

/// Where the table of vCPU `n` lies: `n + 1` times this address.
const TABLE: u64 = 8 << 20;
/// Records that fit into a table.
pub const TABLE_RECORDS: usize = (8 << 20) / record::SIZE;
/// First frame that tests may use for pages; below it lie code and tables.
pub const FIRST_FRAME: u64 = (64 << 20) >> PAGE_SHIFT;
/// RAM of a machine unless a test asks for another.
pub const RAM_BYTES: u64 = 128 << 20;
/// Values in the registers that no call may change.
const CANARIES: [u64; 6] = [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666];

/// A VM with a store and as many vCPUs as asked for, each with its own table.
pub struct Machine {
    /// Guest memory.
    pub ram: Arc<GuestRam>,
    /// The store.
    pub client: Arc<Client>,
    /// The interface under test.
    pub hypercalls: Arc<Hypercalls>,
    /// The vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// Keeps the VM behind the vCPUs.
    _vm: Vm,
}

/// A store of twice the memory.
fn config(ram_bytes: u64) -> ClientConfig {
    ClientConfig::new(2 * ram_bytes, [1, 2])
}

impl Machine {
    /// One vCPU, [`RAM_BYTES`] of memory, a store of twice that.
    #[must_use]
    pub fn new() -> Self {
        Self::with(1, RAM_BYTES)
    }

    /// The same, with a trace of the store's operations.
    #[must_use]
    pub fn traced(vcpus: u8, ram_bytes: u64, trace: impl Write + Send + 'static) -> Self {
        let header = Header::of(&config(ram_bytes));
        let recorder = Recorder::start(trace, &header, ContentKey::new([5, 6])).expect("a recorder");
        Self::assemble(vcpus, ram_bytes, config(ram_bytes), Some(recorder))
    }

    /// One vCPU, and a store that stages this many bytes.
    #[must_use]
    pub fn staging(ram_bytes: u64, staging_bytes: usize) -> Self {
        Self::assemble(1, ram_bytes, ClientConfig { staging_bytes, ..config(ram_bytes) }, None)
    }

    /// `vcpus` vCPUs with `ram_bytes` of memory.
    ///
    /// # Panics
    /// Where there is no usable KVM: without one, nothing here has a meaning.
    #[must_use]
    pub fn with(vcpus: u8, ram_bytes: u64) -> Self {
        Self::assemble(vcpus, ram_bytes, config(ram_bytes), None)
    }

    fn assemble(vcpus: u8, ram_bytes: u64, config: ClientConfig, recorder: Option<Recorder>) -> Self {
        let kvm = open_kvm().expect("a usable /dev/kvm");
        let ram = Arc::new(memory::allocate(ram_bytes).expect("guest memory"));
        let vm = Vm::new(&kvm, Arc::clone(&ram), Interrupts::None).expect("a VM");
        let client = Arc::new(Client::new(config).expect("a store"));
        let store = RecordedClient::new(Arc::clone(&client), recorder.map(Arc::new));
        let hypercalls = Hypercalls::new(store, Arc::clone(&ram)).expect("a file descriptor");
        let hypercalls = Arc::new(hypercalls);
        ram.write_slice(code::bytes(), HIGH_RAM).expect("room for the payload");
        let ports = Arc::new(Ports::default());
        let vcpus = (0..vcpus)
            .map(|id| {
                let fd = vm.create_vcpu(id, vcpus, CpuModel::Baseline, Some(HIGH_RAM)).expect("a vCPU");
                Vcpu::new(id, fd, Arc::clone(&ports), Some(Arc::clone(&hypercalls)))
            })
            .collect();
        Self { ram, client, hypercalls, vcpus, _vm: vm }
    }

    /// Says HELLO and makes a persistent pool; returns its id.
    pub fn greet(&mut self) -> u32 {
        let replies = self.run(&[hello(), pool_new(POOL_PERSISTENT)]);
        assert_eq!([replies[0].status(), replies[1].status()], [Status::Ok; 2]);
        u32::try_from(replies[1].rdi).expect("a pool id")
    }

    /// Lets vCPU 0 make these calls; returns the registers after each.
    pub fn run(&mut self, records: &[Record]) -> Vec<Record> {
        let ram = Arc::clone(&self.ram);
        run(&mut self.vcpus[0], &ram, records)
    }

    /// One call on vCPU 0.
    pub fn call(&mut self, record: Record) -> Record {
        self.run(&[record])[0]
    }

    /// Fills a page of guest memory.
    pub fn fill(&self, frame: u64, byte: u8) {
        self.ram.write_slice(&[byte; PAGE_SIZE], GuestAddress(frame << PAGE_SHIFT)).expect("a frame in RAM");
    }

    /// Fills a page of guest memory with bytes that do not compress and differ from frame to frame; returns them.
    pub fn fill_with_noise(&self, frame: u64) -> Vec<u8> {
        let mut state = frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let page: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(PAGE_SIZE)
        .collect();
        self.ram.write_slice(&page, GuestAddress(frame << PAGE_SHIFT)).expect("a frame in RAM");
        page
    }

    /// A page of guest memory.
    #[must_use]
    pub fn page(&self, frame: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE_SIZE];
        self.ram.read_slice(&mut page, GuestAddress(frame << PAGE_SHIFT)).expect("a frame in RAM");
        page
    }

    /// A counter of the hypercall path.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let found = self.hypercalls.counters().counters().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| unreachable!("no counter {name}")).1
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts the records into the vCPU's table, starts it there, and returns the table after it halted.
pub fn run(vcpu: &mut Vcpu, ram: &GuestRam, records: &[Record]) -> Vec<Record> {
    start(vcpu, ram, records);
    while step(vcpu) != Step::Stop(Stop::Halt) {}
    finish(vcpu, ram, records.len())
}

/// Puts the records into the vCPU's table and sets it to the payload's start.
pub fn start(vcpu: &mut Vcpu, ram: &GuestRam, records: &[Record]) {
    assert!(records.len() < TABLE_RECORDS, "one record is the end mark");
    let table = table(vcpu);
    for (record, slot) in records.iter().chain([&Record::END]).zip(0u64..) {
        ram.write_slice(&record.to_bytes(), GuestAddress(table + slot * record::SIZE as u64)).expect("table in RAM");
    }
    let [rcx, r12, r13, r14, r15, rsp] = CANARIES;
    let registers = kvm_regs { rbp: table, rcx, r12, r13, r14, r15, rsp, ..long_mode::registers(HIGH_RAM) };
    vcpu.fd().set_regs(&registers).expect("KVM_SET_REGS");
}

/// One entry into the guest, which must not fail.
pub fn step(vcpu: &mut Vcpu) -> Step {
    vcpu.step().expect("the vCPU goes on")
}

/// The first `count` records of the table of a vCPU that has halted; no other register may have changed.
#[must_use]
pub fn finish(vcpu: &Vcpu, ram: &GuestRam, count: usize) -> Vec<Record> {
    let registers = vcpu.fd().get_regs().expect("KVM_GET_REGS");
    let canaries = [registers.rcx, registers.r12, registers.r13, registers.r14, registers.r15, registers.rsp];
    assert_eq!(canaries, CANARIES, "a call changed a register that is not its own");
    let mut bytes = vec![0; count * record::SIZE];
    ram.read_slice(&mut bytes, GuestAddress(table(vcpu))).expect("table in RAM");
    bytes.as_chunks::<{ record::SIZE }>().0.iter().map(Record::from_bytes).collect()
}

fn table(vcpu: &Vcpu) -> u64 {
    TABLE * (u64::from(vcpu.id()) + 1)
}
