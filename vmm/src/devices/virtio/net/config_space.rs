//! A card's configuration space (virtio 1.2, section 5.1.4).

use virtio_bindings::bindings::virtio_net::VIRTIO_NET_S_LINK_UP;

const LEN: usize = 8;

/// `struct virtio_net_config` as far as features of ours have fields in it.
///
/// ```text
/// 0 mac u8 × 6      6 status u16
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConfigSpace {
    mac: [u8; 6],
}

impl ConfigSpace {
    pub(super) fn new(mac: [u8; 6]) -> Self {
        Self { mac }
    }

    /// Fills `data` from `offset`; what is outside stays as it is.
    pub(super) fn read(&self, link_is_up: bool, offset: u64, data: &mut [u8]) {
        let status = if link_is_up { VIRTIO_NET_S_LINK_UP } else { 0 };
        let mut space = [0; LEN];
        let (mac, rest) = space.split_at_mut(self.mac.len());
        mac.copy_from_slice(&self.mac);
        // A status has two bytes, of which bits are defined in the first.
        rest.iter_mut().zip(status.to_le_bytes()).for_each(|(byte, value)| *byte = value);
        let Some(rest) = usize::try_from(offset).ok().and_then(|offset| space.get(offset..)) else { return };
        for (byte, value) in data.iter_mut().zip(rest) {
            *byte = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0xab, 0xcd, 0xef];

    fn read<const N: usize>(link_is_up: bool, offset: u64) -> [u8; N] {
        let mut data = [0xaa; N];
        ConfigSpace::new(MAC).read(link_is_up, offset, &mut data);
        data
    }

    #[test]
    fn fields_are_where_the_driver_looks() {
        assert_eq!(read(true, 0), MAC);
        assert_eq!(read(true, 6), [1, 0]);
        assert_eq!(read(false, 6), [0, 0]);
    }

    #[test]
    fn reads_at_and_beyond_the_end_are_cut_short() {
        assert_eq!(read(true, 7), [0, 0xaa]);
        assert_eq!(read(true, 8), [0xaa; 4]);
        assert_eq!(read(true, u64::MAX), [0xaa; 4]);
    }
}
