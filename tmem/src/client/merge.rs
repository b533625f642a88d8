//! Background work stores a page: in the place of an equal one, if there is one.
//!
//! Of two equal pages the first has an entry of its own; when the second comes both become references to a share. The
//! first page is pinned while it is compared, like by any reader, and its entry is changed only where nobody else reads it.

use std::sync::Arc;

use crate::arena::NoRoom;
use crate::codec::Packed;
use crate::dedup::Hash;
use crate::index::{Contents, Entry, Leaf, Object, Tier, Unpinned};
use crate::key::PoolKind;
use crate::statistics::Counter;

use super::Client;

/// Pages of a candidate leaf that are compared: more than a few of one length are chance, or a guest that wants us busy.
const COMPARED_MOST: u32 = 4;

/// Where background work has put a page.
pub(super) struct Placed {
    pub(super) contents: Contents,
    /// To be [remembered](Client::remember) once the page is in the index.
    hash: Option<Hash>,
}

impl From<Contents> for Placed {
    fn from(contents: Contents) -> Self {
        Self { contents, hash: None }
    }
}

/// A page of the length that is looked for, with its bytes held: pinned in its entry, or its share.
struct Candidate {
    place: u16,
    contents: Contents,
    stored: Contents,
}

impl Client {
    /// Finds an equal page, or else room in the arena.
    pub(super) fn place_once(&self, kind: PoolKind, packed: Packed<'_>) -> Result<Placed, NoRoom> {
        let Packed::Stored(tier, bytes) = packed else { return self.place(kind, packed).map(Placed::from) };
        if !self.config.deduplicates {
            return self.place(kind, packed).map(Placed::from);
        }
        let dedup = self.dedup(kind);
        let hash = dedup.hash(bytes);
        for leaf in dedup.candidates(hash) {
            let equal = leaf.object().and_then(|object| self.share_with(kind, &object, &leaf, tier, bytes));
            if let Some(contents) = equal {
                self.counters.count(Counter::PagesMerged);
                return Ok(contents.into());
            }
        }
        Ok(Placed { contents: self.place(kind, packed)?, hash: Some(hash) })
    }

    /// Lets later pages find the one that was placed, which is in this leaf now.
    pub(super) fn remember(&self, kind: PoolKind, leaf: &Arc<Leaf>, placed: &Placed) {
        if let Some(hash) = placed.hash {
            let pages = || self.counters.sum(super::account::pages_of(kind));
            self.dedup(kind).remember(hash, leaf, pages, &self.quota);
        }
    }

    /// A reference to the share of a page of this leaf that is stored as the very same bytes.
    fn share_with(&self, kind: PoolKind, object: &Object, leaf: &Leaf, tier: Tier, bytes: &[u8]) -> Option<Contents> {
        let mut from = 0;
        for _ in 0..COMPARED_MOST {
            let candidate = self.next_candidate(kind, leaf, from, tier, bytes.len())?;
            from = candidate.place + 1;
            let Contents::Stored(_, slot) = candidate.stored else { return None };
            // SAFETY: the slot is pinned, in its entry or its share, until `join` or `let_candidate_go`.
            let equal = unsafe { self.arena.bytes(slot) } == bytes;
            if let Some(shared) = self.join(kind, object, leaf, &candidate, equal) {
                return Some(shared);
            }
        }
        None
    }

    /// The first page from `from` on that is stored in this tier and so many bytes, pinned.
    fn next_candidate(&self, kind: PoolKind, leaf: &Leaf, from: u16, tier: Tier, len: usize) -> Option<Candidate> {
        let is_alike = |contents| matches!(contents, Contents::Stored(of, slot) if of == tier && slot.len() == len);
        let shares = &self.dedup(kind).shares;
        let mut state = leaf.lock();
        let mut next = state.next(from);
        while let Some((place, entry)) = next {
            match entry.contents() {
                Some(contents @ Contents::Stored(..)) if is_alike(contents) && state.pin(place) => {
                    return Some(Candidate { place, contents, stored: contents });
                }
                Some(contents @ Contents::Shared(id)) => {
                    if let Some(stored) = shares.pin(id) {
                        if is_alike(stored) {
                            return Some(Candidate { place, contents, stored });
                        }
                        self.leave_share(kind, id);
                    }
                }
                _ => {}
            }
            next = state.next(place + 1);
        }
        None
    }

    /// Unpins a candidate and, if it is equal, makes one more reference to its share, which is made if need be. `None` where
    /// it is not equal, is gone, or is being read.
    fn join(
        &self,
        kind: PoolKind,
        object: &Object,
        leaf: &Leaf,
        candidate: &Candidate,
        equal: bool,
    ) -> Option<Contents> {
        let shares = &self.dedup(kind).shares;
        if let Contents::Shared(id) = candidate.contents {
            let joined = equal && shares.refer(id);
            self.leave_share(kind, id);
            return joined.then_some(candidate.contents);
        }
        let tree = object.tree().read();
        let mut state = leaf.lock();
        let unpinned = state.unpin(candidate.place, candidate.contents);
        let entry = state.get(candidate.place);
        let is_there = unpinned == Unpinned::Present && !object.is_cut_off() && state.attached && entry.pins() == 0;
        let mut joined = None;
        if equal
            && is_there
            && let Some(id) = shares.create(candidate.stored, &self.quota)
        {
            let shared = Contents::Shared(id);
            state.rename(candidate.place, Entry::new(shared).with_age(entry.age()));
            self.count_shared(candidate.stored);
            joined = Some(shared);
        }
        drop(state);
        drop(tree);
        self.release_orphan(kind, unpinned);
        joined
    }

    /// Counts a reader of a share off.
    pub(super) fn leave_share(&self, kind: PoolKind, id: u32) {
        let stored = self.dedup(kind).shares.unpin(id, &self.quota);
        self.free_share(kind, stored);
    }
}
