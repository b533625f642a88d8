//! What a case is.

use crate::{guest::Guest, host::Host};

/// A case: what the host does and what the guest does, on which kernels.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, by which it is chosen and reported.
    pub name: &'static str,
    /// What it shows, in one line.
    pub shows: &'static str,
    /// When and where it runs.
    pub runs: Runs,
    /// The host half: starts the VM, looks at the store, judges.
    pub host: fn(&mut Host) -> anyhow::Result<()>,
    /// The guest half: runs inside, after the modules of the boot group are loaded.
    pub guest: fn(&mut Guest) -> anyhow::Result<()>,
}

/// On which kernels a case runs in the tests and in the soak: there on every kernel that could make a difference.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// Kernels of `cargo xtask test`.
    pub test: &'static [&'static str],
    /// Kernels of `cargo xtask soak`.
    pub soak: &'static [&'static str],
    /// What is under it.
    pub under: Under,
}

/// What a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// `tmem run` on KVM: the machine's own, or that of an emulated host.
    Kvm,
    /// A guest with two CPUs in plain emulation, its calls answered by the test store inside it: real concurrency,
    /// which the emulated host cannot give. Such a case has no host half.
    PlainEmulation,
    /// As [`Under::Kvm`], with Debian's own kernel, initrd and root disk: the suite whose kernel is of that name. Each such
    /// case has a disk of its own.
    Debian(System),
}

/// What a Debian guest has besides the driver's package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// More packages.
    pub packages: &'static [&'static str],
    /// The build of its kernel: `linux-image-FLAVOUR`.
    pub flavour: &'static str,
}

impl System {
    /// With the kernel for virtual machines and nothing more.
    pub const SMALL: Self = Self { packages: &[], flavour: "cloud-amd64" };
    /// With the programs that cases run: a server, a checker of memory, and a source that DKMS has built once.
    pub const WITH_PROGRAMS: Self =
        Self { packages: &["redis-server", "stress-ng", "dm-writeboost-dkms"], ..Self::SMALL };
}

/// Every kernel of Debian's that the driver supports.
pub const ALL_KERNELS: &[&str] = &["5.10", "6.1", "6.12", "sid"];
const ALL_AND_DEBUG: &[&str] = &["5.10", "5.10-debug", "6.1", "6.12", "sid"];

impl Runs {
    /// On 6.1 in the tests, on every kernel in the soak.
    pub const ON_6_1: Self = Self { test: &["6.1"], soak: ALL_KERNELS, under: Under::Kvm };
    /// On 6.1 alone, in the soak too: what it shows is the host's doing, whatever kernel the guest has.
    pub const OF_THE_HOST: Self = Self { soak: &["6.1"], ..Self::ON_6_1 };
    /// On every kernel.
    pub const ON_ALL: Self = Self { test: ALL_KERNELS, ..Self::ON_6_1 };
    /// Where modules can register with frontswap.
    pub const ON_5_10: Self = Self { test: &["5.10"], soak: &["5.10"], under: Under::Kvm };
    /// On the reference kernel, the only one that has cleancache.
    pub const ON_REFERENCE: Self = Self { test: &["5.10-reference"], soak: &["5.10-reference"], under: Under::Kvm };
    /// In Debian, with the suite's own kernel; in the soak only.
    #[must_use]
    pub const fn on_debian(system: System) -> Self {
        Self { test: &[], soak: &["6.1"], under: Under::Debian(system) }
    }

    /// The same, and on the kernel that notices wrong locks and memory used after its end.
    #[must_use]
    pub const fn and_debug(self) -> Self {
        Self { soak: ALL_AND_DEBUG, ..self }
    }

    /// The same, in the soak only.
    #[must_use]
    pub const fn in_soak(self) -> Self {
        Self { test: &[], ..self }
    }
}
