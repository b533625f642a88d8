//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use protocol::VmName;
use vmm::config::{ByteSize, CpuModel, Overrides, SizeOrPercent};

use crate::ending::{CHECK_EXIT_CODES, POLICY_EXIT_CODES, RUN_EXIT_CODES};

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
    /// List the VMs that run on this host and answer you
    List {
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
        /// What its store may hold at most: a size like 256MiB, or a percentage of the guest's memory like 150%.
        /// Nothing that was accepted is lost: below what is held now, new pages are rejected until there is room
        #[arg(long, value_name = "SIZE")]
        limit: SizeOrPercent,
    },
    /// Reject new pages of a VM; those stored stay readable
    Freeze {
        /// Name of the VM
        vm: VmName,
    },
    /// Accept pages of a VM again
    Thaw {
        /// Name of the VM
        vm: VmName,
    },
    /// Give the memory of a VM's ephemeral pages back to the host
    Flush {
        /// Name of the VM
        vm: VmName,
        /// How much, like 64MiB; all of it where left away
        size: Option<ByteSize>,
    },
    /// Press a VM's power button
    Stop {
        /// Name of the VM
        vm: VmName,
        /// Wait until the VM has ended, at most so long; it is an error if it has not
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u32>,
    },
    /// Check and show the host's policy. Nothing enforces one yet
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
            (&["set", "web"], "--limit <SIZE>"),
            (&["set", "web", "--limit", "64"], "\"64\" has no unit; write 64KiB"),
            (&["flush", "web", "50%"], "\"50%\" is a percentage"),
            (&["run", "vm.toml", "--memory", "1GB"], "\"GB\" in \"1GB\" is no unit"),
            (&["run", "vm.toml", "--cpu", "fast"], "unknown variant `fast`, expected `host` or `baseline`"),
            (&["run"], "<vm.toml>"),
            (&["run", "vm.toml", "--example"], "--example"),
            (&["policy", "check"], "<FILE|FOLDER>"),
            (&["policy", "check", "p.toml", "--memory", "64GB"], "\"GB\" in \"64GB\" is no unit"),
            (&["stop", "web", "--wait", "soon"], "invalid digit"),
        ];
        for (args, fragment) in table {
            let message = Args::try_parse_from(["tmem"].iter().chain(*args)).unwrap_err().to_string();
            assert!(message.contains(fragment), "{args:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
}
