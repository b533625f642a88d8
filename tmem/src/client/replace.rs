//! How background work publishes: a second copy takes the place of the first, if that is still there.
//!
//! The work is done on a pinned page, outside of all locks; so it takes part in no race that a slow reader does not take
//! part in.

use std::sync::Arc;

use crate::index::{Contents, Entry, Leaf, Object, Unpinned};
use crate::key::PoolKind;

use super::Client;
use super::merge::Placed;

/// A page that is pinned for background work.
pub(super) struct Held<'a> {
    pub(super) kind: PoolKind,
    pub(super) object: &'a Object,
    pub(super) leaf: &'a Arc<Leaf>,
    pub(super) place: u16,
    pub(super) contents: Contents,
}

/// What background work made of a page.
pub(super) enum Copy {
    /// A second copy, and whether it is as small as the page gets.
    Made { placed: Placed, settled: bool },
    /// Nothing: it would not be smaller by enough.
    NotWorthIt,
    /// Nothing: there was no room for it.
    NoRoom,
}

impl Client {
    /// Unpins a page and puts the second copy in its place. Returns whether it did: not where there is none, or where the
    /// page was replaced, removed or cut off meanwhile.
    pub(super) fn publish(&self, held: &Held<'_>, copy: &Copy) -> bool {
        let tree = held.object.tree().read();
        let mut state = held.leaf.lock();
        let unpinned = state.unpin(held.place, held.contents);
        let is_there = unpinned == Unpinned::Present && !held.object.is_cut_off() && state.attached;
        let mut replaced = None;
        let mut done = false;
        match copy {
            Copy::Made { placed, settled } if is_there => {
                let before = state.get(held.place);
                let entry = Entry::new(placed.contents).with_age(before.age());
                let settled = before.is_settled() || *settled;
                (_, replaced) = state.insert(held.place, if settled { entry.settled() } else { entry });
                self.count_contents(held.kind, placed.contents);
                done = true;
            }
            Copy::Made { placed, .. } => self.free(held.kind, placed.contents),
            Copy::NotWorthIt if is_there => state.settle(held.place),
            Copy::NotWorthIt | Copy::NoRoom => {}
        }
        drop(state);
        drop(tree);
        if let Some(contents) = replaced {
            self.release(held.kind, contents);
        }
        self.release_orphan(held.kind, unpinned);
        if let Copy::Made { placed, .. } = copy
            && done
        {
            self.remember(held.kind, held.leaf, placed);
        }
        done
    }
}
