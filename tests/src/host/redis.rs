//! A client of redis that sets values, gets them back, and checks every byte.

use crate::traffic;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

const PORT: u16 = 6379;
/// Commands on their way at once.
const WINDOW: u64 = 32;
/// Length of a value: a page and a bit, so that values and pages do not match.
const VALUE_BYTES: usize = 6000;

/// A connection to a server.
#[derive(Debug)]
pub struct Redis {
    replies: BufReader<TcpStream>,
    commands: BufWriter<TcpStream>,
}

impl Redis {
    /// Connects to the server in the guest with this address, which listens soon.
    ///
    /// # Errors
    /// Where there is none.
    pub fn connect(guest: &str) -> Result<Self> {
        let stream = traffic::connect_to(guest, PORT).context("no redis")?;
        Ok(Self { replies: BufReader::new(stream.try_clone()?), commands: BufWriter::new(stream) })
    }

    /// Sets values of this many bytes together; returns how many.
    ///
    /// # Errors
    /// Where the server does not take one.
    pub fn fill(&mut self, bytes: u64) -> Result<u64> {
        let values = bytes / u64::try_from(VALUE_BYTES)?;
        self.pipelined(
            values,
            |redis, number| redis.send(&[b"SET", &key(number), &value(number)]),
            |redis, _| redis.expect_line("+OK"),
        )?;
        Ok(values)
    }

    /// Gets all values back and compares each with what was set.
    ///
    /// # Errors
    /// Where one is another.
    pub fn check(&mut self, values: u64) -> Result<()> {
        let mut got = vec![0; VALUE_BYTES + 2];
        self.pipelined(
            values,
            |redis, number| redis.send(&[b"GET", &key(number)]),
            |redis, number| {
                redis.expect_line(&format!("${VALUE_BYTES}"))?;
                redis.replies.read_exact(&mut got)?;
                ensure!(got[..VALUE_BYTES] == value(number), "value {number} is not what was set");
                Ok(())
            },
        )
    }

    /// Sends commands ahead of their replies.
    fn pipelined(
        &mut self,
        count: u64,
        mut send: impl FnMut(&mut Self, u64) -> Result<()>,
        mut receive: impl FnMut(&mut Self, u64) -> Result<()>,
    ) -> Result<()> {
        for first in (0..count).step_by(usize::try_from(WINDOW)?) {
            let numbers = first..count.min(first + WINDOW);
            numbers.clone().try_for_each(|number| send(self, number))?;
            self.commands.flush()?;
            let failed = || format!("values {first} to {} of {count}", first + WINDOW);
            numbers.clone().try_for_each(|number| receive(self, number)).with_context(failed)?;
        }
        Ok(())
    }

    /// Writes a command as redis's protocol has it: an array of strings with their lengths.
    fn send(&mut self, words: &[&[u8]]) -> Result<()> {
        write!(self.commands, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.commands, "${}\r\n", word.len())?;
            self.commands.write_all(word)?;
            self.commands.write_all(b"\r\n")?;
        }
        Ok(())
    }

    fn expect_line(&mut self, wanted: &str) -> Result<()> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        ensure!(line.trim_end() == wanted, "redis said {line:?} instead of {wanted}");
        Ok(())
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    traffic::fill(number, 0, &mut value);
    value
}
