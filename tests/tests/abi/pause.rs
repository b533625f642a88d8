//! A call is complete only when the guest is entered again.

use hypercall_abi::Status;
use tests::payload::{self, FIRST_FRAME, Machine, put};
use vmm::vcpu::{Step, Stop};

#[test]
fn a_pause_between_exit_and_entry_does_not_repeat_the_call() {
    let mut machine = Machine::new();
    let pool = machine.greet();
    let records = [put(pool, 1, FIRST_FRAME), put(pool, 2, FIRST_FRAME)];
    let vcpu = &mut machine.vcpus[0];
    payload::start(vcpu, &machine.ram, &records);
    let mut calls = 0;
    loop {
        match payload::step(vcpu) {
            Step::Hypercall => {
                calls += 1;
                // What a pause, a reset and a snapshot do: complete the call, save the registers, restore them.
                vcpu.complete_pending().unwrap();
                let saved = vcpu.fd().get_regs().unwrap();
                assert_eq!(saved.rax, Status::Ok.register(), "the status is in the saved state");
                vcpu.fd().set_regs(&saved).unwrap();
            }
            Step::Stop(Stop::Halt) => break,
            step => assert_ne!(step, Step::Stop(Stop::TripleFault)),
        }
    }
    let replies = payload::finish(&machine.vcpus[0], &machine.ram, records.len());
    assert_eq!(replies.iter().map(payload::Record::status).collect::<Vec<_>>(), [Status::Ok; 2]);
    assert_eq!((calls, machine.counter("calls_put"), machine.counter("errors_bad_call")), (2, 2, 0));
}
