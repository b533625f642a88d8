use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

use tempfile::NamedTempFile;
use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
};
use virtio_bindings::bindings::virtio_mmio as map;
use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

use super::super::test_driver::{BUFFERS, LEAST_FEATURES, RAM_BYTES, REGION_BYTES, TestDriver, readable, writable};
use super::*;

const SECTORS: u64 = 256;
const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 0x100;
const DATA: u64 = BUFFERS + 0x1000;
const NO_STATUS: u32 = 0xaa;
/// Long enough for a thread to do what it must not.
const A_WHILE: Duration = Duration::from_millis(50);

const OK: u32 = VIRTIO_BLK_S_OK;
const IOERR: u32 = VIRTIO_BLK_S_IOERR;
const UNSUPP: u32 = VIRTIO_BLK_S_UNSUPP;

/// A driver and the image its disk is made of.
struct Rig {
    driver: TestDriver,
    image: NamedTempFile,
    counters: Arc<BlockCounters>,
}

/// Every sector is filled with its number.
fn image() -> NamedTempFile {
    let image = NamedTempFile::new().unwrap();
    let content: Vec<u8> = (0..=255).flat_map(|sector| [sector; 512]).collect();
    fs::write(image.path(), content).unwrap();
    image
}

/// A disk over `image`, opened as the options say.
fn device(image: &NamedTempFile, options: &BlockOptions) -> BlockDevice {
    let flags = if options.direct { libc::O_DIRECT } else { 0 };
    let file = File::options().read(true).write(!options.read_only).custom_flags(flags).open(image.path()).unwrap();
    BlockDevice::new("test", file, options).unwrap()
}

fn rig_with(change: impl FnOnce(&mut BlockOptions)) -> Rig {
    let image = image();
    let mut options = BlockOptions { serial: "root".into(), ..BlockOptions::default() };
    change(&mut options);
    let device = device(&image, &options);
    let counters = device.counters();
    Rig { driver: TestDriver::started(device), image, counters }
}

fn rig() -> Rig {
    rig_with(|_| {})
}

impl Rig {
    fn put_header(&self, kind: u32, sector: u64) {
        self.driver.fill(HEADER, &kind.to_le_bytes());
        self.driver.fill(HEADER + 8, &sector.to_le_bytes());
        self.driver.fill(STATUS, &[u8::try_from(NO_STATUS).unwrap()]);
    }

    fn status(&self) -> u32 {
        u32::from(self.driver.content(STATUS, 1)[0])
    }

    /// A request with these pieces between its header and its status; the status and the bytes written.
    fn request(&mut self, kind: u32, sector: u64, data: &[(u64, u32, u16)]) -> (u32, u32) {
        self.put_header(kind, sector);
        let written = self.driver.send(&[&[readable(HEADER, 16)], data, &[writable(STATUS, 1)]].concat());
        (self.status(), written)
    }

    fn range_request(&mut self, kind: u32, sector: u64, sectors: u32, flags: u32) -> u32 {
        self.driver.fill(DATA, &sector.to_le_bytes());
        self.driver.fill(DATA + 8, &sectors.to_le_bytes());
        self.driver.fill(DATA + 12, &flags.to_le_bytes());
        self.request(kind, 0, &[readable(DATA, 16)]).0
    }

    fn on_disk(&self, sector: u64) -> Vec<u8> {
        let mut content = vec![0; 512];
        self.image.as_file().read_exact_at(&mut content, sector * 512).unwrap();
        content
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.counters().find(|(found, _)| *found == name).unwrap().1
    }
}

#[test]
fn the_driver_sees_the_size_and_reads_sectors() {
    let mut rig = rig();
    assert_eq!(rig.driver.config(0), SECTORS);
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 7, &[writable(DATA, 1024)]), (OK, 1025));
    assert_eq!(rig.driver.content(DATA, 1024), [[7; 512], [8; 512]].concat());
    assert_eq!((rig.counter("reads"), rig.counter("sectors_read")), (1, 2));
}

#[test]
fn what_is_written_is_on_the_disk_and_nowhere_else() {
    let mut rig = rig();
    rig.driver.fill(DATA, &[0x5a; 512]);
    assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 255, &[readable(DATA, 512)]), (OK, 1));
    assert_eq!(rig.on_disk(255), [0x5a; 512]);
    assert_eq!(rig.on_disk(254), [254; 512]);
    assert_eq!((rig.counter("writes"), rig.counter("sectors_written")), (1, 1));
}

#[test]
fn a_request_may_be_cut_into_pieces_anywhere() {
    let mut rig = rig();
    rig.put_header(VIRTIO_BLK_T_IN, 3);
    // The header in two, the data across the end of a region, the status with the end of the data.
    let data = REGION_BYTES - 511;
    let written = rig.driver.send(&[
        readable(HEADER, 5),
        readable(HEADER + 5, 11),
        writable(data, 500),
        writable(data + 500, 13),
    ]);
    assert_eq!(written, 513);
    assert_eq!(rig.driver.content(data, 513), [vec![3; 512], vec![0]].concat());
}

#[test]
fn a_driver_without_event_index_is_interrupted_every_time() {
    let image = image();
    let mut driver = TestDriver::new(device(&image, &BlockOptions::default()));
    driver.start(LEAST_FEATURES);
    let mut rig = Rig { driver, image, counters: Arc::default() };
    for _ in 0..3 {
        assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, &[]).0, OK);
        rig.driver.wait_for("an interrupt", |driver| driver.irq.read().is_ok());
        assert_eq!(rig.driver.read(map::VIRTIO_MMIO_INTERRUPT_STATUS), map::VIRTIO_MMIO_INT_VRING);
        rig.driver.write(map::VIRTIO_MMIO_INTERRUPT_ACK, map::VIRTIO_MMIO_INT_VRING);
    }
}

#[test]
fn many_requests_at_once_are_all_answered() {
    let mut rig = rig();
    rig.put_header(VIRTIO_BLK_T_IN, 1);
    rig.driver.make_chain(&[readable(HEADER, 16), writable(DATA, 512), writable(STATUS, 1)]);
    (0..60).for_each(|_| rig.driver.offer_chain());
    let answered = (0..60).map(|_| rig.driver.used()).filter(|written| *written == 513).count();
    assert_eq!(answered, 60);
}

#[test]
fn a_flush_reaches_the_disk() {
    let mut rig = rig();
    assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, &[]), (OK, 1));
    assert_eq!(rig.counter("flushes"), 1);
}

#[test]
fn the_serial_number_can_be_read() {
    let mut rig = rig();
    assert_eq!(rig.request(VIRTIO_BLK_T_GET_ID, 0, &[writable(DATA, 20)]), (OK, 21));
    assert_eq!(rig.driver.content(DATA, 20), b"root\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_long_serial_number_is_cut_off() {
    assert_eq!(&DiskId::new("0123456789012345678901234").0, b"01234567890123456789");
}

#[test]
fn zeroed_and_discarded_ranges_read_as_zeroes() {
    let mut rig = rig();
    assert_eq!(rig.range_request(VIRTIO_BLK_T_WRITE_ZEROES, 10, 2, 0), OK);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_WRITE_ZEROES, 20, 1, 1), OK);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, 30, 1, 0), OK);
    for sector in [10, 11, 20, 30] {
        assert_eq!(rig.on_disk(sector), [0; 512], "sector {sector}");
    }
    for sector in [9, 12, 19, 21, 29, 31] {
        assert_eq!(rig.on_disk(sector), [u8::try_from(sector).unwrap(); 512], "sector {sector}");
    }
    assert_eq!((rig.counter("zeroed_ranges"), rig.counter("discards")), (2, 1));
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let mut rig = rig();
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, 0, 1, 1), UNSUPP, "a flag of another request");
    assert_eq!(rig.range_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), UNSUPP, "an unknown flag");
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0), IOERR);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, u64::MAX, 1, 0), IOERR);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, 0, 0, 0), IOERR);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, 0, u32::MAX, 0), IOERR);
    assert_eq!(rig.on_disk(0), [0; 512]);
    assert_eq!(rig.on_disk(1), [1; 512]);
    assert_eq!(rig.counter("rejected"), 6);
}

#[test]
fn accesses_beyond_the_end_are_errors() {
    let mut rig = rig();
    for sector in [SECTORS, SECTORS - 1, u64::MAX, u64::MAX / 512] {
        assert_eq!(rig.request(VIRTIO_BLK_T_IN, sector, &[writable(DATA, 1024)]), (IOERR, 1), "sector {sector}");
        assert_eq!(rig.request(VIRTIO_BLK_T_OUT, sector, &[readable(DATA, 1024)]), (IOERR, 1), "sector {sector}");
    }
    assert_eq!(rig.on_disk(SECTORS - 1), [255; 512]);
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut rig = rig_with(|options| options.read_only = true);
    assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 0, &[readable(DATA, 512)]).0, IOERR);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_DISCARD, 1, 1, 0), UNSUPP);
    assert_eq!(rig.range_request(VIRTIO_BLK_T_WRITE_ZEROES, 1, 1, 0), UNSUPP);
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 1, &[writable(DATA, 512)]).0, OK);
    assert_eq!(rig.driver.content(DATA, 512), [1; 512]);
}

#[test]
fn unknown_requests_are_unsupported() {
    let mut rig = rig();
    assert_eq!(rig.request(99, 0, &[]).0, UNSUPP);
    assert_eq!(rig.request(u32::MAX, 0, &[writable(DATA, 512)]).0, UNSUPP);
}

#[test]
fn hostile_chains_come_back_and_the_disk_goes_on() {
    let mut rig = rig();
    rig.put_header(VIRTIO_BLK_T_IN, 0);
    // No place for a status, a short header, buffers outside of RAM, a readable one after a writable one.
    assert_eq!(rig.driver.send(&[readable(HEADER, 16)]), 0);
    assert_eq!(rig.driver.send(&[readable(HEADER, 15), writable(STATUS, 1)]), 1);
    assert_eq!(rig.status(), IOERR);
    assert_eq!(rig.driver.send(&[readable(HEADER, 16), writable(RAM_BYTES - 1, 512), writable(STATUS, 1)]), 0);
    assert_eq!(rig.driver.send(&[readable(HEADER, 16), writable(u64::MAX, 2), writable(STATUS, 1)]), 0);
    assert_eq!(rig.driver.send(&[writable(STATUS, 1), readable(HEADER, 16)]), 0);
    assert_eq!(rig.driver.send(&[readable(HEADER, 16), writable(DATA, u32::MAX), writable(STATUS, 1)]), 0);
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 1, &[writable(DATA, 512)]).0, OK);
}

#[test]
fn a_chain_that_loops_comes_back() {
    let mut rig = rig();
    // Every descriptor has a next one, and the last is outside of the table.
    for index in 0..64 {
        rig.driver.write_descriptor(index, HEADER, 1, u16::try_from(VRING_DESC_F_NEXT).unwrap());
    }
    rig.driver.offer_chain();
    assert_eq!(rig.driver.used(), 0);
    assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, &[]).0, OK);
}

#[test]
fn an_impossible_available_index_needs_a_reset_and_a_reset_helps() {
    let mut rig = rig();
    rig.driver.claim_available(1000);
    rig.driver.transport.queue_events()[0].write(1).unwrap();
    rig.driver.wait_for("needs reset", |driver| driver.status() == 0x4f);
    assert!(rig.driver.transport.driver_mistakes() > 0);

    rig.driver.reset();
    assert_eq!(rig.driver.status(), 0);
    rig.driver.start(RING_FEATURES);
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 1, &[writable(DATA, 512)]).0, OK);
}

#[test]
fn a_head_outside_of_the_table_needs_a_reset() {
    let mut rig = rig();
    rig.driver.offer_chain_at(u16::MAX);
    rig.driver.wait_for("needs reset", |driver| driver.status() == 0x4f);
}

#[test]
fn a_chain_in_an_indirect_table_is_served() {
    let mut rig = rig();
    rig.put_header(VIRTIO_BLK_T_IN, 9);
    let flags = |flags: u32| u16::try_from(flags).unwrap();
    let table = BUFFERS + 0x400;
    let next = flags(VRING_DESC_F_NEXT);
    let write = flags(VRING_DESC_F_WRITE);
    let entries = [(HEADER, 16u32, next, 1u16), (DATA, 512, next | write, 2), (STATUS, 1, write, 0)];
    for (at, (address, len, flags, link)) in (table..).step_by(16).zip(entries) {
        rig.driver.fill(at, &address.to_le_bytes());
        rig.driver.fill(at + 8, &len.to_le_bytes());
        rig.driver.fill(at + 12, &flags.to_le_bytes());
        rig.driver.fill(at + 14, &link.to_le_bytes());
    }
    assert_eq!(rig.driver.send(&[(table, 3 * 16, flags(VRING_DESC_F_INDIRECT))]), 513);
    assert_eq!(rig.driver.content(DATA, 512), [9; 512]);
}

#[test]
fn a_reset_with_requests_under_way_ends_them() {
    let mut rig = rig();
    rig.put_header(VIRTIO_BLK_T_FLUSH, 0);
    rig.driver.make_chain(&[readable(HEADER, 16), writable(STATUS, 1)]);
    (0..60).for_each(|_| rig.driver.offer_chain());
    rig.driver.reset();
    std::thread::sleep(A_WHILE);
    assert_eq!(rig.driver.used_index(), 0, "nothing is written after a reset");
}

#[test]
fn a_device_that_was_reset_serves_nothing() {
    let mut rig = rig();
    assert_eq!(rig.request(VIRTIO_BLK_T_FLUSH, 0, &[]).0, OK);
    rig.driver.write(map::VIRTIO_MMIO_STATUS, 0);
    rig.driver.offer_chain();
    std::thread::sleep(A_WHILE);
    assert_eq!(rig.driver.used_index(), 1);
}

#[test]
fn a_file_that_shrank_is_an_error_and_not_the_end() {
    let mut rig = rig();
    rig.image.as_file().set_len(512).unwrap();
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 1, &[writable(DATA, 512)]).0, IOERR);
    assert_eq!(rig.counter("io_errors"), 1);
    assert_eq!(rig.request(VIRTIO_BLK_T_IN, 0, &[writable(DATA, 512)]).0, OK);
}

#[test]
fn a_direct_disk_takes_buffers_of_any_alignment() {
    let mut rig = rig_with(|options| options.direct = true);
    let block = u32::try_from(rig.driver.config(20) & 0xffff_ffff).unwrap();
    let aligned = DATA.next_multiple_of(u64::from(block));
    for at in [aligned, aligned + 1, aligned + 8] {
        rig.driver.fill(at, &vec![0x77; block as usize]);
        assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 0, &[readable(at, block)]).0, OK);
        assert_eq!(rig.request(VIRTIO_BLK_T_OUT, 8, &[readable(at, 3), readable(at + 3, block - 3)]).0, OK);
        rig.driver.fill(at, &vec![0; block as usize]);
        assert_eq!(rig.request(VIRTIO_BLK_T_IN, 8, &[writable(at, block)]).0, OK);
        assert_eq!(rig.driver.content(at, block as usize), vec![0x77; block as usize]);
    }
    assert_eq!(rig.on_disk(0), [0x77; 512]);
}

#[test]
fn counters_have_distinct_names() {
    let names: Vec<_> = BlockCounters::default().counters().map(|(name, _)| name).collect();
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len());
}
