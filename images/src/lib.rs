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

use std::path::Path;

/// The root of this project's checkout.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
