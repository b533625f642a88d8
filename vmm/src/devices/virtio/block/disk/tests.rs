use std::fs;
use std::io::Write;

use super::*;

fn image(bytes: usize) -> File {
    let mut image = tempfile::tempfile().unwrap();
    image.write_all(&vec![0xee; bytes]).unwrap();
    image
}

fn offer(file: File, read_only: bool) -> Offer {
    *Disk::new(file, read_only, false).unwrap().offer()
}

#[test]
fn an_incomplete_last_sector_is_not_part_of_the_disk() {
    assert_eq!(offer(image(1023), false).sectors, 1);
}

#[test]
fn what_is_no_disk_is_refused() {
    let open = |path| Disk::new(File::open(path).unwrap(), true, false);
    assert!(matches!(Disk::new(image(511), false, false), Err(DiskError::Empty)));
    assert!(matches!(open("/"), Err(DiskError::NotADisk)));
    assert!(matches!(open("/dev/null"), Err(DiskError::NotADisk)));
}

#[test]
fn a_read_only_disk_offers_nothing_that_writes() {
    let offer = offer(image(4096), true);
    assert_eq!((offer.read_only, offer.discard, offer.write_zeroes), (true, false, false));
}

#[test]
fn looking_at_a_disk_changes_nothing_in_it() {
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), vec![0xee; 100_000]).unwrap();
    offer(image.reopen().unwrap(), false);
    assert_eq!(fs::read(image.path()).unwrap(), vec![0xee; 100_000]);
}

#[test]
fn a_range_can_be_zeroed_with_and_without_giving_its_space_back() {
    let file = image(8192);
    let disk = Disk::new(file.try_clone().unwrap(), false, false).unwrap();
    disk.write_zeroes(Extent { offset: 512, len: 512 }, false).unwrap();
    disk.write_zeroes(Extent { offset: 4096, len: 4096 }, true).unwrap();
    let mut memory = vec![0; 8192];
    let whole = Slices::one(memory.as_mut_slice().into());
    disk.transfer(Direction::FromFile, Extent { offset: 0, len: 8192 }, whole, None).unwrap();
    let expected = [vec![0xee; 512], vec![0; 512], vec![0xee; 3072], vec![0; 4096]].concat();
    assert_eq!(memory, expected);
    assert_eq!(file.metadata().unwrap().len(), 8192);
}

#[test]
fn a_transfer_larger_than_the_bounce_buffer_arrives_whole() {
    const BYTES: usize = 3 * BOUNCE_BYTES / 2;
    let disk = Disk::new(image(BYTES), false, false).unwrap();
    let bounce = Bounce::new().unwrap();
    let extent = Extent { offset: 0, len: u64::try_from(BYTES).unwrap() };
    let written: Vec<u8> = (0..=250).cycle().take(BYTES + 1).collect();
    let (mut from, mut into) = (written.clone(), vec![0; BYTES + 1]);
    // One byte off, so that neither is aligned.
    let misaligned = |memory| Slices::one(<&mut [u8]>::into(memory));
    disk.transfer(Direction::ToFile, extent, misaligned(&mut from[1..]), Some(&bounce)).unwrap();
    disk.transfer(Direction::FromFile, extent, misaligned(&mut into[1..]), Some(&bounce)).unwrap();
    assert_eq!(into[1..], written[1..]);
}
