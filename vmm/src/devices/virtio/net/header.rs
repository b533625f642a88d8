//! What stands in front of each frame, in the rings and on the tap alike, and what may be left undone in a frame
//! (virtio 1.2, section 5.1.6; linux/if_tun.h).
//!
//! ```text
//! 0 flags u8 │ 1 gso_type u8 │ 2 hdr_len u16 │ 4 gso_size u16 │ 6 csum_start u16 │ 8 csum_offset u16 │ 10 num_buffers u16
//! ```

use virtio_bindings::bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_STATUS,
    VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
};

use super::super::has_feature;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 12;
/// Fewest bytes of a frame with its header: an Ethernet header and nothing in it.
pub(super) const SHORTEST_BYTES: u32 = 12 + 14;
/// Most bytes of a frame with its header: what drivers that take long segments must have room for (section 5.1.6.3.1).
pub(super) const LONGEST_BYTES: u32 = 65_562;

const NUM_BUFFERS_AT: usize = 10;

/// The features of a card, without those of its rings. What is sent may lack checksums and be cut into segments later:
/// the tap's side always takes that.
pub(super) const FEATURES: u64 = 1 << VIRTIO_NET_F_MAC
    | 1 << VIRTIO_NET_F_STATUS
    | 1 << VIRTIO_NET_F_MRG_RXBUF
    | 1 << VIRTIO_NET_F_CSUM
    | 1 << VIRTIO_NET_F_HOST_TSO4
    | 1 << VIRTIO_NET_F_HOST_TSO6
    | 1 << VIRTIO_NET_F_GUEST_CSUM
    | 1 << VIRTIO_NET_F_GUEST_TSO4
    | 1 << VIRTIO_NET_F_GUEST_TSO6;

/// What the driver takes in frames that it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Offloads {
    /// Frames without their checksums.
    checksum: bool,
    /// TCP over IPv4, not yet cut into segments.
    tcp4: bool,
    /// TCP over IPv6, not yet cut into segments.
    tcp6: bool,
}

impl Offloads {
    /// Of what the driver accepted. Segments need checksums, so without the one there is none of the other, whatever a
    /// driver says.
    pub(super) fn of(features: u64) -> Self {
        let checksum = has_feature(features, VIRTIO_NET_F_GUEST_CSUM);
        Self {
            checksum,
            tcp4: checksum && has_feature(features, VIRTIO_NET_F_GUEST_TSO4),
            tcp6: checksum && has_feature(features, VIRTIO_NET_F_GUEST_TSO6),
        }
    }

    /// The argument of `TUNSETOFFLOAD`.
    pub(super) fn tun_flags(self) -> libc::c_uint {
        [(self.checksum, libc::TUN_F_CSUM), (self.tcp4, libc::TUN_F_TSO4), (self.tcp6, libc::TUN_F_TSO6)]
            .into_iter()
            .filter(|(taken, _)| *taken)
            .fold(0, |flags, (_, flag)| flags | flag)
    }

    /// Whether the driver takes a frame with this header. Frames may wait in the tap from before the driver said what
    /// it takes.
    pub(super) fn take(self, header: &[u8; HEADER_BYTES]) -> bool {
        let [flags, segments, ..] = header.map(u32::from);
        let needs_checksum = flags & VIRTIO_NET_HDR_F_NEEDS_CSUM != 0;
        let segments_taken = match segments {
            VIRTIO_NET_HDR_GSO_NONE => true,
            VIRTIO_NET_HDR_GSO_TCPV4 => self.tcp4,
            VIRTIO_NET_HDR_GSO_TCPV6 => self.tcp6,
            _ => false,
        };
        segments_taken && (self.checksum || !needs_checksum)
    }
}

/// Says in a frame's header how many buffers the frame is in; always 1 for a driver that does not merge.
pub(super) fn set_buffers(frame: &mut [u8], buffers: u16) {
    frame.iter_mut().skip(NUM_BUFFERS_AT).zip(buffers.to_le_bytes()).for_each(|(byte, value)| *byte = value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_taken_as_it_was_agreed() {
        let checksum = 1 << VIRTIO_NET_F_GUEST_CSUM;
        let tcp4 = 1 << VIRTIO_NET_F_GUEST_TSO4;
        // Features, flags and GSO type of the header, and whether it is taken.
        let table = [
            (0, 0, 0, true),
            (0, 1, 0, false),
            (checksum, 1, 0, true),
            (checksum, 1, 1, false),
            (tcp4, 0, 1, false),
            (checksum | tcp4, 1, 1, true),
            (checksum | tcp4, 1, 4, false),
            (u64::MAX, 1, 4, true),
            (u64::MAX, 1, 3, false),
            (u64::MAX, 1, 0x81, false),
        ];
        for (features, flags, segments, taken) in table {
            let header = [flags, segments, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Offloads::of(features).take(&header), taken, "{features:#x} {flags} {segments}");
        }
    }

    #[test]
    fn the_number_of_buffers_is_the_last_field() {
        let mut frame = [0xff; 13];
        set_buffers(&mut frame, 0x0102);
        assert_eq!(frame[9..], [0xff, 2, 1, 0xff]);
        set_buffers(&mut frame[..3], 1);
    }

    proptest! {
        /// The kernel refuses segments without checksums (`set_offload` in drivers/net/tun.c).
        #[test]
        fn the_tap_is_never_asked_for_what_it_refuses(features: u64) {
            let flags = Offloads::of(features).tun_flags();
            let segments = libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
            prop_assert!(flags & libc::TUN_F_CSUM != 0 || flags & segments == 0);
        }
    }
}
