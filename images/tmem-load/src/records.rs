//! Records as programs keep them on their heaps: an object's class, a pointer, two numbers, and some text.

/// Words of a record.
pub const WORDS: usize = 8;

/// A vocabulary; what a guest's programs keep is text of few words, each more than once.
const VOCABULARY: [[u8; 8]; 32] = [
    *b"account ",
    *b"address ",
    *b"balance ",
    *b"browser ",
    *b"channel ",
    *b"content ",
    *b"country ",
    *b"created ",
    *b"default ",
    *b"deleted ",
    *b"display ",
    *b"enabled ",
    *b"encoded ",
    *b"expires ",
    *b"failure ",
    *b"forward ",
    *b"gateway ",
    *b"history ",
    *b"invoice ",
    *b"journal ",
    *b"keyword ",
    *b"library ",
    *b"message ",
    *b"network ",
    *b"options ",
    *b"payment ",
    *b"product ",
    *b"request ",
    *b"session ",
    *b"success ",
    *b"updated ",
    *b"version ",
];

/// Where objects, and the tables of their classes, seem to be.
const HEAP: u64 = 0x5581_7c00_0000;
const CLASSES: u64 = 0x7f3a_4e20_0000;

/// Fills a record, the last one of a page perhaps not to its end, by what the bits of `random` say.
pub fn fill(random: u64, record: &mut [[u8; 8]]) {
    let mut bits = random;
    let mut take = |count: u32| {
        let taken = bits & ((1 << count) - 1);
        bits >>= count;
        taken
    };
    let numbers = [CLASSES + take(3) * 0x48, HEAP + take(19) * 16, take(6), 1 << take(3)];
    let words = numbers.map(u64::to_le_bytes);
    let text = [0; 4].map(|_: u64| VOCABULARY[usize::from(take(5).to_le_bytes()[0])]);
    for (place, word) in record.iter_mut().zip(words.into_iter().chain(text)) {
        *place = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_that_is_used_says_something() {
        let of = |random| {
            let mut record = [[0; 8]; WORDS];
            fill(random, &mut record);
            record
        };
        assert!((0..51).all(|bit| of(1 << bit) != of(0)), "3, 19, 6 and 3 bits, and 5 for each word of text");
        assert_eq!(of(1 << 51), of(0));
    }

    #[test]
    fn the_last_record_of_a_page_may_be_cut() {
        let mut part = [[0; 8]; 3];
        fill(u64::MAX, &mut part);
        let mut whole = [[0; 8]; WORDS];
        fill(u64::MAX, &mut whole);
        assert_eq!(part, whole[..3]);
    }
}
