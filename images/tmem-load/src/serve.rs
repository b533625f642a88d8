//! A table of values in memory, filled and read over the network: what a cache or a database is to a guest.
//!
//! One peer, one after the other request, all numbers little-endian:
//!
//! ```text
//! put    │ 1 u8 │ key u64 │ len u32 │ value … │      no answer
//! get    │ 2 u8 │ key u64 │                        │ len u32 │ value … │; a len of all ones: no such key
//! count  │ 3 u8 │                                  │ values u64 │
//! ```

use std::{
    collections::HashMap,
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context, Result, bail, ensure};

const PUT: u8 = 1;
const GET: u8 = 2;
const COUNT: u8 = 3;
const NO_VALUE: u32 = u32::MAX;
const LONGEST_VALUE_BYTES: u32 = 1 << 20;

/// Serves the first peer that connects, until it hangs up; says on standard error when it listens.
///
/// # Errors
/// Where the address cannot be had, or the peer says what is no request.
pub fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    eprintln!("tmem-load: listening");
    let (stream, _) = listener.accept()?;
    let answers = stream.try_clone()?;
    requests(BufReader::new(stream), BufWriter::new(answers))
}

/// Answers requests until there are none.
fn requests(mut requests: BufReader<impl Read>, mut answers: impl Write) -> Result<()> {
    let mut values: HashMap<u64, Box<[u8]>> = HashMap::new();
    loop {
        if requests.buffer().is_empty() {
            // Nobody asks for more without this.
            answers.flush()?;
        }
        let mut request = [0];
        match requests.read_exact(&mut request) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            result => result?,
        }
        match request[0] {
            PUT => {
                let key = u64::from_le_bytes(array(&mut requests)?);
                let len = u32::from_le_bytes(array(&mut requests)?);
                ensure!(len <= LONGEST_VALUE_BYTES, "a value of {len} bytes");
                let mut value = vec![0; usize::try_from(len)?].into_boxed_slice();
                requests.read_exact(&mut value)?;
                values.insert(key, value);
            }
            GET => {
                let key = u64::from_le_bytes(array(&mut requests)?);
                let value = values.get(&key);
                let len = value.map_or(Ok(NO_VALUE), |value| u32::try_from(value.len()))?;
                answers.write_all(&len.to_le_bytes())?;
                answers.write_all(value.map_or(&[], |value| value))?;
            }
            COUNT => answers.write_all(&(values.len() as u64).to_le_bytes())?,
            other => bail!("request {other} is none"),
        }
    }
}

fn array<const N: usize>(from: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: u64, value: &[u8]) -> Vec<u8> {
        let len = u32::try_from(value.len()).unwrap();
        [&[PUT], &key.to_le_bytes()[..], &len.to_le_bytes(), value].concat()
    }

    fn get(key: u64) -> Vec<u8> {
        [&[GET], &key.to_le_bytes()[..]].concat()
    }

    fn answers(asked: &[Vec<u8>]) -> Result<Vec<u8>> {
        let (asked, mut answers) = (asked.concat(), Vec::new());
        requests(BufReader::new(asked.as_slice()), &mut answers).map(|()| answers)
    }

    #[test]
    fn values_are_kept_by_key_and_the_last_counts() {
        let asked = [put(1, b"one"), put(2, b""), put(1, b"uno"), get(1), get(2), get(3), vec![COUNT]];
        let wanted = [&[3, 0, 0, 0], &b"uno"[..], &[0; 4], &[0xff; 4], &[2, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(answers(&asked).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert!(answers(&[vec![9]]).is_err());
        assert!(answers(&[vec![GET, 0]]).is_err(), "cut short");
        let mut long = put(1, b"");
        long[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(answers(&[long]).is_err());
    }
}
