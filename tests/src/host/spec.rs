//! The VM that a case wants, and its `vm.toml`.

use super::{Host, Tap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of every kernel under test: any warning, oops or stuck CPU ends the guest, and with it the case.
const CMDLINE: &str = "console=ttyS0 quiet loglevel=4 panic=0 oops=panic panic_on_warn=1 softlockup_panic=1 \
                       watchdog_thresh=60 mitigations=off rdinit=/init";

/// A disk of the VM.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// Whether the guest may write.
    pub read_only: bool,
    /// Whether the host's page cache is left out.
    pub direct: bool,
}

impl Disk {
    /// A writable disk.
    #[must_use]
    pub fn writable(path: PathBuf) -> Self {
        Self { path, read_only: false, direct: false }
    }
}

/// A VM.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// Number of vCPUs.
    pub vcpus: u8,
    /// `tmem.limit`, or nothing for a VM without tmem.
    pub limit: Option<String>,
    /// `tmem.recompress_after_seconds`: by default so soon that pages are recompressed while the guest uses them.
    pub recompress_after_seconds: u32,
    /// `tmem.eviction`, or nothing for the default.
    pub eviction: Option<&'static str>,
    /// Socket of the host service that leases; without one the VM decides for itself.
    pub service: Option<PathBuf>,
    /// Disks in their order: `/dev/vda` and so on.
    pub disks: Vec<Disk>,
    /// Taps of network cards in their order.
    pub nets: Vec<String>,
    /// Words for the guest half; see `Guest::argument`.
    pub arguments: Vec<String>,
    /// More kernel options.
    pub cmdline: String,
    /// Flags for `tmem run`.
    pub flags: Vec<String>,
    /// Whether it has the modules of file systems that the kernel has not built in, as group `file-systems`. They take
    /// memory.
    pub file_systems: bool,
    /// How long the guest half may take between two markers.
    pub patience: Duration,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            memory_mib: 192,
            vcpus: 1,
            limit: Some("400%".to_owned()),
            recompress_after_seconds: 3,
            eviction: None,
            service: None,
            disks: Vec::new(),
            nets: Vec::new(),
            arguments: Vec::new(),
            cmdline: String::new(),
            flags: Vec::new(),
            file_systems: false,
            patience: Duration::from_secs(400),
        }
    }
}

impl Spec {
    /// The same with a writable disk added.
    #[must_use]
    pub fn disk(mut self, path: PathBuf) -> Self {
        self.disks.push(Disk::writable(path));
        self
    }

    /// The same with a network card, whose address is the next word for the guest half.
    #[must_use]
    pub fn net(mut self, tap: &Tap) -> Self {
        self.nets.push(tap.name.clone());
        self.arguments([&tap.guest])
    }

    /// The same with words for the guest half.
    #[must_use]
    pub fn arguments<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.arguments.extend(words.map(str::to_owned));
        self
    }

    /// The same with the disks of a Debian guest before the others.
    #[must_use]
    pub fn debian(mut self, host: &Host) -> Self {
        let [root, programs] = host.debian_disks();
        self.disks.splice(0..0, [Disk::writable(root), Disk { read_only: true, ..Disk::writable(programs) }]);
        self.cmdline += " root=/dev/vda systemd.show_status=false";
        if !self.cmdline.contains("tmem.login") {
            self.cmdline += " systemd.mask=serial-getty@ttyS0.service";
        }
        self
    }

    pub(super) fn toml(&self, name: &str, case: &str, kernel: &Path, initramfs: &Path) -> String {
        let words = self.arguments.iter().fold(String::new(), |all, word| all + " tmem.argument=" + word);
        let cmdline = format!("{CMDLINE} {} tmem.case={case}{words}", self.cmdline);
        let mut toml = format!(
            "name = {name:?}\nkernel = {kernel:?}\ninitrd = {initramfs:?}\ncmdline = {cmdline:?}\nvcpus = {}\n\
             memory = \"{}MiB\"\ncpu = \"baseline\"\n",
            self.vcpus, self.memory_mib
        );
        for disk in &self.disks {
            let _ = write!(
                toml,
                "\n[[disk]]\npath = {:?}\nread_only = {}\ndirect = {}\n",
                disk.path, disk.read_only, disk.direct
            );
        }
        for tap in &self.nets {
            let _ = write!(toml, "\n[[net]]\ntap = {tap:?}\n");
        }
        let _ = match &self.limit {
            Some(limit) => {
                write!(
                    toml,
                    "\n[tmem]\nlimit = {limit:?}\nrecompress_after_seconds = {}\n",
                    self.recompress_after_seconds
                )
            }
            None => write!(toml, "\n[tmem]\nenabled = false\n"),
        };
        if let Some(eviction) = self.eviction {
            let _ = writeln!(toml, "eviction = {eviction:?}");
        }
        if let Some(service) = &self.service {
            let _ = writeln!(toml, "service = {service:?}");
        }
        toml
    }
}
