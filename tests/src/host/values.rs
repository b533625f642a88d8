//! The peer of `tmem-load serve`: puts values, gets them back, and checks every byte.

use crate::traffic;
use anyhow::{Context, Result, ensure};
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

const PUT: u8 = 1;
const GET: u8 = 2;
const COUNT: u8 = 3;
/// Gets that are under way at a time.
const WINDOW: u64 = 16;
/// Values have 1 to 32 KiB.
const SHORTEST_BYTES: u64 = 1 << 10;
const LENGTHS: u64 = (32 << 10) - SHORTEST_BYTES;
/// Prime, so that a walk in steps of it visits every key of a smaller set once, out of order.
const STRIDE: u64 = 15_485_863;

/// A connection to a server of values.
#[derive(Debug)]
pub struct Values {
    requests: BufWriter<TcpStream>,
    answers: BufReader<TcpStream>,
}

impl Values {
    /// Connects to the server in the guest with this address.
    ///
    /// # Errors
    /// Where there is none.
    pub fn connect(guest: &str) -> Result<Self> {
        let stream = traffic::connect(guest)?;
        Ok(Self { requests: BufWriter::new(stream.try_clone()?), answers: BufReader::new(stream) })
    }

    /// Puts values, from key 0 on, until there are this many bytes of them; returns how many values.
    ///
    /// # Errors
    /// Where the server is gone, or counts others.
    pub fn fill(&mut self, bytes: u64) -> Result<u64> {
        let (mut keys, mut filled) = (0, 0);
        while filled < bytes {
            let value = value(keys);
            self.requests.write_all(&[PUT])?;
            self.requests.write_all(&keys.to_le_bytes())?;
            self.requests.write_all(&u32::try_from(value.len())?.to_le_bytes())?;
            self.requests.write_all(&value)?;
            filled += u64::try_from(value.len())?;
            keys += 1;
        }
        self.requests.write_all(&[COUNT])?;
        self.requests.flush()?;
        let count = u64::from_le_bytes(self.array()?);
        ensure!(count == keys, "{count} values are there instead of {keys}");
        Ok(keys)
    }

    /// Gets each of `keys` values once, out of order, and checks it.
    ///
    /// # Errors
    /// Where one is not what was put.
    pub fn check(&mut self, keys: u64) -> Result<()> {
        let order = |position: u64| position.wrapping_mul(STRIDE) % keys;
        for window in (0..keys).step_by(usize::try_from(WINDOW)?) {
            let positions = window..keys.min(window + WINDOW);
            for key in positions.clone().map(order) {
                self.requests.write_all(&[GET])?;
                self.requests.write_all(&key.to_le_bytes())?;
            }
            self.requests.flush()?;
            for key in positions.map(order) {
                let wanted = value(key);
                let len = u32::from_le_bytes(self.array()?);
                ensure!(u32::try_from(wanted.len())? == len, "value {key} has {len} bytes, not {}", wanted.len());
                let mut found = vec![0; wanted.len()];
                self.answers.read_exact(&mut found).with_context(|| format!("value {key}"))?;
                ensure!(found == wanted, "value {key} is not what was put");
            }
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.answers.read_exact(&mut bytes).context("the server does not answer")?;
        Ok(bytes)
    }
}

/// The value of a key.
fn value(key: u64) -> Vec<u8> {
    let len = SHORTEST_BYTES + key.wrapping_mul(STRIDE) % LENGTHS;
    let mut value = vec![0; usize::try_from(len).unwrap_or(0)];
    traffic::fill(key, 0, &mut value);
    value
}
