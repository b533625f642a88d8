//! One VM: its configuration, memory, vCPUs, the hypercall path to its store, devices, console and control socket.
//!
//! ```text
//! config ─► machine: assembles a VM and runs its event loop until the guest ends
//!              ├─ vm, memory, arch      KVM's side: memory slots, interrupt controllers, boot state, tables
//!              ├─ vcpu                  a thread each: enter the guest, handle the exit
//!              │    ├─ hypercall        OUT ─► dispatch ─► tmem::Client
//!              │    └─ devices          serial, power, pvpanic, virtio
//!              ├─ share            what the store may hold: leases of the host service, or the policy here
//!              └─ control, console      the socket of `tmem show`, the terminal
//! host_check  what this host can do for VMs: `tmem check`
//! ```

pub mod arch;
pub mod config;
pub mod console;
pub mod control;
pub mod devices;
pub mod host_check;
pub mod hypercall;
pub mod machine;
pub mod memory;
pub mod mistakes;
mod share;
pub mod vcpu;
pub mod vm;

pub use machine::{Ending, Error, RunOptions, run};
pub use share::{Share, StoreDefaults};
