use super::super::test_driver::{BUFFERS, REGION_BYTES, TestDriver, readable, writable};
use super::*;

fn driver() -> TestDriver {
    TestDriver::started(RngDevice::new().unwrap())
}

#[test]
fn a_request_is_filled_with_bytes_that_differ() {
    let mut driver = driver();
    assert_eq!(driver.send(&[writable(BUFFERS, 64)]), 64);
    let first = driver.content(BUFFERS, 64);
    assert_eq!(driver.send(&[writable(BUFFERS, 64)]), 64);
    assert_ne!(driver.content(BUFFERS, 64), first);
    assert_ne!(first, vec![0; 64]);
    assert_eq!(driver.content(BUFFERS + 64, 8), vec![0; 8], "nothing is written behind the buffer");
}

#[test]
fn a_buffer_in_pieces_across_regions_is_filled() {
    let mut driver = driver();
    assert_eq!(driver.send(&[writable(BUFFERS, 1), writable(REGION_BYTES - 32, 64)]), 65);
    assert_ne!(driver.content(REGION_BYTES - 32, 32), vec![0; 32]);
    assert_ne!(driver.content(REGION_BYTES, 32), vec![0; 32]);
}

#[test]
fn a_greedy_request_gets_some() {
    let mut driver = driver();
    assert_eq!(driver.send(&[writable(BUFFERS, 0x8_0000)]), 4096);
}

#[test]
fn requests_that_make_no_sense_get_nothing() {
    let mut driver = driver();
    assert_eq!(driver.send(&[readable(BUFFERS, 64)]), 0);
    assert_eq!(driver.send(&[writable(u64::MAX - 3, 64)]), 0);
    assert_eq!(driver.send(&[writable(BUFFERS, 8)]), 8, "and the device goes on");
}
