//! What is written is read again, and nothing else is taken for a trace.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test cannot set up fails it")]

mod operations;

use proptest::prelude::*;
use tmem::ClientConfig;
use trace::{Header, Malformed, ReadError, Reader, Record, Writer};

use operations::operation;

fn header() -> Header {
    Header::of(&ClientConfig::new(64 << 20, [0; 2]))
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    records.iter().for_each(|record| writer.write(record).unwrap());
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, ReadError> {
    Reader::new(bytes)?.collect()
}

/// Offset and reason of the error that these bytes end with.
fn problem(bytes: &[u8]) -> (u64, Malformed) {
    match read(bytes) {
        Err(ReadError::Malformed { offset, problem }) => (offset, problem),
        other => panic!("{other:?}"),
    }
}

/// Up to `most` records.
fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    let step = prop_oneof![Just(0), 1..200_u64, any::<u32>().prop_map(u64::from)];
    let record = prop_oneof![
        20 => (step, operation()).prop_map(|(at_us, operation)| Record::Operation { at_us, operation }),
        1 => any::<u64>().prop_map(|operations| Record::Lost { operations }),
    ];
    prop::collection::vec(record, 0..most).prop_map(|mut records| {
        let mut now = 0;
        for record in &mut records {
            if let Record::Operation { at_us, .. } = record {
                now += *at_us;
                *at_us = now;
            }
        }
        records
    })
}

proptest! {
    #[test]
    fn every_record_comes_back(records in records(300)) {
        prop_assert_eq!(read(&written(&records)).unwrap(), records);
    }

    #[test]
    fn a_trace_that_is_cut_anywhere_gives_what_stands_before(records in records(40), cut in any::<prop::sample::Index>()) {
        let bytes = written(&records);
        let cut = 32 + cut.index(bytes.len() - 32);
        let mut reader = Reader::new(&bytes[..cut]).unwrap();
        let whole: Vec<_> = reader.by_ref().map_while(Result::ok).collect();
        prop_assert_eq!(&whole, &records[..whole.len()]);
        prop_assert!(matches!(problem(&bytes[..cut]), (_, Malformed::CutShort)));
    }

    #[test]
    fn bytes_of_an_enemy_are_records_or_an_error(body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bytes = [&written(&[])[..32], &body].concat();
        let records = Reader::new(bytes.as_slice()).unwrap();
        // Each record takes a byte at least, and nothing follows an error.
        prop_assert!(records.count() <= body.len() + 1);
    }

    #[test]
    fn a_flipped_bit_is_read_in_bounds(
        records in records(60),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut bytes = written(&records);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = read(&bytes);
    }
}

#[test]
fn another_file_is_told_from_a_trace() {
    let mut other_version = written(&[]);
    other_version[8] = 2;
    let mut other_codec = written(&[]);
    other_codec[24] = 9;
    let table: &[(&[u8], (u64, Malformed))] = &[
        (b"", (0, Malformed::CutShort)),
        (b"\x7fELF and more than thirty-two bytes of it", (0, Malformed::Magic)),
        (&other_version, (0, Malformed::Version(2))),
        (&other_codec, (0, Malformed::Field("codec"))),
    ];
    for (bytes, expected) in table {
        assert_eq!(problem(bytes), *expected);
    }
}

#[test]
fn an_error_names_the_first_byte_of_the_record() {
    let body = |body: &[u8]| [&written(&[])[..32], body].concat();
    let hello = [1, 0];
    let table: &[(&[u8], (u64, Malformed))] = &[
        // A kind that there is not, behind a HELLO.
        (&[hello[0], hello[1], 13], (34, Malformed::Kind(13))),
        // A HELLO with a bit that means nothing.
        (&[0x21, 0], (32, Malformed::Field("first byte"))),
        // A limit of more than 64 bits.
        (&[8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], (32, Malformed::Number)),
        // A get of an object that was never named, one of a number beyond the table, and one before the first index.
        (&[0x85, 0, 0, 0], (32, Malformed::Field("object"))),
        (&[0x85, 0, 0x81, 0x80, 1], (32, Malformed::Field("object"))),
        (&[&[0x85, 0, 1, 1][..], &[0; 24], &[1]].concat(), (32, Malformed::Field("index"))),
        // A put of a page that takes no bytes, or more than a page.
        (&[&[0xf4, 0, 1, 1][..], &[0; 24], &[0, 0]].concat(), (32, Malformed::Field("size"))),
        (&[&[0xf4, 0, 1, 1][..], &[0; 24], &[0, 0x80, 0x20]].concat(), (32, Malformed::Field("size"))),
        // A status that no call answers; one that says OK where OK is a bit.
        (&[3, 0, 1, 99], (32, Malformed::Field("status"))),
        (&[3, 0, 1, 0], (32, Malformed::Field("status"))),
        // An end that says too much, and one with something behind it.
        (&[0, 1], (32, Malformed::Count { said: 1, found: 0 })),
        (&[0, 0, 0], (32, Malformed::Trailing)),
    ];
    for (bytes, expected) in table {
        assert_eq!(problem(&body(bytes)), *expected, "{bytes:x?}");
    }
}
