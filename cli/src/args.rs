//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use protocol::service::SOCKET_PATH;
use protocol::{NameError, VmName};
use vmm::config::{ByteSize, CpuModel, Overrides, SizeOrPercent};

use crate::ending::{CHECK_EXIT_CODES, POLICY_EXIT_CODES, RUN_EXIT_CODES};
use crate::top::Sort;

/// Transcendent memory for KVM guests: runs VMs whose swap and second page cache live compressed in host RAM.
#[derive(Debug, Parser)]
#[command(name = "tmem", version, propagate_version = true)]
pub struct Args {
    /// Log more on standard error: -v informs, -vv debugs, -vvv traces. RUST_LOG, where set, decides instead
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 100)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a VM in the foreground, until its guest ends
    #[command(after_help = RUN_EXIT_CODES)]
    Run(RunArgs),
    /// Say what this host can and cannot do for VMs, and how to mend it
    #[command(after_help = CHECK_EXIT_CODES)]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run the host service: lease memory to the stores of this host's VMs by a policy
    Host(HostArgs),
    /// List the VMs that run on this host and answer you
    List {
        /// Ask the host service: the host, and each VM's class, lease and entitlement
        #[arg(short = 'l', long)]
        long: bool,
        #[command(flatten)]
        service: ServiceArgs,
        /// Print everything about each VM as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show a VM: its share, and every counter by reason
    Show {
        /// Name of the VM
        vm: VmName,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a VM's share while it runs
    Set {
        /// Name of the VM
        vm: VmName,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        service: ServiceArgs,
    },
    /// Watch the host and its VMs live, through the host service; keys sort, explain and freeze
    Top(TopArgs),
    /// Tell how much memory the host service can have back at once: that of ephemeral pages
    Freeable {
        #[command(flatten)]
        service: ServiceArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Reject new pages of a VM, or of all; those stored stay readable
    Freeze(Whom),
    /// Accept pages of a VM again, or of all
    Thaw(Whom),
    /// Give the memory of ephemeral pages back to the host
    #[command(override_usage = "tmem flush VM [SIZE]\n       tmem flush --all [SIZE]")]
    Flush {
        /// Flush all VMs of this host that answer you, those first that hold most of it
        #[arg(long)]
        all: bool,
        /// Name of the VM, and how much, like 64MiB; all of it where left away
        #[arg(value_name = "VM|SIZE", num_args = 0..=2)]
        what: Vec<String>,
    },
    /// Press a VM's power button
    Stop {
        /// Name of the VM
        vm: VmName,
        /// Wait until the VM has ended, at most so long; it is an error if it has not
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u32>,
    },
    /// Check and show the host's policy, why a VM has what it has, and what it would have under another
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a policy: every mistake with its line, and what is allowed but surely not meant
    #[command(after_help = POLICY_EXIT_CODES)]
    Check(PolicyArgs),
    /// Show all of a policy: what its files say, and the defaults of what they leave away
    #[command(after_help = POLICY_EXIT_CODES)]
    Show(PolicyArgs),
    /// Print the JSON Schema of a policy file, for editors
    Schema,
    /// Tell which keys another policy changes, and from what to what
    Diff {
        /// The policy: a file or folder
        #[arg(value_name = "FILE|FOLDER")]
        first: PathBuf,
        /// Another one, that the first is changed to [default: the first changes that of the host service]
        #[arg(value_name = "FILE|FOLDER")]
        second: Option<PathBuf>,
        #[command(flatten)]
        service: ServiceArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a policy, put it in the place of the host service's, and wait until it is in force
    Apply {
        /// The policy
        file: PathBuf,
        #[command(flatten)]
        service: ServiceArgs,
    },
    /// Tell why a VM has what it has: the last decision of the host service about it, with every number that led to it
    Explain {
        /// Name of the VM
        vm: VmName,
        #[command(flatten)]
        service: ServiceArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Play recorded VMs together under a policy: what each would have got by each algorithm, and what would have come of it
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// A VM and its trace, of tmem run --trace; one in .zst is compressed by Zstandard
    #[arg(value_name = "VM=TRACE", required = true)]
    pub traces: Vec<VmTrace>,
    /// The policy: a file, or a folder with policy.toml, policy.d/*.toml or both [default: all defaults]
    #[arg(long, value_name = "FILE|FOLDER")]
    pub policy: Option<PathBuf>,
    /// By what is shared out, instead of the policy's share.algorithm
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',', default_value = "all")]
    pub algorithm: Vec<ReplayAlgorithm>,
    #[command(flatten)]
    pub host: ReplayHost,
    /// A VM's weight, 1 to 10000, instead of its class's or what it was set to
    #[arg(long, value_name = "VM=NUMBER")]
    pub weight: Vec<VmWeight>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The host of a replay.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ReplayHost {
    /// The decision log that tmem host --log wrote meanwhile: the host's memory and pressure, who the VMs were and when
    /// they came. Of several files, the oldest first
    #[arg(long, value_name = "FILE")]
    pub decisions: Vec<PathBuf>,
    /// No log: a host that is never short, a pool of always this size, and all VMs from the beginning
    #[arg(long, value_name = "SIZE")]
    pub pool: Option<ByteSize>,
}

/// By what is shared out in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReplayAlgorithm {
    /// Each of the others
    All,
    /// First come, first served
    Greedy,
    /// The same for every VM
    Static,
    /// By weight and idle tax
    Weighted,
    /// By weight and idle tax, first to those who use it
    Demand,
}

/// A VM and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmWeight {
    pub vm: VmName,
    pub weight: u32,
}

impl FromStr for VmWeight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} names no VM and its weight; write VM=NUMBER, like web=400");
        let (vm, weight) = text.split_once('=').ok_or_else(form)?;
        let vm = vm.parse().map_err(|error: NameError| error.to_string())?;
        Ok(Self { vm, weight: weight.parse().map_err(|_| form())? })
    }
}

/// A VM and the file of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmTrace {
    pub vm: VmName,
    pub path: PathBuf,
}

impl FromStr for VmTrace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} names no VM and its trace; write VM=TRACE, like web=web.trace");
        let (vm, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(form)?;
        let vm = vm.parse().map_err(|error: NameError| error.to_string())?;
        Ok(Self { vm, path: path.into() })
    }
}

/// One VM or all.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// Name of the VM
    pub vm: Option<VmName>,
    /// All VMs of this host that answer you
    #[arg(long)]
    pub all: bool,
}

/// What `tmem set` changes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// What its store may hold at most: a size like 256MiB, or a percentage of the guest's memory like 150%.
    /// Nothing that was accepted is lost: below what is held now, new pages are rejected until there is room
    #[arg(long, value_name = "SIZE")]
    pub limit: Option<SizeOrPercent>,
    /// Its share of what no reservation takes, against the weights of others, 1 to 10000, until it ends or the host
    /// service does; "class": that of its class again
    #[arg(long, value_name = "NUMBER|class")]
    pub weight: Option<Weight>,
}

/// A weight, or that of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(pub Option<u32>);

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("class", _) => Ok(Self(None)),
            (_, Ok(weight @ 1..=10_000)) => Ok(Self(Some(weight))),
            _ => Err(format!("{text:?} is no weight; write 1 to 10000, or class")),
        }
    }
}

/// Where the host service is.
#[derive(Debug, clap::Args)]
pub struct ServiceArgs {
    /// Socket of the host service
    #[arg(long, value_name = "PATH", default_value = SOCKET_PATH, display_order = 90)]
    pub socket: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct HostArgs {
    /// The policy: a file, or a folder with policy.toml, policy.d/*.toml or both [default: all defaults]
    #[arg(long, value_name = "FILE|FOLDER")]
    pub policy: Option<PathBuf>,
    /// Where to listen; its user and group may connect
    #[arg(long, value_name = "PATH", default_value = SOCKET_PATH)]
    pub socket: PathBuf,
    /// Log each decision with its inputs in this file, a line of JSON each; at 32 MiB it becomes FILE.1
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Serve metrics (OpenMetrics) at /metrics on a loopback address or a Unix socket, like 127.0.0.1:9464 or
    /// unix:/run/tmem/metrics.sock
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<host::Address>,
}

#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Text instead of a screen
    #[arg(short, long)]
    pub batch: bool,
    /// Texts, with -b, until it ends [default: without end]
    #[arg(short = 'n', long, value_name = "NUMBER", requires = "batch")]
    pub count: Option<u32>,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "1")]
    pub delay: NonZeroU32,
    /// What comes first
    #[arg(short, long, value_enum, default_value_t = Sort::Used)]
    pub sort: Sort,
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    /// The policy: a file, or a folder with policy.toml, policy.d/*.toml or both
    #[arg(value_name = "FILE|FOLDER")]
    pub path: PathBuf,
    /// Memory of the host that the policy is for, like 64GiB [default: this host's]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The flags replace what the file says; paths in them are relative to the current folder.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The VM's configuration
    #[arg(value_name = "vm.toml", required_unless_present = "example")]
    pub config: Option<PathBuf>,
    /// Print an annotated vm.toml with every key, and run nothing
    #[arg(long, exclusive = true)]
    pub example: bool,
    /// Kernel: bzImage or ELF
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM file system
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT")]
    cmdline: Option<String>,
    /// Number of virtual CPUs, 1 to 4
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    vcpus: Option<i64>,
    /// Guest memory, like 256MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// CPU that the guest sees: host or baseline
    #[arg(long, value_name = "MODEL")]
    cpu: Option<CpuModel>,
    /// What the VM's store may hold at most: a size, or a percentage of the guest's memory like 150%
    #[arg(long, value_name = "SIZE")]
    limit: Option<SizeOrPercent>,
    /// Record what the guest asks of its store, without the pages' contents, in this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Start the VM again when its guest reboots
    #[arg(long)]
    pub restart: bool,
}

impl RunArgs {
    /// What the flags replace in the file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            cmdline: self.cmdline.clone(),
            vcpus: self.vcpus,
            memory: self.memory,
            cpu: self.cpu,
            limit: self.limit,
            trace: self.trace.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_told_before_anything_is_done() {
        let table: &[(&[&str], &str)] = &[
            (&["show", "a/b"], "'/' in a VM's name"),
            (&["set", "web"], "--limit <SIZE>|--weight <NUMBER|class>"),
            (&["set", "web", "--weight", "0"], "\"0\" is no weight; write 1 to 10000, or class"),
            (&["set", "web", "--limit", "64"], "\"64\" has no unit; write 64KiB"),
            (&["freeze"], "<VM|--all>"),
            (&["freeze", "web", "--all"], "cannot be used with"),
            (&["run", "vm.toml", "--memory", "1GB"], "\"GB\" in \"1GB\" is no unit"),
            (&["run", "vm.toml", "--cpu", "fast"], "unknown variant `fast`, expected `host` or `baseline`"),
            (&["run"], "<vm.toml>"),
            (&["run", "vm.toml", "--example"], "--example"),
            (&["policy", "check"], "<FILE|FOLDER>"),
            (&["policy", "check", "p.toml", "--memory", "64GB"], "\"GB\" in \"64GB\" is no unit"),
            (&["policy", "replay", "--pool", "64MiB"], "<VM=TRACE>..."),
            (&["policy", "replay", "--pool", "64MiB", "web"], "write VM=TRACE, like web=web.trace"),
            (&["policy", "replay", "--pool", "64MiB", "a/b=x"], "'/' in a VM's name"),
            (&["policy", "replay", "--pool", "64MiB", "web=x", "--weight", "web"], "write VM=NUMBER, like web=400"),
            (&["policy", "replay", "web=x"], "--decisions <FILE>|--pool <SIZE>"),
            (&["policy", "replay", "web=x", "--pool", "1GiB", "--decisions", "d"], "cannot be used with"),
            (&["policy", "replay", "web=x", "--pool", "1GiB", "--algorithm", "best"], "possible values: all, greedy"),
            (&["stop", "web", "--wait", "soon"], "invalid digit"),
        ];
        for (args, fragment) in table {
            let message = Args::try_parse_from(["tmem"].iter().chain(*args)).unwrap_err().to_string();
            assert!(message.contains(fragment), "{args:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
}
