//! What a trace says about a page's contents.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tmem::{CodecChoice, Form, Page};

/// What is recorded of a page: enough to tell equal pages, and to make one that takes as much room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// Equal where the pages are, inside one trace. Pages that differ have the same with a chance of 2^-64.
    pub hash: u64,
    /// What the store makes of it.
    pub form: Form,
}

/// The key of a trace's hashes. It is never written and ends with the recorder: without it nobody can tell from a trace
/// whether a page they know was among those recorded.
#[derive(Clone, Copy)]
pub struct ContentKey([u64; 2]);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

impl ContentKey {
    /// A key of random numbers; take them from the system's generator.
    #[must_use]
    pub const fn new(random: [u64; 2]) -> Self {
        Self(random)
    }

    /// Describes a page that is packed by `codec`.
    #[must_use]
    pub fn describe(&self, page: &Page, codec: CodecChoice) -> Content {
        let [low, high] = self.0;
        let mut hasher = SipHasher13::new_with_keys(low, high);
        hasher.write(page);
        Content { hash: hasher.finish(), form: Form::of(page, codec) }
    }
}
