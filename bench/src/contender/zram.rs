//! The kernel's zram, on a device of its own that is made for a round and removed after it.
//!
//! Requests of 128 KiB with O_DIRECT, so that what is measured is zram and not the page cache. Bytes are
//! `mem_used_total` of `mm_stat` and 16 for each page of zram's table (`struct zram_table_entry`).

use std::fs;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::io::{pread, pwrite};
use tmem::PAGE_SIZE;

use super::{Contender, Round, ns_per_page, per_page};
use crate::pages::PageSet;
use crate::results::Figure;

const CONTROL: &str = "/sys/class/zram-control";
const REQUEST_BYTES: usize = 128 << 10;
/// Bytes of zram's own table for each page of the device.
const TABLE_BYTES: u64 = 16;

pub(super) struct Zram {
    algorithm: &'static str,
}

impl Zram {
    /// Finds out whether a device with this algorithm can be made here.
    pub(super) fn new(algorithm: &'static str) -> Result<Self> {
        Device::new(algorithm, PAGE_SIZE as u64).map(|_| Self { algorithm })
    }
}

impl Contender for Zram {
    fn name(&self) -> String {
        format!("zram {}", self.algorithm)
    }

    fn round(&mut self, set: &PageSet) -> Result<Round> {
        let pages = set.pages().len();
        let device = Device::new(self.algorithm, set.bytes().len() as u64)?;
        let file = device.open()?;
        let mut sink = set.sink();
        let start = Instant::now();
        let mut offset = 0;
        for request in set.bytes().chunks(REQUEST_BYTES) {
            let written = pwrite(&file, request, offset).context("writing to zram")?;
            ensure!(written == request.len(), "zram took {written} bytes of {}", request.len());
            offset += written as u64;
        }
        let put = ns_per_page(start.elapsed(), pages);
        let start = Instant::now();
        let mut offset = 0;
        for request in sink.bytes_mut().chunks_mut(REQUEST_BYTES) {
            let wanted = request.len();
            let read = pread(&file, &mut *request, offset).context("reading from zram")?;
            ensure!(read == wanted, "zram gave {read} bytes of {wanted}");
            offset += read as u64;
        }
        let get = ns_per_page(start.elapsed(), pages);
        ensure!(sink.bytes() == set.bytes(), "zram gave other bytes back");
        drop(file);
        let bytes = device.used_bytes()? + pages as u64 * TABLE_BYTES;
        Ok(vec![
            (Figure::PutNs, put),
            (Figure::GetNs, get),
            (Figure::BytesPerPage, per_page(bytes, pages)),
            (Figure::MetadataBytesPerPage, per_page(TABLE_BYTES, 1)),
        ])
    }
}

/// A zram device; dropping it removes it.
struct Device {
    number: u32,
}

impl Device {
    fn new(algorithm: &str, bytes: u64) -> Result<Self> {
        let added = fs::read_to_string(format!("{CONTROL}/hot_add"))
            .context("no zram device can be added (needs root and the zram module)")?;
        let device = Self { number: added.trim().parse().context("zram-control gave no number")? };
        device.set("comp_algorithm", algorithm)?;
        device.set("disksize", &bytes.to_string())?;
        Ok(device)
    }

    fn attribute(&self, name: &str) -> String {
        format!("/sys/block/zram{}/{name}", self.number)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        fs::write(self.attribute(name), value).with_context(|| format!("zram takes no {name} = {value}"))
    }

    fn open(&self) -> Result<OwnedFd> {
        let path = format!("/dev/zram{}", self.number);
        // The node comes a moment after the device where udev makes it.
        for _ in 0..100 {
            match rustix::fs::open(&path, OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()) {
                Ok(file) => return Ok(file),
                Err(rustix::io::Errno::NOENT) => std::thread::sleep(std::time::Duration::from_millis(10)),
                Err(error) => return Err(error).with_context(|| format!("cannot open {path}")),
            }
        }
        bail!("{path} does not appear")
    }

    /// Memory that its pages take, allocator included.
    fn used_bytes(&self) -> Result<u64> {
        let stat = fs::read_to_string(self.attribute("mm_stat"))?;
        let used = stat.split_ascii_whitespace().nth(2).context("mm_stat has no mem_used_total")?;
        Ok(used.parse()?)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Nobody is there to hear of a failure; the device is empty then and costs a table.
        let _ = self.set("reset", "1");
        let _ = File::options()
            .write(true)
            .open(format!("{CONTROL}/hot_remove"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, self.number.to_string().as_bytes()));
    }
}
