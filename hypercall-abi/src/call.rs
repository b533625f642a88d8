//! Call numbers and the flag bits of their arguments.
//!
//! Numbers start at 0x100, so that no [`Status`](crate::Status) is ever a valid call: a saved state in which the `OUT`
//! is executed again, with the status in `EAX`, is answered with `BAD_CALL`.

/// Begins a new life of the guest: all its earlier pools are gone before this answers.
pub const CALL_HELLO: u32 = 0x100;
/// Creates a pool.
pub const CALL_POOL_NEW: u32 = 0x101;
/// Destroys a pool and everything in it.
pub const CALL_POOL_DESTROY: u32 = 0x102;
/// Stores a page.
pub const CALL_PUT: u32 = 0x103;
/// Loads a page.
pub const CALL_GET: u32 = 0x104;
/// Invalidates a range of indexes of one object.
pub const CALL_FLUSH_RANGE: u32 = 0x105;
/// Invalidates an object.
pub const CALL_FLUSH_OBJECT: u32 = 0x106;
/// Runs several puts, gets and range flushes in order.
pub const CALL_BATCH: u32 = 0x107;
/// Asks for the present events; clears nothing.
pub const CALL_EVENTS: u32 = 0x108;
/// Tells the host how the guest's memory is doing.
pub const CALL_REPORT: u32 = 0x109;

/// `HELLO`: persistent pools.
pub const FEATURE_PERSISTENT: u64 = 1 << 0;
/// `HELLO`: ephemeral pools.
pub const FEATURE_EPHEMERAL: u64 = 1 << 1;
/// `HELLO`: the `BATCH` call.
pub const FEATURE_BATCH: u64 = 1 << 2;
/// `HELLO`: the `EVENTS` call. Its interrupt is reserved: version 1 never raises it.
pub const FEATURE_EVENTS: u64 = 1 << 3;
/// `HELLO`: the `REPORT` call.
pub const FEATURE_REPORT: u64 = 1 << 4;

/// `POOL_NEW`: accepted pages are kept until flushed. Without it the pool is ephemeral.
pub const POOL_PERSISTENT: u64 = 1 << 0;
/// `POOL_NEW`: the pool that the host filled from the image with the given UUID; ephemeral only.
pub const POOL_SHARED: u64 = 1 << 1;

/// `GET`: the page leaves the store once it is copied out.
pub const GET_EXCLUSIVE: u64 = 1 << 0;

/// `EVENTS`: the host asks the guest to hold fewer pages.
pub const EVENT_SHRINK: u64 = 1 << 0;
/// `EVENTS`: new puts are rejected at present.
pub const EVENT_FROZEN: u64 = 1 << 1;

/// A call number that version 1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Call {
    /// [`CALL_HELLO`]
    Hello = CALL_HELLO,
    /// [`CALL_POOL_NEW`]
    PoolNew = CALL_POOL_NEW,
    /// [`CALL_POOL_DESTROY`]
    PoolDestroy = CALL_POOL_DESTROY,
    /// [`CALL_PUT`]
    Put = CALL_PUT,
    /// [`CALL_GET`]
    Get = CALL_GET,
    /// [`CALL_FLUSH_RANGE`]
    FlushRange = CALL_FLUSH_RANGE,
    /// [`CALL_FLUSH_OBJECT`]
    FlushObject = CALL_FLUSH_OBJECT,
    /// [`CALL_BATCH`]
    Batch = CALL_BATCH,
    /// [`CALL_EVENTS`]
    Events = CALL_EVENTS,
    /// [`CALL_REPORT`]
    Report = CALL_REPORT,
}

impl Call {
    /// Every call of version 1, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::PoolNew,
        Self::PoolDestroy,
        Self::Put,
        Self::Get,
        Self::FlushRange,
        Self::FlushObject,
        Self::Batch,
        Self::Events,
        Self::Report,
    ];

    /// The call with this number, if version 1 has one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            CALL_HELLO => Self::Hello,
            CALL_POOL_NEW => Self::PoolNew,
            CALL_POOL_DESTROY => Self::PoolDestroy,
            CALL_PUT => Self::Put,
            CALL_GET => Self::Get,
            CALL_FLUSH_RANGE => Self::FlushRange,
            CALL_FLUSH_OBJECT => Self::FlushObject,
            CALL_BATCH => Self::Batch,
            CALL_EVENTS => Self::Events,
            CALL_REPORT => Self::Report,
            _ => return None,
        })
    }

    /// The number that a guest puts into `EAX`.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}
