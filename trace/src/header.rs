//! The first bytes of a trace: which store it was recorded on.

use tmem::{ClientConfig, CodecChoice, EvictionChoice};

use crate::error::Malformed;

/// What every trace begins with.
pub(crate) const MAGIC: [u8; 8] = *b"tmemtrc\n";
/// The version of the layout that is written and read.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 32;

/// The store that a trace was recorded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its limit in resident bytes when the recording began.
    pub limit_bytes: u64,
    /// The codec of its puts; the sizes in the trace are this codec's.
    pub codec: CodecChoice,
    /// Its eviction policy.
    pub eviction: EvictionChoice,
}

/// Codecs by their number in the file.
const CODECS: [CodecChoice; 3] = [CodecChoice::Lz4, CodecChoice::Zstd, CodecChoice::PageLz];

impl Header {
    /// The header of a trace of a client with this configuration.
    #[must_use]
    pub fn of(config: &ClientConfig) -> Self {
        Self { limit_bytes: config.limit_bytes, codec: config.codec, eviction: config.eviction }
    }

    /// A client as that of the trace. The seed of its hash makes no difference to any answer.
    #[must_use]
    pub fn config(&self, hash_seed: [u64; 2]) -> ClientConfig {
        ClientConfig { codec: self.codec, eviction: self.eviction, ..ClientConfig::new(self.limit_bytes, hash_seed) }
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.limit_bytes.to_le_bytes());
        bytes[24] = number(&CODECS, &self.codec);
        bytes[25] = number(EvictionChoice::ALL, &self.eviction);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Malformed> {
        let (limit, rest) = bytes[16..].split_first_chunk().ok_or(Malformed::Magic)?;
        if bytes[..8] != MAGIC {
            return Err(Malformed::Magic);
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let codec = CODECS.get(usize::from(rest[0])).ok_or(Malformed::Field("codec"))?;
        let eviction = EvictionChoice::ALL.get(usize::from(rest[1])).ok_or(Malformed::Field("eviction policy"))?;
        if bytes[12..16] != [0; 4] || rest[2..] != [0; 6] {
            return Err(Malformed::Field("reserved bytes"));
        }
        Ok(Self { limit_bytes: u64::from_le_bytes(*limit), codec: *codec, eviction: *eviction })
    }
}

/// The place of a value in its table.
fn number<T: PartialEq>(table: &[T], value: &T) -> u8 {
    let place = table.iter().position(|known| known == value);
    // A value that is in no table has a number that is read by nobody.
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}
