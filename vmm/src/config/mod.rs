//! What a VM is made of: `vm.toml`, overridden by flags, checked as a whole before anything is created.
//!
//! ```toml
//! name = "web"                  # default: the file's name without its extension
//! kernel = "/boot/vmlinuz"      # bzImage or ELF; paths are relative to this file's folder
//! initrd = "initrd.img"         # optional
//! cmdline = "console=ttyS0 root=/dev/vda"   # default: "console=ttyS0"
//! vcpus = 2                     # 1 to 4, default 1
//! memory = "256MiB"             # KiB, MiB, GiB or TiB
//! cpu = "host"                  # or "baseline": only features that every x86-64 has
//! console = "stdio"             # the serial port on the terminal; or "file:PATH", or "none"
//!
//! [[disk]]                      # /dev/vda, /dev/vdb, … in this order
//! path = "root.img"             # a regular file or a block device
//! read_only = false
//! direct = false                # O_DIRECT: bypass the host's page cache
//! id = "root"                   # what the guest sees as the serial number, optional
//!
//! [[net]]                       # a network card on a tap device of the host
//! tap = "tap0"
//! mac = "02:00:00:00:00:01"     # default: made of the VM's name
//!
//! [tmem]
//! enabled = true
//! service = "/run/tmem/host.sock" # the host service that leases; or
//! policy = "policy.toml"        # a policy for this VM alone; neither: the empty policy
//! limit = "100%"                # a size, or a percentage of `memory`
//! reservation = "0KiB"
//! label = "blue"                # optional, shown by `tmem show`
//! codec = "page-lz"             # or "lz4", "zstd"
//! staging = "8MiB"              # or "0KiB"
//! dedup = "vm"                  # or "off"
//! eviction = "used-first"       # or "second-chance", "fifo"
//! recompress_after_seconds = 60 # 0: never
//! ```
//!
//! Nothing is created or changed by [`load`]: it opens files, and takes locks that end with the [`VmConfig`].

mod disk;
mod document;
mod error;
mod image;
mod mac;
mod net;
mod setting;
mod share;
#[cfg(test)]
mod tests;
mod text;
mod validate;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use protocol::VmName;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;

pub use disk::{DISK_ID_MAX_BYTES, DISKS_MAX, Disk};
pub use error::{ConfigError, Place, Problem};
pub use image::{Initrd, Kernel, KernelFormat};
pub use mac::{MacAddress, MacError};
pub use net::{NETS_MAX, Net, TapProblem};
pub use policy::{ByteSize, Policy, SizeError, SizeOrPercent};

/// A VM that can be started: every value checked, every file open, every disk locked, every tap attached.
#[derive(Debug)]
pub struct VmConfig {
    /// The VM's name, and that of its control socket.
    pub name: VmName,
    /// The kernel.
    pub kernel: Kernel,
    /// The initial RAM file system, if there is one.
    pub initrd: Option<Initrd>,
    /// The kernel's command line: printable ASCII, at most 2047 bytes, perhaps empty.
    pub cmdline: String,
    /// Number of virtual CPUs, 1 to 4.
    pub vcpus: u8,
    /// Guest memory in bytes: whole pages, at least 16 MiB, at most what the host has.
    pub memory_bytes: u64,
    /// The CPU that the guest sees.
    pub cpu: CpuModel,
    /// Where the serial port leads.
    pub console: Console,
    /// The disks in the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// The network cards in the order in which the guest finds them.
    pub nets: Vec<Net>,
    /// The VM's share of the store; `None` where `[tmem]` is switched off.
    pub tmem: Option<TmemConfig>,
    /// The file that the store's operations are recorded in, if they are; created when the VM starts.
    pub trace: Option<PathBuf>,
}

/// The CPU that a guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuModel {
    /// All that this host's CPU and KVM offer.
    Host,
    /// What every x86-64 CPU has: the same on each host, and right where the host is emulated.
    Baseline,
}

/// Where the serial port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Console {
    /// To standard input and output.
    Stdio,
    /// Into a file, which is created or overwritten; there is no input.
    File(PathBuf),
    /// Nowhere.
    None,
}

/// A VM's share of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmemConfig {
    /// Who says what it may hold within its limit.
    pub share: ShareConfig,
    /// What it may hold at most, in bytes of host memory.
    pub limit_bytes: u64,
    /// What is never taken from it, in bytes of host memory; not above the limit.
    pub reservation_bytes: u64,
    /// A label for people and programs.
    pub label: Option<String>,
    /// How pages are compressed; `None`: as the policy says, as with the next three.
    pub codec: Option<Codec>,
    /// Bytes of pages that may wait to be compressed; 0 compresses within each put.
    pub staging_bytes: usize,
    /// Which equal pages are stored once.
    pub dedup: Option<Dedup>,
    /// Which ephemeral pages go first.
    pub eviction: Option<Eviction>,
    /// How long a page must not have been loaded to be compressed once more, smaller and slower; 0: never.
    pub recompress_after: Option<Duration>,
}

/// Who says what a VM's store may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareConfig {
    /// The host service that listens there.
    Service(PathBuf),
    /// The VM's own process, by this policy.
    Policy(Box<Policy>),
    /// The VM's own process, by the empty policy.
    Alone,
}

/// Which equal pages are stored once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dedup {
    /// None.
    Off,
    /// Those of one VM.
    Vm,
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Fast.
    Lz4,
    /// Small.
    Zstd,
    /// As fast as LZ4, and smaller.
    PageLz,
}

/// Which ephemeral pages go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Those that the guest took back, then the oldest.
    UsedFirst,
    /// The oldest, but each once more for each of its last three uses.
    SecondChance,
    /// The oldest.
    Fifo,
}

/// Flags of `tmem run` that replace keys of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--kernel`, relative to the current folder.
    pub kernel: Option<PathBuf>,
    /// `--initrd`, relative to the current folder.
    pub initrd: Option<PathBuf>,
    /// `--cmdline`
    pub cmdline: Option<String>,
    /// `--vcpus`
    pub vcpus: Option<i64>,
    /// `--memory`
    pub memory: Option<ByteSize>,
    /// `--cpu`
    pub cpu: Option<CpuModel>,
    /// `--limit`
    pub limit: Option<SizeOrPercent>,
    /// `--trace`, relative to the current folder.
    pub trace: Option<PathBuf>,
}

/// Reads and checks a configuration.
///
/// # Errors
///
/// [`ConfigError`] with the first mistake: its file, line and key, or its flag, and what would be right.
pub fn load(path: &Path, overrides: Overrides) -> Result<VmConfig, ConfigError> {
    let file = document::ConfigFile::read(path)?;
    let document = file.parse()?;
    validate::validate(&file, document, overrides)
}

impl FromStr for CpuModel {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::deserialize(text.into_deserializer())
    }
}
