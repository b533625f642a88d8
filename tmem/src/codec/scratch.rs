//! One set of buffers a thread.

use std::cell::Cell;

use super::Scratch;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Runs `work` with the thread's buffers; only a thread's first call allocates.
///
/// The buffers are taken out meanwhile: guest memory whose copy came back into the store would find none and get a set
/// of its own.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_else(fresh);
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// Apart, as the buffers are made on the stack before they are moved: where that is inlined, every call of the data path
/// touches each page of such a stack frame.
#[cold]
#[inline(never)]
fn fresh() -> Box<Scratch> {
    Box::new(Scratch::new())
}
