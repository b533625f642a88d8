//! The key that leaves the console, as a state machine without I/O.

/// Ctrl-A, as terminals send it.
const PREFIX: u8 = 0x01;
const QUIT: u8 = b'x';

/// Tells the keys for us from those for the guest.
#[derive(Debug, Default)]
pub struct Escape {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Keys are the guest's.
    #[default]
    Plain,
    /// Ctrl-A was pressed; the next key tells what it meant.
    Prefix,
    /// The user wants to leave. Nothing is the guest's any more.
    Quit,
}

/// What follows from the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Leave.
    Quit,
}

impl Escape {
    /// Appends to `guest` what the guest gets of `keys`: at most one byte more than there are keys.
    pub fn filter(&mut self, keys: &[u8], guest: &mut Vec<u8>) -> Flow {
        for &key in keys {
            self.state = match (self.state, key) {
                (State::Quit, _) | (State::Prefix, QUIT) => State::Quit,
                (State::Plain, PREFIX) => State::Prefix,
                (State::Plain, key) => {
                    guest.push(key);
                    State::Plain
                }
                (State::Prefix, PREFIX) => {
                    guest.push(PREFIX);
                    State::Plain
                }
                (State::Prefix, key) => {
                    guest.extend([PREFIX, key]);
                    State::Plain
                }
            };
        }
        if self.state == State::Quit { Flow::Quit } else { Flow::Continue }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(keys: &[u8]) -> (Vec<u8>, Flow) {
        let mut guest = Vec::new();
        let flow = Escape::default().filter(keys, &mut guest);
        (guest, flow)
    }

    #[test]
    fn keys_without_ctrl_a_are_the_guests() {
        assert_eq!(filter(b"xterm\x03\x1b[A\xff\0"), (b"xterm\x03\x1b[A\xff\0".to_vec(), Flow::Continue));
    }

    #[test]
    fn ctrl_a_x_quits_and_nothing_after_it_is_the_guests() {
        assert_eq!(filter(b"ab\x01xcd"), (b"ab".to_vec(), Flow::Quit));
    }

    #[test]
    fn ctrl_a_twice_sends_it_once() {
        assert_eq!(filter(b"\x01\x01"), (b"\x01".to_vec(), Flow::Continue));
        assert_eq!(filter(b"\x01\x01x"), (b"\x01x".to_vec(), Flow::Continue));
        assert_eq!(filter(b"\x01\x01\x01x"), (b"\x01".to_vec(), Flow::Quit));
    }

    #[test]
    fn ctrl_a_and_another_key_sends_both() {
        assert_eq!(filter(b"\x01X\x01k"), (b"\x01X\x01k".to_vec(), Flow::Continue));
    }

    #[test]
    fn after_quitting_it_stays_so() {
        let mut escape = Escape::default();
        assert_eq!(escape.filter(b"\x01x", &mut Vec::new()), Flow::Quit);
        assert_eq!(escape.filter(b"", &mut Vec::new()), Flow::Quit);
    }

    proptest! {
        #[test]
        fn how_keys_are_cut_into_reads_does_not_matter(
            keys in prop::collection::vec(prop_oneof![Just(PREFIX), Just(QUIT), any::<u8>()], 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = keys.split_at(cut.index(keys.len() + 1));
            let mut escape = Escape::default();
            let mut guest = Vec::new();
            escape.filter(first, &mut guest);
            let flow = escape.filter(second, &mut guest);
            prop_assert_eq!((guest, flow), filter(&keys));
        }
    }
}
