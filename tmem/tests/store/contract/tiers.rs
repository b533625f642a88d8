//! Every kind of page comes back as it was from every way to keep it.

use std::fs::{self, File};
use std::io::Read;

use tmem::{Client, ClientConfig, CodecChoice, PAGE_SIZE, Page, Statistics, Status};

use super::{OBJECT, configured, key, persistent};
use crate::guest::{get, put};
use crate::pages::{pointers, random, same_filled, sparse, text};

/// Real pages that are looked at: enough for all kinds, and a second of time.
const REAL_PAGES: usize = 300;

/// How many pages are kept in each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    filled: u64,
    staged: u64,
    raw: u64,
    lz4: u64,
    zstd: u64,
    page_lz: u64,
}

fn kept(client: &Client) -> Kept {
    let Statistics { same_filled_pages, staged_pages, raw_pages, lz4_pages, zstd_pages, page_lz_pages, .. } =
        client.statistics();
    Kept {
        filled: same_filled_pages,
        staged: staged_pages,
        raw: raw_pages,
        lz4: lz4_pages,
        zstd: zstd_pages,
        page_lz: page_lz_pages,
    }
}

const NONE: Kept = Kept { filled: 0, staged: 0, raw: 0, lz4: 0, zstd: 0, page_lz: 0 };

/// Noise up to a byte, and words behind it: shrinks to about that length.
fn noise_up_to(byte: usize) -> Page {
    let mut page = text(byte as u64);
    page[..byte].copy_from_slice(&random(byte as u64)[..byte]);
    page
}

/// Pages that repeat a word.
fn filled() -> Vec<Page> {
    let words =
        [0, 1, 0xff, u64::MAX, u64::MAX - 7, 1 << 56, 1 << 57, 1 << 63, 0xaaaa_aaaa_aaaa_aaaa, 0x0101_0101_0101_0101];
    words.map(same_filled).to_vec()
}

/// Pages that a codec shrinks by a sixteenth at least, whichever it is.
fn compressible() -> Vec<Page> {
    let mut pages: Vec<Page> = (0..PAGE_SIZE / 4).step_by(8).map(noise_up_to).collect();
    pages.extend((0..40).flat_map(|seed| [text(seed), sparse(seed * 99), pointers(seed)]));
    pages
}

/// Pages that some do.
fn hardly_compressible() -> Vec<Page> {
    (PAGE_SIZE / 4..PAGE_SIZE - 40).step_by(16).map(noise_up_to).collect()
}

/// Pages that none does.
fn incompressible() -> Vec<Page> {
    let mut pages: Vec<Page> = (0..40).map(random).collect();
    pages.extend((PAGE_SIZE - 40..PAGE_SIZE).map(noise_up_to));
    pages
}

/// Pages of this machine's programs, as far as they can be read.
fn real() -> Vec<Page> {
    let mut bytes = Vec::new();
    let files = fs::read_dir("/usr/bin").into_iter().flatten().flatten();
    for file in files.filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file())) {
        let mut head = Vec::new();
        let read = File::open(file.path()).and_then(|file| file.take(16 * PAGE_SIZE as u64).read_to_end(&mut head));
        if read.is_ok() {
            bytes.extend_from_slice(&head[..head.len() / PAGE_SIZE * PAGE_SIZE]);
        }
        if bytes.len() >= REAL_PAGES * PAGE_SIZE {
            break;
        }
    }
    bytes.as_chunks().0.to_vec()
}

fn all() -> Vec<Page> {
    [filled(), compressible(), hardly_compressible(), incompressible(), real()].concat()
}

fn indexed(pages: &[Page]) -> impl Iterator<Item = (u32, &Page)> {
    (0..).zip(pages)
}

/// A store of these pages.
fn put_all(config: ClientConfig, pages: &[Page]) -> (Client, u32) {
    let client = configured(config);
    let pool = persistent(&client);
    for (index, page) in indexed(pages) {
        assert_eq!(put(&client, key(pool, index), *page), Status::Ok);
    }
    (client, pool)
}

/// A store of these pages that keeps them as `expected` says.
fn stored(config: ClientConfig, pages: &[Page], expected: Kept) -> (Client, u32) {
    let (client, pool) = put_all(config, pages);
    assert_eq!(kept(&client), expected);
    (client, pool)
}

fn assert_all_equal(client: &Client, pool: u32, pages: &[Page]) {
    for (index, page) in indexed(pages) {
        assert_eq!(get(client, key(pool, index), false), Ok(*page), "page {index}");
    }
    client.check_invariants();
}

/// Without sharing: programs have equal pages, and each is to be kept in its own way.
fn config(codec: CodecChoice) -> ClientConfig {
    ClientConfig { codec, deduplicates: false, ..ClientConfig::new(1 << 30, [1, 2]) }
}

fn len(pages: &[Page]) -> u64 {
    pages.len() as u64
}

#[test]
fn a_repeated_word_comes_back_from_the_index_and_from_the_arena() {
    let pages = filled();
    let (client, pool) = stored(config(CodecChoice::PageLz), &pages, Kept { filled: len(&pages), ..NONE });
    // Those that do not fit beside the tag have a slot of eight bytes each: 1 << 57, 1 << 63, and 0xaa….
    assert_eq!(client.statistics().same_filled_bytes, 3 * 8);
    assert_all_equal(&client, pool, &pages);
}

#[test]
fn an_incompressible_page_comes_back_raw_whatever_the_codec() {
    let pages = incompressible();
    for codec in [CodecChoice::Lz4, CodecChoice::Zstd, CodecChoice::PageLz] {
        let (client, pool) = stored(config(codec), &pages, Kept { raw: len(&pages), ..NONE });
        assert_all_equal(&client, pool, &pages);
    }
}

#[test]
fn a_compressible_page_of_any_length_comes_back_from_each_codec() {
    let pages = compressible();
    let count = len(&pages);
    let choices = [
        (CodecChoice::Lz4, Kept { lz4: count, ..NONE }),
        (CodecChoice::Zstd, Kept { zstd: count, ..NONE }),
        (CodecChoice::PageLz, Kept { page_lz: count, ..NONE }),
    ];
    for (codec, expected) in choices {
        let (client, pool) = stored(config(codec), &pages, expected);
        assert_all_equal(&client, pool, &pages);
    }
}

#[test]
fn every_page_comes_back_whatever_the_codec_makes_of_it() {
    let pages = all();
    for codec in [CodecChoice::Lz4, CodecChoice::Zstd, CodecChoice::PageLz] {
        let (client, pool) = put_all(config(codec), &pages);
        let Kept { raw, lz4, zstd, page_lz, .. } = kept(&client);
        assert!(raw > 40 && lz4 + zstd + page_lz > len(&pages) / 3, "{:?}", kept(&client));
        assert_all_equal(&client, pool, &pages);
    }
}

#[test]
fn every_page_comes_back_from_staging_and_after_it() {
    let pages = all();
    let staging = ClientConfig { staging_bytes: pages.len() * PAGE_SIZE, ..config(CodecChoice::PageLz) };
    let (client, pool) = put_all(staging, &pages);
    let before = kept(&client);
    assert_eq!((before.staged + before.filled, before.raw + before.page_lz), (len(&pages), 0));
    assert_all_equal(&client, pool, &pages);
    // Loaded pages wait a round.
    client.compress_staged(u64::MAX, || true);
    assert_eq!(client.compress_staged(u64::MAX, || true), before.staged);
    assert_eq!(kept(&client).staged, 0);
    assert_all_equal(&client, pool, &pages);
}

#[test]
fn every_page_comes_back_once_it_is_compressed_again() {
    let pages = all();
    let (client, pool) = put_all(config(CodecChoice::PageLz), &pages);
    let smaller: u64 = (0..4).map(|_| client.recompress(|| true).smaller).sum();
    assert_eq!(kept(&client).zstd, smaller);
    assert!(smaller * 2 > len(&pages), "only {smaller} of {} pages got smaller", pages.len());
    assert_all_equal(&client, pool, &pages);
}

#[test]
fn every_page_comes_back_once_it_has_moved() {
    let pages = all();
    let client = configured(config(CodecChoice::PageLz));
    let pool = persistent(&client);
    // Ten copies of each, nine of which go: what is left is all over its class's slabs.
    let place = |index: u32, copy: u32| key(pool, index * 10 + copy);
    for copy in 0..10 {
        for (index, page) in indexed(&pages) {
            assert_eq!(put(&client, place(index, copy), *page), Status::Ok);
        }
    }
    for (index, _) in indexed(&pages) {
        let kept = index % 10;
        assert_eq!(client.flush_range(pool, OBJECT, index * 10, kept.into()), Status::Ok);
        assert_eq!(client.flush_range(pool, OBJECT, index * 10 + kept + 1, u64::from(9 - kept)), Status::Ok);
    }
    assert_eq!(client.recompress(|| true).smaller, 0);
    let moved = client.statistics().pages_moved;
    assert!(moved * 2 > len(&pages), "only {moved} of {} pages moved", pages.len());
    for (index, page) in indexed(&pages) {
        assert_eq!(get(&client, place(index, index % 10), false), Ok(*page), "page {index}");
    }
    client.check_invariants();
}
