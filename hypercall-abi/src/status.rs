//! Status codes: 0–15 answers, 16–255 rejections of a put, negative errors of the caller.
//!
//! They are our own numbers and never a host `errno`.

/// Done.
pub const STATUS_OK: i32 = 0;
/// `GET`: no such page.
pub const STATUS_MISS: i32 = 1;
/// `GET`: no such page, and the whole pool is empty: stop asking until the next accepted put.
pub const STATUS_EMPTY: i32 = 2;
/// First status that is a rejection of a put.
pub const STATUS_REJECT_FIRST: i32 = 16;
/// `PUT` rejected: the host has no room.
pub const STATUS_NO_SPACE: i32 = 16;
/// `PUT` rejected: the client is at its limit.
pub const STATUS_OVER_LIMIT: i32 = 17;
/// `PUT` rejected: the client is frozen.
pub const STATUS_FROZEN: i32 = 18;
/// `PUT` rejected: the page does not compress well enough for the policy in force.
pub const STATUS_POOR_RATIO: i32 = 19;
/// `PUT` rejected for the moment.
pub const STATUS_BUSY: i32 = 20;
/// Last status that is a rejection; a guest treats one it does not know as a rejection.
pub const STATUS_REJECT_LAST: i32 = 255;
/// No such call, or not made as the interface demands.
pub const STATUS_BAD_CALL: i32 = -1;
/// The ABI version is not spoken here, or no `HELLO` came before this call.
pub const STATUS_BAD_VERSION: i32 = -2;
/// No such pool.
pub const STATUS_BAD_POOL: i32 = -3;
/// A frame or an address is not guest RAM, or an array is misaligned or leaves its RAM region.
pub const STATUS_BAD_ADDRESS: i32 = -4;
/// An unknown flag, a reserved field that is set, or a number out of range.
pub const STATUS_BAD_ARGUMENT: i32 = -5;
/// The caller may not do this.
pub const STATUS_DENIED: i32 = -6;
/// The host cannot keep more of this kind (pools, objects) for the client.
pub const STATUS_NO_RESOURCES: i32 = -7;

/// What a call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum Status {
    /// [`STATUS_OK`]
    Ok = STATUS_OK,
    /// [`STATUS_MISS`]
    Miss = STATUS_MISS,
    /// [`STATUS_EMPTY`]
    Empty = STATUS_EMPTY,
    /// [`STATUS_NO_SPACE`]
    NoSpace = STATUS_NO_SPACE,
    /// [`STATUS_OVER_LIMIT`]
    OverLimit = STATUS_OVER_LIMIT,
    /// [`STATUS_FROZEN`]
    Frozen = STATUS_FROZEN,
    /// [`STATUS_POOR_RATIO`]
    PoorRatio = STATUS_POOR_RATIO,
    /// [`STATUS_BUSY`]
    Busy = STATUS_BUSY,
    /// [`STATUS_BAD_CALL`]
    BadCall = STATUS_BAD_CALL,
    /// [`STATUS_BAD_VERSION`]
    BadVersion = STATUS_BAD_VERSION,
    /// [`STATUS_BAD_POOL`]
    BadPool = STATUS_BAD_POOL,
    /// [`STATUS_BAD_ADDRESS`]
    BadAddress = STATUS_BAD_ADDRESS,
    /// [`STATUS_BAD_ARGUMENT`]
    BadArgument = STATUS_BAD_ARGUMENT,
    /// [`STATUS_DENIED`]
    Denied = STATUS_DENIED,
    /// [`STATUS_NO_RESOURCES`]
    NoResources = STATUS_NO_RESOURCES,
}

impl Status {
    /// Every status of version 1: answers, rejections, errors.
    pub const ALL: [Self; 15] = [
        Self::Ok,
        Self::Miss,
        Self::Empty,
        Self::NoSpace,
        Self::OverLimit,
        Self::Frozen,
        Self::PoorRatio,
        Self::Busy,
        Self::BadCall,
        Self::BadVersion,
        Self::BadPool,
        Self::BadAddress,
        Self::BadArgument,
        Self::Denied,
        Self::NoResources,
    ];

    /// The code, as `RAX` carries it in its low half.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name in lower case, as metrics and reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Miss => "miss",
            Self::Empty => "empty",
            Self::NoSpace => "no_space",
            Self::OverLimit => "over_limit",
            Self::Frozen => "frozen",
            Self::PoorRatio => "poor_ratio",
            Self::Busy => "busy",
            Self::BadCall => "bad_call",
            Self::BadVersion => "bad_version",
            Self::BadPool => "bad_pool",
            Self::BadAddress => "bad_address",
            Self::BadArgument => "bad_argument",
            Self::Denied => "denied",
            Self::NoResources => "no_resources",
        }
    }

    /// The value of `RAX`: the code, sign-extended.
    #[must_use]
    #[allow(clippy::cast_sign_loss, reason = "the register is the two's complement of the code")]
    pub const fn register(self) -> u64 {
        self as i32 as i64 as u64
    }

    /// The status with this code, if version 1 has one.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether the call did what was asked, or told that the page is not there.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        self.code() >= 0 && self.code() < STATUS_REJECT_FIRST
    }

    /// Whether a put was turned down by the host (the guest made no mistake).
    #[must_use]
    pub const fn is_rejection(self) -> bool {
        self.code() >= STATUS_REJECT_FIRST
    }

    /// Whether the guest made a mistake.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.code() < 0
    }
}
