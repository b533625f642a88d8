//! All orders of readers and writers, by loom.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::*;

struct Model {
    lock: BiasedLock<UnsafeCell<u64>>,
    slots: [Slot; 2],
}

// SAFETY: who touches the number when is what loom checks.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    fn read(&self, slot: usize) -> u64 {
        let value = self.lock.read_in(Some(&self.slots[slot]));
        // SAFETY: the lock is held.
        value.with(|value| unsafe { *value })
    }

    fn add(&self) {
        let value = self.lock.write_beside(&self.slots);
        // SAFETY: the lock is held.
        value.with_mut(|value| unsafe { *value += 1 });
    }

    fn try_all(
        first: impl Fn(&Self) + Sync + Send + Clone + 'static,
        second: impl Fn(&Self) + Sync + Send + Clone + 'static,
    ) {
        loom::model(move || {
            let slots = Default::default();
            let model = Arc::new(Self { lock: BiasedLock::new(UnsafeCell::new(0)), slots });
            model.lock.read().favour_readers();
            let (other, first) = (Arc::clone(&model), first.clone());
            let thread = thread::spawn(move || first(&other));
            second(&model);
            thread.join().unwrap();
            assert!(model.lock.biased.load(Ordering::Relaxed));
        });
    }
}

#[test]
fn a_bias_that_is_asked_for_again_lets_nobody_in() {
    Model::try_all(
        |model| {
            let value = model.lock.read_in(Some(&model.slots[1]));
            value.favour_readers();
            drop(value);
            model.read(0);
        },
        Model::add,
    );
}

#[test]
fn a_reader_sees_all_of_a_write_or_nothing() {
    Model::try_all(
        |model| assert!(model.read(0) <= model.read(0)),
        |model| {
            model.add();
            assert_eq!(model.read(1), 1);
        },
    );
}

#[test]
fn writers_wait_for_each_other_and_for_readers() {
    Model::try_all(
        |model| {
            model.add();
            assert!((1..=2).contains(&model.read(0)));
        },
        |model| {
            model.add();
            assert!((1..=2).contains(&model.read(1)));
        },
    );
}
