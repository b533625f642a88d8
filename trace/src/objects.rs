//! The objects that a trace names by a small number.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tmem::ObjectId;

/// Numbers that a trace has for objects.
pub(crate) const OBJECTS_MAX: usize = 4096;

/// A pool's object, and the index in it that was named last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) pool: u32,
    pub(crate) object: ObjectId,
    pub(crate) last_index: u32,
}

/// The object that each number stands for at present. Writer and reader keep the same table, so that an object costs its
/// 24 bytes once and a byte or two later; the table's size bounds both, whatever a guest names.
#[derive(Debug)]
pub(crate) struct Objects(Vec<Option<Named>>);

impl Objects {
    pub(crate) fn new() -> Self {
        Self(vec![None; OBJECTS_MAX])
    }

    /// The number that the writer has for an object. Where two share one they take it from each other, at the price of
    /// their ids being written again.
    pub(crate) fn number_of(pool: u32, object: ObjectId) -> usize {
        let mut hasher = SipHasher13::new();
        hasher.write_u32(pool);
        object.0.into_iter().for_each(|word| hasher.write_u64(word));
        usize::try_from(hasher.finish() % OBJECTS_MAX as u64).unwrap_or(0)
    }

    /// What a number stands for, if it was given to an object.
    pub(crate) fn get(&self, number: usize) -> Option<Named> {
        self.0.get(number).copied().flatten()
    }

    /// Gives a number to an object.
    pub(crate) fn set(&mut self, number: usize, named: Named) {
        if let Some(entry) = self.0.get_mut(number) {
            *entry = Some(named);
        }
    }
}
