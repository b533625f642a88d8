use proptest::prelude::*;
use virtio_queue::desc::split::Descriptor;
use vm_memory::Bytes;

use super::super::super::ChainLimits;
use super::*;

const RAM_BYTES: u64 = 0x10_0000;
const HEADER: u64 = 0x100;
const STATUS: u64 = 0x200;
const DATA: u64 = 0x1000;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const LIMITS: ChainLimits = ChainLimits { segments: 8, bytes: 0x1_0000 };

const OFFER: Offer = Offer { sectors: 1000, block_bytes: 512, read_only: false, discard: true, write_zeroes: true };

fn ram() -> GuestRam {
    GuestRam::from_ranges(&[(GuestAddress(0), usize::try_from(RAM_BYTES).unwrap())]).unwrap()
}

/// The request with this header and these pieces of data, each an address, a length and its flags.
fn parse(offer: &Offer, kind: u32, sector: u64, data: &[(u64, u32, u16)]) -> Result<Request, Refusal> {
    let ram = ram();
    ram.write_obj(kind, GuestAddress(HEADER)).unwrap();
    ram.write_obj(sector, GuestAddress(HEADER + 8)).unwrap();
    let pieces = [&[(HEADER, 16, 0)], data, &[(STATUS, 1, WRITE)]].concat();
    let last = pieces.len() - 1;
    let descriptors = pieces.iter().enumerate().map(|(index, (address, len, flags))| {
        Descriptor::new(*address, *len, flags | if index == last { 0 } else { NEXT }, 0)
    });
    let chain = Chain::read(descriptors, &ram, LIMITS).unwrap();
    let job = Job::parse(chain, &ram, offer).unwrap();
    assert_eq!(job.status, GuestAddress(STATUS));
    job.request
}

fn extent_of_read(offer: &Offer, sector: u64, len: u32) -> Result<Extent, Refusal> {
    match parse(offer, VIRTIO_BLK_T_IN, sector, &[(DATA, len, WRITE)])? {
        Request::Read { from, .. } => Ok(from),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_up_to_the_last_sector_is_allowed() {
    assert_eq!(extent_of_read(&OFFER, 998, 1024), Ok(Extent { offset: 998 * 512, len: 1024 }));
    assert_eq!(extent_of_read(&OFFER, 999, 1024), Err(Refusal::BeyondEnd { sector: 999, len: 1024 }));
}

#[test]
fn sectors_whose_bytes_overflow_are_beyond_the_end() {
    assert!(matches!(extent_of_read(&OFFER, u64::MAX, 512), Err(Refusal::BeyondEnd { .. })));
    assert!(matches!(extent_of_read(&OFFER, u64::MAX / 512 + 1, 512), Err(Refusal::BeyondEnd { .. })));
}

#[test]
fn only_whole_blocks_are_allowed() {
    assert!(matches!(extent_of_read(&OFFER, 0, 511), Err(Refusal::Misaligned { .. })));
    let big = Offer { block_bytes: 4096, ..OFFER };
    assert!(matches!(extent_of_read(&big, 0, 512), Err(Refusal::Misaligned { .. })));
    assert!(matches!(extent_of_read(&big, 1, 4096), Err(Refusal::Misaligned { .. })));
    assert_eq!(extent_of_read(&big, 8, 4096), Ok(Extent { offset: 4096, len: 4096 }));
}

#[test]
fn data_in_the_wrong_direction_is_no_data() {
    let read = parse(&OFFER, VIRTIO_BLK_T_IN, 0, &[(DATA, 512, 0)]).unwrap();
    assert_eq!(read, Request::Read { from: Extent { offset: 0, len: 0 }, into: Segments::default() });
}

#[test]
fn a_range_request_has_exactly_one_range() {
    assert_eq!(parse(&OFFER, VIRTIO_BLK_T_DISCARD, 0, &[]), Err(Refusal::NoRange));
    assert_eq!(parse(&OFFER, VIRTIO_BLK_T_DISCARD, 0, &[(DATA, 15, 0)]), Err(Refusal::NoRange));
    assert_eq!(parse(&OFFER, VIRTIO_BLK_T_DISCARD, 0, &[(DATA, 32, 0)]), Err(Refusal::NoRange));
}

#[test]
fn what_is_not_offered_is_unsupported() {
    let offer = Offer { discard: false, write_zeroes: false, ..OFFER };
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 2, 3, 1 << 31] {
        let refusal = parse(&offer, kind, 0, &[(DATA, 16, 0)]).unwrap_err();
        assert_eq!((refusal, refusal.status()), (Refusal::UnknownType(kind), VIRTIO_BLK_S_UNSUPP));
    }
}

/// Any descriptor at all, but often one in RAM.
fn descriptor() -> impl Strategy<Value = Descriptor> {
    let address = prop_oneof![4 => 0..RAM_BYTES, 1 => any::<u64>()];
    let len = prop_oneof![4 => 0u32..2048, 2 => Just(512), 1 => any::<u32>()];
    (address, len, 0u16..4).prop_map(|(address, len, flags)| Descriptor::new(address, len, flags, 0))
}

proptest! {
    #[test]
    fn whatever_the_chain_a_request_stays_inside_of_the_disk_and_of_ram(
        descriptors in prop::collection::vec(descriptor(), 0..12),
        kind in prop_oneof![0u32..16, any::<u32>()],
        sector in prop_oneof![0u64..1100, any::<u64>()],
        noise in prop::collection::vec(any::<u8>(), 4096),
    ) {
        let ram = ram();
        (0..RAM_BYTES / 4096).for_each(|page| ram.write_slice(&noise, GuestAddress(page * 4096)).unwrap());
        // A valid header where the first descriptor points, if that is in RAM.
        if let Some(first) = descriptors.first() {
            let _ = ram.write_obj(kind, first.addr());
            let _ = ram.write_obj(sector, GuestAddress(first.addr().0.saturating_add(8)));
        }
        let Ok(chain) = Chain::read(descriptors.into_iter(), &ram, LIMITS) else { return Ok(()) };
        prop_assert!(chain.readable.len() + chain.writable.len() <= LIMITS.bytes);
        let whole = chain.clone();
        let Some(job) = Job::parse(chain, &ram, &OFFER) else { return Ok(()) };
        prop_assert!(job.status.0 < RAM_BYTES);
        let (extent, data) = match job.request {
            Ok(Request::Read { from, into }) => (from, into),
            Ok(Request::Write { to, from }) => (to, from),
            Ok(Request::Discard(range) | Request::WriteZeroes { range, .. }) => (range, Segments::default()),
            _ => return Ok(()),
        };
        prop_assert!(extent.offset + extent.len <= OFFER.sectors * 512);
        prop_assert!(data.is_empty() || u64::from(data.len()) == extent.len);
        prop_assert!(data.len() < whole.readable.len() + whole.writable.len());
        prop_assert!(data.iter().all(|segment| segment.address.0 + u64::from(segment.len) <= RAM_BYTES));
    }

    #[test]
    fn cutting_bytes_off_a_run_leaves_the_rest(lens in prop::collection::vec(1u32..40, 1..8)) {
        let ram = ram();
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        ram.write_slice(&bytes, GuestAddress(DATA)).unwrap();
        let mut at = DATA;
        let descriptors: Vec<_> = lens.iter().enumerate().map(|(index, len)| {
            let next = if index + 1 == lens.len() { 0 } else { NEXT };
            let descriptor = Descriptor::new(at, *len, next, 0);
            at += u64::from(*len);
            descriptor
        }).collect();
        let mut run = Chain::read(descriptors.into_iter(), &ram, LIMITS).unwrap().readable;
        let total = run.len();
        let first: Option<[u8; 16]> = run.pop_first_bytes(&ram);
        prop_assert_eq!(first.is_some(), total >= 16);
        if let Some(first) = first {
            prop_assert_eq!(&first[..], &bytes[..16]);
            prop_assert_eq!(run.len(), total - 16);
            prop_assert_eq!(run.pop_last_byte().is_some(), total > 16);
        }
    }
}
