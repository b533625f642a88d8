//! Addresses of network cards.

use std::fmt;
use std::str::FromStr;

use protocol::VmName;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

/// Bits of the first byte (IEEE 802, 8.2): one for many cards, and one that no manufacturer has given.
const GROUP: u8 = 1;
const LOCAL: u8 = 2;

/// The Ethernet address of one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MacAddress([u8; 6]);

/// Why a text is no [`MacAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// it does not read like one
    #[error("{0:?} is no MAC address; write six pairs of hexadecimal digits like \"02:00:00:00:00:01\"")]
    Form(String),
    /// it is that of a group
    #[error("{0:?} is the address of a group of cards: its first byte is odd; an even one like 02 is right")]
    Group(String),
    /// it is no address at all
    #[error("no card has the address of zeroes; write for example \"02:00:00:00:00:01\"")]
    Zero,
}

impl MacAddress {
    /// The address of card `index` of the VM called `name`: always the same, and locally administered.
    #[must_use]
    pub fn of_vm(name: &VmName, index: usize) -> Self {
        let [mut first, second, third, fourth, fifth, sixth, ..] =
            xxh3_64(format!("{name}/{index}").as_bytes()).to_be_bytes();
        first = first & !GROUP | LOCAL;
        Self([first, second, third, fourth, fifth, sixth])
    }

    /// The bytes, as they are sent.
    #[must_use]
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let form = || MacError::Form(text.to_owned());
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            // `from_str_radix` alone would take "+1".
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(form)?;
        }
        match bytes {
            _ if pairs.next().is_some() => Err(form()),
            [first, ..] if first & GROUP != 0 => Err(MacError::Group(text.to_owned())),
            [0, 0, 0, 0, 0, 0] => Err(MacError::Zero),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        let address: MacAddress = "02:00:5e:Ab:cD:0f".parse().unwrap();
        assert_eq!(address.bytes(), [0x02, 0x00, 0x5e, 0xab, 0xcd, 0x0f]);
        assert_eq!(address.to_string(), "02:00:5e:ab:cd:0f");
    }

    #[test]
    fn what_is_no_address_of_one_card_is_refused() {
        let table = [
            ("", "six pairs"),
            ("02:00:00:00:00", "six pairs"),
            ("02:00:00:00:00:01:02", "six pairs"),
            ("02-00-00-00-00-01", "six pairs"),
            ("02:00:00:00:00:+1", "six pairs"),
            ("02:00:00:00:00:001", "six pairs"),
            ("ff:ff:ff:ff:ff:ff", "odd"),
            ("00:00:00:00:00:00", "zeroes"),
        ];
        for (text, fragment) in table {
            let error = text.parse::<MacAddress>().unwrap_err().to_string();
            assert!(error.contains(fragment), "{text:?} gave {error:?}");
        }
    }

    #[test]
    fn a_vms_address_does_not_change_from_version_to_version() {
        let of = |index| MacAddress::of_vm(&"web".parse().unwrap(), index).to_string();
        assert_eq!([of(0), of(1)], ["0e:e4:02:55:fc:63", "6e:29:3c:2e:82:5d"]);
    }

    proptest! {
        #[test]
        fn addresses_of_vms_are_locally_administered_and_valid(name in "[A-Za-z0-9._-]{1,64}", index in 0usize..8) {
            let address = MacAddress::of_vm(&name.parse().unwrap(), index);
            prop_assert_eq!(address.bytes()[0] & (GROUP | LOCAL), LOCAL);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
