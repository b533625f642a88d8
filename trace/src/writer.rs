//! From operations to bytes.

use std::io::{self, Write};

use tmem::{Form, Key, ObjectId, PoolKind, Status};

use crate::content::Content;
use crate::header::Header;
use crate::layout::{self, form, kind, zigzag};
use crate::objects::{Named, Objects};
use crate::operation::{Operation, Record};

/// Writes a trace.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    objects: Objects,
    last_us: u64,
    operations: u64,
    /// The record that is being made.
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a trace. Give it a writer that has a buffer.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        out.write_all(&header.to_bytes())?;
        Ok(Self { out, objects: Objects::new(), last_us: 0, operations: 0, record: Vec::new() })
    }

    /// Writes one record. A time before that of the record before counts as the same.
    ///
    /// # Errors
    /// What the writer below says; the trace ends there then.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.record.clear();
        match record {
            Record::Lost { operations } => {
                self.record.push(kind::LOST);
                self.number(*operations);
            }
            Record::Operation { at_us, operation } => {
                self.operations += 1;
                self.operation(at_us.saturating_sub(self.last_us), operation);
                self.last_us = self.last_us.max(*at_us);
            }
        }
        self.out.write_all(&self.record)
    }

    /// Hands what was written on to the file.
    ///
    /// # Errors
    /// What the writer below says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Operations written so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Ends the trace and hands the writer below back.
    ///
    /// # Errors
    /// What that says.
    pub fn finish(mut self) -> io::Result<W> {
        self.record.clear();
        self.record.push(kind::END);
        self.number(self.operations);
        self.out.write_all(&self.record)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn operation(&mut self, wait_us: u64, operation: &Operation) {
        match *operation {
            Operation::Hello => self.begin(kind::HELLO, wait_us),
            Operation::PoolNew { kind, answer } => {
                let persistent = if kind == PoolKind::Persistent { layout::PERSISTENT } else { 0 };
                let ok = if answer.is_ok() { layout::OK } else { 0 };
                self.begin(kind::POOL_NEW | persistent | ok, wait_us);
                match answer {
                    Ok(pool) => self.number(pool.into()),
                    Err(status) => self.number(zigzag(status.code().into())),
                }
            }
            Operation::PoolDestroy { pool, status } => {
                self.begin_answered(kind::POOL_DESTROY, wait_us, status);
                self.number(pool.into());
                self.status(status);
            }
            Operation::Put { key, content, status } => {
                let bits = content.map_or(0, |content| layout::CONTENT | form_bits(content.form) << layout::FORM_SHIFT);
                self.begin_answered(kind::PUT | bits, wait_us, status);
                self.key(key);
                if let Some(Content { hash, form }) = content {
                    if let Form::Compressed { bytes } = form {
                        self.number(bytes.into());
                    }
                    self.record.extend_from_slice(&hash.to_le_bytes());
                }
                self.status(status);
            }
            Operation::Get { key, exclusive, status } => {
                let bits = if exclusive { layout::EXCLUSIVE } else { 0 };
                self.begin_answered(kind::GET | bits, wait_us, status);
                self.key(key);
                self.status(status);
            }
            Operation::FlushRange { first, count, status } => {
                self.begin_answered(kind::FLUSH_RANGE, wait_us, status);
                self.key(first);
                self.number(count);
                self.status(status);
            }
            Operation::FlushObject { pool, object, status } => {
                self.begin_answered(kind::FLUSH_OBJECT, wait_us, status);
                self.object(pool, object);
                self.status(status);
            }
            Operation::SetLimit { bytes } => {
                self.begin(kind::SET_LIMIT, wait_us);
                self.number(bytes);
            }
            Operation::Freeze => self.begin(kind::FREEZE, wait_us),
            Operation::Thaw => self.begin(kind::THAW, wait_us),
            Operation::FlushEphemeral { bytes } => {
                self.begin(kind::FLUSH_EPHEMERAL, wait_us);
                self.number(bytes);
            }
        }
    }

    fn begin(&mut self, first: u8, wait_us: u64) {
        self.record.push(first);
        self.number(wait_us);
    }

    fn begin_answered(&mut self, first: u8, wait_us: u64, status: Status) {
        self.begin(first | if status == Status::Ok { layout::OK } else { 0 }, wait_us);
    }

    fn status(&mut self, status: Status) {
        if status != Status::Ok {
            self.number(zigzag(status.code().into()));
        }
    }

    fn key(&mut self, key: Key) {
        let (number, last_index) = self.object(key.pool, key.object);
        self.number(zigzag(i64::from(key.index) - i64::from(last_index)));
        self.objects.set(number, Named { pool: key.pool, object: key.object, last_index: key.index });
    }

    /// Names an object; returns its number, and the index in it that was named last.
    fn object(&mut self, pool: u32, object: ObjectId) -> (usize, u32) {
        let number = Objects::number_of(pool, object);
        let known = self.objects.get(number).filter(|named| named.pool == pool && named.object == object);
        self.number((number as u64) << 1 | u64::from(known.is_none()));
        let last_index = known.map_or(0, |named| named.last_index);
        if known.is_none() {
            self.number(pool.into());
            object.0.into_iter().for_each(|word| self.record.extend_from_slice(&word.to_le_bytes()));
            self.objects.set(number, Named { pool, object, last_index });
        }
        (number, last_index)
    }

    /// Seven bits a byte, the lowest first; bit 7 says that more follow.
    #[expect(clippy::cast_possible_truncation, reason = "seven bits are meant")]
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.record.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.record.push(value as u8);
    }
}

fn form_bits(form: Form) -> u8 {
    match form {
        Form::SameFilled => form::SAME_FILLED,
        Form::SameFilledWide => form::SAME_FILLED_WIDE,
        Form::Raw => form::RAW,
        Form::Compressed { .. } => form::COMPRESSED,
    }
}
