//! The slabs of a class that have a free slot, with the first of them at hand.

use std::collections::BTreeMap;

/// In which order slabs are taken from: those whose next slot costs nothing before those that must grow for it, and among
/// those the lowest addresses, so that what is high empties.
pub(super) type Rank = (bool, u32);

/// A map of slabs by rank whose first is not in a block of its own: it is the one that puts take from, on the cache line of
/// the class's lock.
#[derive(Debug)]
pub(super) struct Open<S> {
    first: Option<(Rank, S)>,
    /// All of a higher rank than the first; none where there is no first.
    others: BTreeMap<Rank, S>,
}

impl<S> Default for Open<S> {
    fn default() -> Self {
        Self { first: None, others: BTreeMap::new() }
    }
}

impl<S> Open<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// The slab to take from.
    pub(super) fn first_mut(&mut self) -> Option<(Rank, &mut S)> {
        self.first.as_mut().map(|(rank, slab)| (*rank, slab))
    }

    pub(super) fn pop_first(&mut self) -> Option<(Rank, S)> {
        std::mem::replace(&mut self.first, self.others.pop_first())
    }

    /// Enters a slab whose rank is free.
    pub(super) fn insert(&mut self, rank: Rank, slab: S) {
        let later = match &mut self.first {
            Some((first, _)) if *first < rank => Some((rank, slab)),
            first => first.replace((rank, slab)),
        };
        self.others.extend(later);
    }

    pub(super) fn remove(&mut self, rank: Rank) -> Option<S> {
        match &self.first {
            Some((first, _)) if *first == rank => self.pop_first().map(|(_, slab)| slab),
            _ => self.others.remove(&rank),
        }
    }

    /// All of them, by rank.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Rank, &S)> {
        let first = self.first.iter().map(|(rank, slab)| (*rank, slab));
        first.chain(self.others.iter().map(|(rank, slab)| (*rank, slab)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_rank_is_first_in_whatever_order_they_come_and_go() {
        let mut open = Open::default();
        let ranks = [(true, 1), (false, 9), (false, 3), (true, 0), (false, 5)];
        ranks.into_iter().for_each(|rank| open.insert(rank, rank));
        let mut sorted = Vec::from(ranks);
        sorted.sort_unstable();
        assert_eq!(
            open.iter().map(|(rank, slab)| (rank, *slab)).collect::<Vec<_>>(),
            sorted.iter().map(|rank| (*rank, *rank)).collect::<Vec<_>>()
        );
        assert_eq!(
            (open.remove((false, 3)), open.remove((true, 1)), open.remove((true, 7))),
            (Some((false, 3)), Some((true, 1)), None)
        );
        assert_eq!(open.first_mut().map(|(rank, _)| rank), Some((false, 5)));
        let left = std::iter::from_fn(|| open.pop_first()).map(|(rank, _)| rank);
        assert_eq!(left.collect::<Vec<_>>(), [(false, 5), (false, 9), (true, 0)]);
        assert_eq!((open.is_empty(), open.len()), (true, 0));
    }
}
