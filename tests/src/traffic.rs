//! Bytes that both halves of a case know, and that are checked one by one where they arrive.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The port that guest halves listen at.
pub const PORT: u16 = 7777;

const CHUNK_BYTES: usize = 64 << 10;
/// How long a byte may be on its way: the machine between is emulated, and its guest swaps.
const PATIENCE: Duration = Duration::from_secs(200);
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Waits for one peer.
///
/// # Errors
/// Where the port is taken.
pub fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    patient(stream)
}

/// Connects to a guest half that is about to listen.
///
/// # Errors
/// Where it never does.
pub fn connect(address: &str) -> Result<TcpStream> {
    connect_to(address, PORT)
}

/// Connects to whoever is about to listen at a port.
///
/// # Errors
/// Where nobody does.
pub fn connect_to(address: &str, port: u16) -> Result<TcpStream> {
    let address = SocketAddr::new(address.parse()?, port);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return patient(stream),
            Err(error) if Instant::now() > deadline => return Err(error).context(format!("nobody at {address}")),
            Err(_) => std::thread::sleep(BETWEEN_TRIES),
        }
    }
}

fn patient(stream: TcpStream) -> Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends the bytes of `seed`.
///
/// # Errors
/// Where the peer does not take them.
pub fn send(mut stream: impl Write, seed: u64, bytes: usize) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    for (index, start) in (0..).zip((0..bytes).step_by(CHUNK_BYTES)) {
        let chunk = &mut chunk[..CHUNK_BYTES.min(bytes - start)];
        fill(seed, index, chunk);
        stream.write_all(chunk).with_context(|| format!("after {start} of {bytes} bytes"))?;
    }
    Ok(stream.flush()?)
}

/// Receives the bytes of `seed` and compares each.
///
/// # Errors
/// Where one is wrong or does not come.
pub fn receive(mut stream: impl Read, seed: u64, bytes: usize) -> Result<()> {
    let (mut chunk, mut expected) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    for (index, start) in (0..).zip((0..bytes).step_by(CHUNK_BYTES)) {
        let len = CHUNK_BYTES.min(bytes - start);
        let (chunk, expected) = (&mut chunk[..len], &mut expected[..len]);
        stream.read_exact(chunk).with_context(|| format!("after {start} of {bytes} bytes"))?;
        fill(seed, index, expected);
        ensure!(chunk == expected, "wrong bytes after {start} of {bytes}");
    }
    Ok(())
}

/// Both at once, which takes a second thread.
///
/// # Errors
/// As [`send`] and [`receive`].
pub fn exchange(stream: &TcpStream, ours: u64, theirs: u64, bytes: usize) -> Result<()> {
    let outgoing = stream.try_clone()?;
    let sender = std::thread::spawn(move || send(outgoing, ours, bytes));
    receive(stream, theirs, bytes)?;
    sender.join().unwrap_or_else(|_| anyhow::bail!("the sending thread panicked"))
}

/// Fills `bytes` with chunk `index` of `seed`: no two chunks are alike, and half of each compresses away.
pub fn fill(seed: u64, index: u64, bytes: &mut [u8]) {
    let mut state = mix(seed ^ mix(index));
    for (position, word) in bytes.chunks_mut(8).enumerate() {
        if position % 2 == 0 {
            state = mix(state);
        }
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014), a step on.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received_and_nothing_else_is() {
        let mut wire = Vec::new();
        send(&mut wire, 1, 100_001).unwrap();
        assert_eq!(wire.len(), 100_001);
        receive(wire.as_slice(), 1, 100_001).unwrap();
        assert!(receive(wire.as_slice(), 2, 100_001).is_err(), "another seed");
        assert!(receive(&wire[..100_000], 1, 100_001).is_err(), "too few");
        wire[99_999] ^= 1;
        assert!(receive(wire.as_slice(), 1, 100_001).is_err(), "a flipped bit");
    }
}
