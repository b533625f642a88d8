//! What the heap takes for the index's blocks.

/// Bytes before a block that the allocator keeps for itself.
const HEADER_BYTES: usize = 8;
/// Blocks are multiples of this.
const GRANULE_BYTES: usize = 16;
/// The smallest block.
const LEAST_BYTES: usize = 32;

/// Bytes that the heap takes for a block of `bytes` (glibc's `malloc`, which is the system's; others are close).
pub(crate) const fn block_bytes(bytes: usize) -> usize {
    let taken = (bytes + HEADER_BYTES).next_multiple_of(GRANULE_BYTES);
    if taken < LEAST_BYTES { LEAST_BYTES } else { taken }
}

/// The same for what an `Arc` holds: its two counts are in the block.
pub(crate) const fn shared_bytes<T>() -> usize {
    block_bytes(size_of::<T>() + 2 * size_of::<usize>())
}
