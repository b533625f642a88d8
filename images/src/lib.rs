//! Guest kernels, modules and initramfs images, made from Debian packages.
//!
//! ```text
//! kernels::fetch ──► driver::build ──► initramfs::Builder ──► a file to boot
//!   apt + dpkg -x      kbuild            newc archive: busybox, modules, programs, /init
//! ```
//!
//! Nothing is installed and nothing is written into the checkout: every product is an entry of the [`Cache`], named
//! by what it was made from, so that a second run finds it and two runs at once do not collide. Which kernels there
//! are, and how a module is built for each, is data: `images/kernels.toml`.

mod apt;
mod build_root;
mod cache;
mod command;
mod cpio;
pub mod debian;
pub mod disk;
pub mod driver;
pub mod initramfs;
pub mod kernels;
mod module_tree;
pub mod package;
pub mod programs;
mod progress;
pub mod requirements;
pub mod ssh;
mod tree;

pub use cache::{Cache, Key};

use std::env;
use std::path::PathBuf;

/// The root of this project's checkout. Cargo says where it is when it runs a program of it; what was built may be of another
/// checkout that shares the target folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or_else(|| ".".into(), PathBuf::from)
}
