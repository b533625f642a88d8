//! Copying a page: what no store can go below.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Contender, Round, ns_per_page};
use crate::pages::PageSet;
use crate::results::Figure;

pub(super) struct Copy;

impl Contender for Copy {
    fn name(&self) -> String {
        "memcpy".into()
    }

    fn round(&mut self, set: &PageSet) -> Result<Round> {
        let (mut store, mut sink) = (set.sink(), set.sink());
        let start = Instant::now();
        store.bytes_mut().copy_from_slice(black_box(set.bytes()));
        let put = ns_per_page(start.elapsed(), set.pages().len());
        let start = Instant::now();
        sink.bytes_mut().copy_from_slice(black_box(store.bytes()));
        let get = ns_per_page(start.elapsed(), set.pages().len());
        ensure!(sink.bytes() == set.bytes(), "memcpy gave other bytes back");
        Ok(vec![(Figure::PutNs, put), (Figure::GetNs, get)])
    }
}
