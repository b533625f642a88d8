//! From bytes to operations.

use std::io::{self, BufRead};

use tmem::{Form, Key, ObjectId, PAGE_SIZE, PoolKind, Status};

use crate::content::Content;
use crate::error::{Malformed, ReadError};
use crate::header::{HEADER_BYTES, Header};
use crate::layout::{self, form, kind, unzigzag};
use crate::objects::{Named, Objects};
use crate::operation::{Operation, Record};

/// Reads a trace, record by record, in a memory that does not grow with the file.
///
/// It ends behind the trace's last record, or with the first error.
#[derive(Debug)]
pub struct Reader<R> {
    source: Source<R>,
    header: Header,
    objects: Objects,
    last_us: u64,
    operations: u64,
    ended: bool,
}

/// Bytes, and how many there were so far.
#[derive(Debug)]
struct Source<R> {
    bytes: R,
    offset: u64,
}

/// Why a field could not be read.
enum Fault {
    Io(io::Error),
    Malformed(Malformed),
}

impl From<Malformed> for Fault {
    fn from(problem: Malformed) -> Self {
        Self::Malformed(problem)
    }
}

impl Fault {
    fn at(self, offset: u64) -> ReadError {
        match self {
            Self::Io(source) => ReadError::Io { offset, source },
            Self::Malformed(problem) => ReadError::Malformed { offset, problem },
        }
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Where `bytes` do not begin as a trace of this version does.
    pub fn new(bytes: R) -> Result<Self, ReadError> {
        let mut source = Source { bytes, offset: 0 };
        let header = source.array::<HEADER_BYTES>().and_then(|bytes| Ok(Header::from_bytes(&bytes)?));
        let header = header.map_err(|fault| fault.at(0))?;
        Ok(Self { source, header, objects: Objects::new(), last_us: 0, operations: 0, ended: false })
    }

    /// The store that the trace was recorded on.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The next record; `None` behind the last.
    fn record(&mut self) -> Result<Option<Record>, Fault> {
        let first = self.source.byte()?;
        let ok = first & layout::OK != 0;
        let bits = first & !layout::OK & !layout::KIND_MASK;
        let number = first & layout::KIND_MASK;
        let (allowed, is_answered) = match number {
            kind::POOL_NEW => (layout::PERSISTENT, true),
            kind::PUT => (layout::CONTENT | layout::FORM_MASK, true),
            kind::GET => (layout::EXCLUSIVE, true),
            kind::POOL_DESTROY | kind::FLUSH_RANGE | kind::FLUSH_OBJECT => (0, true),
            _ => (0, false),
        };
        if bits & !allowed != 0 || (ok && !is_answered) {
            return Err(Malformed::Field("first byte").into());
        }
        match number {
            kind::END => return self.end().map(|()| None),
            kind::LOST => return Ok(Some(Record::Lost { operations: self.source.number()? })),
            kind::HELLO..=kind::FLUSH_EPHEMERAL => {}
            other => return Err(Malformed::Kind(other).into()),
        }
        let wait_us = self.source.number()?;
        self.last_us = self.last_us.checked_add(wait_us).ok_or(Malformed::Field("time"))?;
        let operation = self.operation(number, bits, ok)?;
        self.operations += 1;
        Ok(Some(Record::Operation { at_us: self.last_us, operation }))
    }

    fn end(&mut self) -> Result<(), Fault> {
        let said = self.source.number()?;
        if said != self.operations {
            return Err(Malformed::Count { said, found: self.operations }.into());
        }
        match self.source.is_at_end()? {
            true => Ok(()),
            false => Err(Malformed::Trailing.into()),
        }
    }

    fn operation(&mut self, number: u8, bits: u8, ok: bool) -> Result<Operation, Fault> {
        Ok(match number {
            kind::HELLO => Operation::Hello,
            kind::POOL_NEW => Operation::PoolNew {
                kind: if bits & layout::PERSISTENT != 0 { PoolKind::Persistent } else { PoolKind::Ephemeral },
                answer: if ok { Ok(self.source.half("pool")?) } else { Err(self.source.status(false)?) },
            },
            kind::POOL_DESTROY => {
                Operation::PoolDestroy { pool: self.source.half("pool")?, status: self.source.status(ok)? }
            }
            kind::PUT => {
                Operation::Put { key: self.key()?, content: self.content(bits)?, status: self.source.status(ok)? }
            }
            kind::GET => Operation::Get {
                key: self.key()?,
                exclusive: bits & layout::EXCLUSIVE != 0,
                status: self.source.status(ok)?,
            },
            kind::FLUSH_RANGE => Operation::FlushRange {
                first: self.key()?,
                count: self.source.number()?,
                status: self.source.status(ok)?,
            },
            kind::FLUSH_OBJECT => {
                let (_, Named { pool, object, .. }) = self.object()?;
                Operation::FlushObject { pool, object, status: self.source.status(ok)? }
            }
            kind::SET_LIMIT => Operation::SetLimit { bytes: self.source.number()? },
            kind::FREEZE => Operation::Freeze,
            kind::THAW => Operation::Thaw,
            _ => Operation::FlushEphemeral { bytes: self.source.number()? },
        })
    }

    fn content(&mut self, bits: u8) -> Result<Option<Content>, Fault> {
        let form = (bits & layout::FORM_MASK) >> layout::FORM_SHIFT;
        if bits & layout::CONTENT == 0 {
            return if form == 0 { Ok(None) } else { Err(Malformed::Field("first byte").into()) };
        }
        let form = match form {
            form::SAME_FILLED => Form::SameFilled,
            form::SAME_FILLED_WIDE => Form::SameFilledWide,
            form::RAW => Form::Raw,
            _ => {
                let bytes = u16::try_from(self.source.number()?).ok();
                let bytes = bytes.filter(|bytes| (1..PAGE_SIZE).contains(&usize::from(*bytes)));
                Form::Compressed { bytes: bytes.ok_or(Malformed::Field("size"))? }
            }
        };
        Ok(Some(Content { hash: u64::from_le_bytes(self.source.array()?), form }))
    }

    fn key(&mut self) -> Result<Key, Fault> {
        let (number, named) = self.object()?;
        let step = unzigzag(self.source.number()?);
        let index = i64::from(named.last_index).checked_add(step).and_then(|index| u32::try_from(index).ok());
        let index = index.ok_or(Malformed::Field("index"))?;
        self.objects.set(number, Named { last_index: index, ..named });
        Ok(Key { pool: named.pool, object: named.object, index })
    }

    /// An object and its number.
    fn object(&mut self) -> Result<(usize, Named), Fault> {
        let reference = self.source.number()?;
        let number = usize::try_from(reference >> 1).ok().filter(|number| *number < crate::objects::OBJECTS_MAX);
        let number = number.ok_or(Malformed::Field("object"))?;
        if reference & 1 != 0 {
            let pool = self.source.half("pool")?;
            let mut words = [0; 3];
            for word in &mut words {
                *word = u64::from_le_bytes(self.source.array()?);
            }
            self.objects.set(number, Named { pool, object: ObjectId(words), last_index: 0 });
        }
        let named = self.objects.get(number).ok_or(Malformed::Field("object"))?;
        Ok((number, named))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let offset = self.source.offset;
        let record = self.record().map_err(|fault| fault.at(offset));
        self.ended = !matches!(record, Ok(Some(_)));
        record.transpose()
    }
}

impl<R: BufRead> Source<R> {
    fn is_at_end(&mut self) -> Result<bool, Fault> {
        self.bytes.fill_buf().map(<[u8]>::is_empty).map_err(Fault::Io)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        self.bytes.read_exact(&mut array).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Malformed::CutShort.into(),
            _ => Fault::Io(error),
        })?;
        self.offset += N as u64;
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Number.into())
    }

    fn half(&mut self, field: &'static str) -> Result<u32, Fault> {
        Ok(u32::try_from(self.number()?).map_err(|_| Malformed::Field(field))?)
    }

    /// The status, which is not there where the answer was `OK`.
    fn status(&mut self, ok: bool) -> Result<Status, Fault> {
        if ok {
            return Ok(Status::Ok);
        }
        let code = i32::try_from(unzigzag(self.number()?)).ok();
        let status = code.and_then(Status::from_code).filter(|status| *status != Status::Ok);
        Ok(status.ok_or(Malformed::Field("status"))?)
    }
}
