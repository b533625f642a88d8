//! The host half of a case: starts VMs by `tmem run` and controls them by the `tmem` command, as a user does.

mod console;
mod network;
mod redis;
mod service;
mod spec;
mod ssh;
mod values;
mod vm;

pub use network::Tap;
pub use redis::Redis;
pub use service::{Listing, Service};
pub use spec::{Disk, Spec};
pub(crate) use ssh::SSH;
pub use values::Values;
pub use vm::Vm;

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Makes a file system.
pub(crate) const MKFS: &str = "/sbin/mkfs.ext4";
/// The same for the file systems whose modules guests may have.
pub(crate) const MKFS_OF_MODULES: [&str; 2] = ["/sbin/mkfs.xfs", "/sbin/mkfs.btrfs"];
/// Blocks of a page; nothing that the kernel would write later by itself, or that 5.10 does not know.
const MKFS_OPTIONS: [&str; 8] = [
    "-q",
    "-b",
    "4096",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0",
    "-O",
    "^orphan_file,^metadata_csum_seed",
    "-F",
];

/// How much longer a guest may take whose kernel checks its own locks and memory.
const DEBUG_KERNEL_TAKES: u32 = 3;

/// Makes an empty ext4 that fills the file.
///
/// # Errors
/// Where there is no `mkfs.ext4` (package e2fsprogs), or it fails.
pub(crate) fn make_ext4(path: &Path) -> Result<()> {
    let output = Command::new(MKFS).args(MKFS_OPTIONS).arg(path).output().context("cannot start mkfs.ext4")?;
    ensure!(output.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The files that a host half works with. They lie where the bed put them.
#[derive(Clone, Debug)]
pub struct Files {
    /// The `tmem` command.
    pub tmem: PathBuf,
    /// Directory with, for each kernel, `NAME/bzImage` and `NAME/initramfs`.
    pub images: PathBuf,
    /// Directory for what the cases make.
    pub scratch: PathBuf,
}

/// What a host half has at hand.
#[derive(Debug)]
pub struct Host {
    files: Files,
    case: &'static str,
    kernel: String,
    dir: PathBuf,
    started: u32,
    /// Figures for people, printed with the outcome.
    pub notes: Vec<String>,
}

impl Host {
    /// Makes a directory for a case on a kernel.
    ///
    /// # Errors
    /// Where the directory cannot be made.
    pub fn new(files: &Files, case: &'static str, kernel: &str) -> Result<Self> {
        let dir = files.scratch.join(format!("{case}-{kernel}"));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { files: files.clone(), case, kernel: kernel.to_owned(), dir, started: 0, notes: Vec::new() })
    }

    /// Adds a figure to what is printed with the outcome.
    pub fn note(&mut self, figure: String) {
        self.notes.push(figure);
    }

    /// Name of the kernel under test.
    #[must_use]
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Directory of this case.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kernel's image.
    #[must_use]
    pub fn bzimage(&self) -> PathBuf {
        self.files.images.join(&self.kernel).join("bzImage")
    }

    /// The guest's initramfs.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.files.images.join(&self.kernel).join("initramfs")
    }

    /// Makes an empty disk image of this size in the case's directory.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn disk(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.dir.join(name);
        File::create(&path)?.set_len(bytes)?;
        Ok(path)
    }

    /// Makes a disk image of this size with an empty ext4 on it.
    ///
    /// # Errors
    /// Where the file cannot be made, or there is no `mkfs.ext4` (package e2fsprogs).
    pub fn ext4_disk(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.disk(name, bytes)?;
        make_ext4(&path)?;
        Ok(path)
    }

    /// Makes a disk image of this size with an empty file system of a kind whose module guests may have.
    ///
    /// # Errors
    /// Where the file cannot be made, or there is no program to make such a file system.
    pub fn disk_of_kind(&self, kind: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.disk(kind, bytes)?;
        let program = MKFS_OF_MODULES.iter().find(|program| program.ends_with(kind));
        let program = program.with_context(|| format!("no program makes {kind}"))?;
        let output = Command::new(program).args(["-q", "-f"]).arg(&path).output().context(*program)?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(path)
    }

    /// A disk that is no memory: an emulated host's own, elsewhere a file of this size in the case's directory.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn real_disk(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        if Self::owns_machine() { Ok("/dev/vda".into()) } else { self.disk(name, bytes) }
    }

    /// The disks of a Debian guest: its root, and one with the programs of the guest halves.
    #[must_use]
    pub(super) fn debian_disks(&self) -> [PathBuf; 2] {
        if Self::owns_machine() {
            ["/dev/vdb", "/dev/vdc"].map(PathBuf::from)
        } else {
            ["root", "programs"].map(|name| self.files.images.join(&self.kernel).join(name))
        }
    }

    /// Writes the VM's configuration and starts it.
    ///
    /// # Errors
    /// Where the file cannot be written or `tmem` not be started.
    pub fn start(&mut self, spec: &Spec) -> Result<Vm> {
        self.started += 1;
        let name = format!("{}-{}-{}", self.case, self.kernel, self.started);
        let config = self.write_config(&name, spec)?;
        let patience = spec.patience * if self.kernel.ends_with("-debug") { DEBUG_KERNEL_TAKES } else { 1 };
        Vm::start(&self.files.tmem, name, &config, &Spec { patience, ..spec.clone() })
    }

    /// Writes the configuration of a VM of that name and returns its path.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_config(&self, name: &str, spec: &Spec) -> Result<PathBuf> {
        let config = self.dir.join(format!("{name}.toml"));
        let initramfs = if spec.file_systems { self.with_file_systems()? } else { self.initramfs() };
        fs::write(&config, spec.toml(name, self.case, &self.bzimage(), &initramfs))?;
        Ok(config)
    }

    /// The guest's initramfs with another archive behind it: the kernel unpacks both.
    fn with_file_systems(&self) -> Result<PathBuf> {
        let path = self.dir.join("initramfs");
        let modules = self.files.images.join(&self.kernel).join("file-systems");
        fs::write(&path, [fs::read(self.initramfs())?, fs::read(modules)?].concat())?;
        Ok(path)
    }

    /// The `tmem` command with these arguments, not yet started.
    #[must_use]
    pub fn tmem_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.files.tmem);
        command.args(arguments);
        command
    }

    /// Runs the `tmem` command to its end.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn tmem(&self, arguments: &[&str]) -> Result<Output> {
        self.tmem_command(arguments).output().context("cannot start tmem")
    }

    /// Whether the machine is an emulated host of ours, on which nobody minds what is done to `/dev`.
    #[must_use]
    pub fn owns_machine() -> bool {
        fs::read_to_string("/proc/cmdline").is_ok_and(|cmdline| cmdline.contains("tmem.emulated-host"))
    }

    /// Starts the host service with this policy.
    ///
    /// # Errors
    /// Where the policy cannot be written or the service does not listen.
    pub fn start_service(&self, policy: &str) -> Result<Service> {
        Service::start(&self.files.tmem, &self.dir, policy)
    }

    /// Runs a VM whose guest half needs the host only to be there.
    ///
    /// # Errors
    /// Where the guest half fails or the VM does not end with a shutdown.
    pub fn run_guest(&mut self, spec: &Spec) -> Result<()> {
        self.start(spec)?.finish()
    }
}
