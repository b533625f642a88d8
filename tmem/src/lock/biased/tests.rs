use std::thread;

use super::*;

/// A writer leaves two numbers equal, and nobody sees them otherwise.
fn writers_and_readers(lock: &BiasedLock<[u64; 2]>, rounds: u64) {
    let slots: [Slot; 3] = Default::default();
    thread::scope(|scope| {
        for slot in &slots {
            scope.spawn(|| {
                loop {
                    let pair = lock.read_in(Some(slot));
                    assert_eq!(pair[0], pair[1], "read while it was written");
                    if pair[0] == rounds {
                        break;
                    }
                }
            });
        }
        for _ in 0..rounds {
            let mut pair = lock.write_beside(&slots);
            pair[0] += 1;
            pair[1] += 1;
        }
    });
    assert_eq!(*lock.read(), [rounds; 2]);
}

#[test]
fn a_writer_is_alone_with_and_without_a_bias() {
    let lock = BiasedLock::new([0; 2]);
    writers_and_readers(&lock, 2_000);
    let lock = BiasedLock::new([0; 2]);
    lock.read().favour_readers();
    writers_and_readers(&lock, 20_000);
    assert!(lock.biased.load(Ordering::Relaxed), "the bias comes back");
}

#[test]
fn who_reads_under_one_bias_reads_another_by_its_plain_lock() {
    let locks = [BiasedLock::new(1), BiasedLock::new(2)];
    locks.iter().for_each(|lock| lock.read().favour_readers());
    let slot = Slot::default();
    let first = locks[0].read_in(Some(&slot));
    let second = locks[1].read_in(Some(&slot));
    assert!(matches!((&first.held, &second.held), (Held::Slot(_), Held::Plain { .. })));
    assert_eq!((*first, *second), (1, 2));
    drop((first, second));
    assert!(matches!(locks[1].read_in(Some(&slot)).held, Held::Slot(_)));
    assert!(matches!(locks[1].read_in(None).held, Held::Plain { .. }), "a thread without a number");
}
