//! Network cards: their tap devices, attached, so that no two VMs share one.
//!
//! A tap is attached by its name (linux/if_tun.h) and stays so until the file is closed, however the process ends. It
//! must be there already: one that is made by attaching to it would go with the VM, and with it its address and its
//! place in a bridge.

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use protocol::VmName;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use super::document::{ConfigFile, NetTable};
use super::error::{ConfigError, Problem};
use super::mac::MacAddress;
use super::setting::Setting;
use super::text::printable;
use crate::devices::virtio::net::HEADER_BYTES;

/// Most network cards of a VM: each takes an interrupt line of the one I/O APIC.
pub const NETS_MAX: usize = 4;

/// Longest name of an interface in bytes: `IFNAMSIZ` without its NUL (linux/if.h).
const NAME_MAX_BYTES: usize = 15;

const TUN: &str = "/dev/net/tun";

/// A network card, its tap attached for as long as `file` lives.
#[derive(Debug)]
pub struct Net {
    /// Name of the tap.
    pub tap: String,
    /// The tap: does not block, and has the header of virtio-net in front of each frame.
    pub file: File,
    /// The card's address.
    pub mac: MacAddress,
}

/// Why a tap cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapProblem {
    /// there is no such interface
    #[error("there is no tap {0}; make it: ip tuntap add dev {0} mode tap user $USER; ip link set {0} up")]
    Missing(String),
    /// the host has no taps
    #[error("this host has no {TUN}; load its module: modprobe tun")]
    NoTun,
    /// taps cannot be opened
    #[error("no permission on {TUN}: it should be readable and writable for all (chmod 0666 {TUN})")]
    NoPermission,
    /// another VM or program has it
    #[error("tap {0} is in use by another VM or program")]
    Busy(String),
    /// this VM has it already
    #[error("tap {0} is the one of an earlier network card of this VM; each card has its own")]
    Twice(String),
    /// it belongs to somebody else
    #[error("tap {0} belongs to another user; take one of yours: ip tuntap add dev NAME mode tap user $USER")]
    NotYours(String),
    /// it is another kind of interface
    #[error("{0} is no tap, or one with several queues; `ip tuntap add dev NAME mode tap` makes what is needed")]
    NotATap(String),
    /// the host fails otherwise
    #[error("tap {tap} cannot be attached")]
    Host {
        /// The tap.
        tap: String,
        /// What the host says.
        #[source]
        source: io::Error,
    },
}

/// What is wanted of a card, before its tap is looked for.
struct Wanted {
    tap: Setting<String>,
    mac: MacAddress,
}

/// Attaches the taps in their order.
pub(super) fn open_all(file: &ConfigFile, tables: Vec<NetTable>, vm: &VmName) -> Result<Vec<Net>, ConfigError> {
    let attached = wanted(file, tables, vm)?.into_iter().map(|Wanted { tap, mac }| {
        let file = attach(&tap.value).map_err(|problem| tap.fail(Problem::Tap(problem)))?;
        Ok(Net { tap: tap.value, file, mac })
    });
    attached.collect()
}

/// The cards, if their texts make sense and no two of them are one.
fn wanted(file: &ConfigFile, tables: Vec<NetTable>, vm: &VmName) -> Result<Vec<Wanted>, ConfigError> {
    let mut cards: Vec<Wanted> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let tap = Setting::of_key(file, "net.tap", table.tap);
        if index >= NETS_MAX {
            return Err(tap.fail(Problem::TooManyNets(index + 1)));
        }
        let place = tap.place.clone();
        let tap = Setting { value: printable(tap, NAME_MAX_BYTES, "1 to 15 characters")?, place };
        if cards.iter().any(|earlier| earlier.tap.value == tap.value) {
            let twice = TapProblem::Twice(tap.value.clone());
            return Err(tap.fail(Problem::Tap(twice)));
        }
        let mac = match table.mac {
            Some(mac) => {
                let mac = Setting::of_key(file, "net.mac", mac);
                if cards.iter().any(|earlier| earlier.mac == mac.value) {
                    return Err(mac.fail(Problem::MacTwice(mac.value)));
                }
                mac.value
            }
            None => MacAddress::of_vm(vm, index),
        };
        cards.push(Wanted { tap, mac });
    }
    Ok(cards)
}

fn attach(tap: &str) -> Result<File, TapProblem> {
    let host = |source| TapProblem::Host { tap: tap.to_owned(), source };
    exists(tap)?;
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN).map_err(|source| {
            match Errno::from_io_error(&source) {
                Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => TapProblem::NoTun,
                Some(Errno::ACCESS | Errno::PERM) => TapProblem::NoPermission,
                _ => host(source),
            }
        })?;
    set_interface(&file, tap).map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::BUSY) => TapProblem::Busy(tap.to_owned()),
        Some(Errno::PERM) => TapProblem::NotYours(tap.to_owned()),
        Some(Errno::INVAL) => TapProblem::NotATap(tap.to_owned()),
        _ => host(source),
    })?;
    set_header_bytes(&file).map_err(host)?;
    Ok(file)
}

/// Attaching to a name that nobody has makes an interface, where the user may; so this is asked first.
fn exists(tap: &str) -> Result<(), TapProblem> {
    let host = |source: Errno| TapProblem::Host { tap: tap.to_owned(), source: source.into() };
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).map_err(host)?;
    match netdevice::name_to_index(&socket, tap) {
        Ok(_) => Ok(()),
        Err(Errno::NODEV) => Err(TapProblem::Missing(tap.to_owned())),
        Err(error) => Err(host(error)),
    }
}

fn set_interface(file: &File, tap: &str) -> io::Result<()> {
    // SAFETY: all of it may be zero: an array, and a union of integers, arrays and a pointer that nobody follows.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // Shorter than the field, so that a NUL is left at the end.
    for (character, byte) in request.ifr_name.iter_mut().zip(tap.bytes().take(NAME_MAX_BYTES)) {
        *character = byte.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes an ifreq at the argument, which lives until the call returns.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

fn set_header_bytes(file: &File) -> io::Result<()> {
    let bytes = c_int::try_from(HEADER_BYTES).map_err(io::Error::other)?;
    // SAFETY: TUNSETVNETHDRSZ reads an int at the argument, which lives until the call returns.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const bytes) })
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
