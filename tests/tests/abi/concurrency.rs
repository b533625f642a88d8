//! Two vCPUs at once.

use hypercall_abi::{Call, GET_EXCLUSIVE, Status};
use std::thread;
use tests::payload::{FIRST_FRAME, Machine, Record, get, put, run};

const ROUNDS: usize = 4000;

#[test]
fn two_vcpus_on_one_key_see_whole_pages() {
    let mut machine = Machine::with(2, tests::payload::RAM_BYTES);
    let pool = machine.greet();
    // Each puts noise of its own and reads the key into a page of its own.
    let sources: Vec<_> = (0..2).map(|vcpu| machine.fill_with_noise(FIRST_FRAME + vcpu)).collect();
    let ram = machine.ram.clone();
    let replies: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = machine
            .vcpus
            .iter_mut()
            .zip(0u64..)
            .map(|(vcpu, id)| {
                let ram = &ram;
                scope.spawn(move || {
                    let source = FIRST_FRAME + id;
                    let records: Vec<_> = (0..ROUNDS as u64)
                        .flat_map(|round| {
                            let target = FIRST_FRAME + 16 + id * 4096 + round % 4096;
                            [put(pool, 1, source), get(pool, 1, target)]
                        })
                        .collect();
                    run(vcpu, ram, &records)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (id, replies) in (0u64..).zip(replies) {
        assert!(replies.iter().all(|reply| reply.status() == Status::Ok), "vCPU {id}: neither put is ever absent");
        for round in 0..ROUNDS as u64 {
            let page = machine.page(FIRST_FRAME + 16 + id * 4096 + round % 4096);
            assert!(sources.contains(&page), "vCPU {id}, round {round}: a page that nobody put");
        }
    }
}

#[test]
fn a_page_is_taken_out_once() {
    let mut machine = Machine::with(2, tests::payload::RAM_BYTES);
    let pool = machine.greet();
    let indexes = 0..u32::try_from(ROUNDS).unwrap();
    let puts: Vec<_> = indexes.clone().map(|index| put(pool, index, FIRST_FRAME)).collect();
    machine.run(&puts);
    let gets: Vec<_> =
        indexes.map(|index| Record { r11: GET_EXCLUSIVE, ..get(pool, index, FIRST_FRAME + 1) }).collect();
    let (ram, gets) = (machine.ram.clone(), &gets);
    let hits: Vec<Vec<bool>> = thread::scope(|scope| {
        let threads: Vec<_> = machine.vcpus.iter_mut().map(|vcpu| scope.spawn(|| run(vcpu, &ram, gets))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().iter().map(|reply| reply.status() == Status::Ok).collect())
            .collect()
    });
    let taken = (0..ROUNDS).filter(|index| hits[0][*index] != hits[1][*index]).count();
    assert_eq!(taken, ROUNDS, "each page is taken by exactly one vCPU");
}

#[test]
fn a_pool_may_be_destroyed_while_another_vcpu_uses_it() {
    let mut machine = Machine::with(2, tests::payload::RAM_BYTES);
    let pool = machine.greet();
    let empty = machine.client.statistics().resident_bytes;
    machine.fill_with_noise(FIRST_FRAME);
    let ram = machine.ram.clone();
    let [user, destroyer] = machine.vcpus.as_mut_slice() else { unreachable!("two vCPUs") };
    let (used, destroyed) = thread::scope(|scope| {
        let used = scope.spawn(|| {
            let index = |round: usize| u32::try_from(round % 64).unwrap();
            let records: Vec<_> = (0..ROUNDS)
                .flat_map(|round| [put(pool, index(round), FIRST_FRAME), get(pool, index(round), FIRST_FRAME + 1)])
                .collect();
            run(user, &ram, &records)
        });
        let destroyed = scope.spawn(|| {
            // Some calls first, so that the pool is in use by then.
            let mut records = vec![Record::call(Call::Events); 500];
            records.push(Record { rdi: u64::from(pool), ..Record::call(Call::PoolDestroy) });
            run(destroyer, &ram, &records)
        });
        (used.join().unwrap(), destroyed.join().unwrap())
    });
    assert_eq!(destroyed[500].status(), Status::Ok);
    let gone = used.iter().position(|reply| reply.status() == Status::BadPool).unwrap_or(used.len());
    assert!(used[gone..].iter().all(|reply| reply.status() == Status::BadPool), "gone is gone");
    while machine.client.has_detached() {
        machine.hypercalls.free_leftovers();
    }
    machine.hypercalls.free_leftovers();
    let left = machine.client.statistics().resident_bytes;
    assert!(left <= empty, "its memory is back: {left} bytes, {empty} at first");
}
