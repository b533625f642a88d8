//! KVM's side of a machine: the VM, its memory slots, interrupt controllers and vCPUs.

use crate::arch::x86_64::{cpuid, layout, long_mode};
use crate::config::CpuModel;
use crate::memory::GuestRam;
use kvm_bindings::{
    CpuId, KVM_API_VERSION, KVM_MAX_CPUID_ENTRIES, KVM_SYNC_X86_REGS, Msrs, kvm_msr_entry, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use std::sync::Arc;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

const MSR_MTRR_DEFAULT_TYPE: u32 = 0x2ff;
/// MTRRs on, write-back unless one says otherwise.
const MTRR_ENABLE_WRITE_BACK: u64 = 1 << 11 | 6;

/// Why KVM cannot give us a machine: conditions of the host.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// There is no KVM.
    #[error("no /dev/kvm: this host has no KVM (load kvm_intel or kvm_amd, or enable virtualization in the firmware)")]
    NoKvm,
    /// KVM may not be used.
    #[error("no permission on /dev/kvm: run as a member of the group kvm, or as root")]
    NoPermission,
    /// KVM does not open.
    #[error("cannot open /dev/kvm")]
    Open(#[source] kvm_ioctls::Error),
    /// The API is of another version.
    #[error("/dev/kvm speaks API version {0}, {KVM_API_VERSION} is needed")]
    ApiVersion(i32),
    /// A capability is missing.
    #[error("this KVM has no {capability}, which {purpose}; a Linux kernel of 4.18 or later has it")]
    MissingCapability {
        /// Name of the capability.
        capability: &'static str,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// A KVM request failed.
    #[error("KVM: {what} failed")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// What the host says.
        #[source]
        source: kvm_ioctls::Error,
    },
    /// The processor description is too long for KVM.
    #[error("KVM: the CPUID leaves do not fit")]
    Cpuid(#[source] vmm_sys_util::fam::Error),
    /// Guest memory is too small.
    #[error("memory: too little for the boot structures")]
    Memory(#[from] vm_memory::GuestMemoryError),
}

fn request(what: &'static str) -> impl Fn(kvm_ioctls::Error) -> VmError {
    move |source| VmError::Request { what, source }
}

/// Opens `/dev/kvm` and checks that it has what we need.
///
/// # Errors
/// Where it is missing, may not be used, or lacks a capability; the message says what to do.
pub fn open_kvm() -> Result<Kvm, VmError> {
    let kvm = Kvm::new().map_err(|source| match source.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => VmError::NoKvm,
        libc::EACCES | libc::EPERM => VmError::NoPermission,
        _ => VmError::Open(source),
    })?;
    if kvm.get_api_version() != i32::try_from(KVM_API_VERSION).unwrap_or(i32::MAX) {
        return Err(VmError::ApiVersion(kvm.get_api_version()));
    }
    let offered = u32::try_from(kvm.check_extension_int(Cap::SyncRegs)).unwrap_or(0);
    check_sync_regs(offered)?;
    for (capability, name, purpose) in [
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT", "stops a vCPU without losing a signal"),
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY", "gives the guest its memory"),
    ] {
        if !kvm.check_extension(capability) {
            return Err(VmError::MissingCapability { capability: name, purpose });
        }
    }
    Ok(kvm)
}

/// `offered` is what `KVM_CAP_SYNC_REGS` answers: the register sets that KVM keeps in `kvm_run`.
fn check_sync_regs(offered: u32) -> Result<(), VmError> {
    if offered & KVM_SYNC_X86_REGS == 0 {
        return Err(VmError::MissingCapability {
            capability: "KVM_CAP_SYNC_REGS",
            purpose: "hands a hypercall's registers over without further system calls",
        });
    }
    Ok(())
}

/// A KVM virtual machine with its memory.
#[derive(Debug)]
pub struct Vm {
    fd: VmFd,
    ram: Arc<GuestRam>,
    supported_cpuid: CpuId,
}

/// Which interrupt controllers a VM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// KVM's local APICs and I/O APIC: what a kernel needs.
    InKernel,
    /// None: a payload that only computes and calls; `HLT` ends it.
    None,
}

impl Vm {
    /// Creates the VM and gives it `ram`.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn new(kvm: &Kvm, ram: Arc<GuestRam>, interrupts: Interrupts) -> Result<Self, VmError> {
        let fd = kvm.create_vm().map_err(request("KVM_CREATE_VM"))?;
        fd.set_identity_map_address(layout::KVM_IDENTITY_MAP).map_err(request("KVM_SET_IDENTITY_MAP_ADDR"))?;
        fd.set_tss_address(layout::KVM_TSS).map_err(request("KVM_SET_TSS_ADDR"))?;
        if interrupts == Interrupts::InKernel {
            fd.create_irq_chip().map_err(request("KVM_CREATE_IRQCHIP"))?;
        }
        for (slot, region) in (0u32..).zip(ram.iter()) {
            let host = ram.get_host_address(region.start_addr())?;
            let slot = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: host as u64,
            };
            // SAFETY: the region is mapped for as long as `ram` lives, which this VM holds; slots do not overlap
            // because regions of one GuestRam do not.
            unsafe { fd.set_user_memory_region(slot) }.map_err(request("KVM_SET_USER_MEMORY_REGION"))?;
        }
        let supported_cpuid =
            kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(request("KVM_GET_SUPPORTED_CPUID"))?;
        Ok(Self { fd, ram, supported_cpuid })
    }

    /// KVM's side of it.
    #[must_use]
    pub fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// The guest's memory.
    #[must_use]
    pub fn ram(&self) -> &Arc<GuestRam> {
        &self.ram
    }

    /// Creates vCPU `id` of `vcpus`. With an entry point it starts there in 64-bit mode; without, it waits for the
    /// boot vCPU to wake it.
    ///
    /// # Errors
    /// Where KVM refuses, or the RAM has no room for the boot tables.
    pub fn create_vcpu(
        &self,
        id: u8,
        vcpus: u8,
        model: CpuModel,
        entry: Option<GuestAddress>,
    ) -> Result<VcpuFd, VmError> {
        let vcpu = self.fd.create_vcpu(u64::from(id)).map_err(request("KVM_CREATE_VCPU"))?;
        let cpuid = cpuid::for_vcpu(&self.supported_cpuid, model, id, vcpus).map_err(VmError::Cpuid)?;
        vcpu.set_cpuid2(&cpuid).map_err(request("KVM_SET_CPUID2"))?;
        let mtrr =
            kvm_msr_entry { index: MSR_MTRR_DEFAULT_TYPE, data: MTRR_ENABLE_WRITE_BACK, ..kvm_msr_entry::default() };
        vcpu.set_msrs(&Msrs::from_entries(&[mtrr]).map_err(VmError::Cpuid)?).map_err(request("KVM_SET_MSRS"))?;
        if let Some(entry) = entry {
            let mut sregs = vcpu.get_sregs().map_err(request("KVM_GET_SREGS"))?;
            long_mode::set_up(&self.ram, &mut sregs)?;
            vcpu.set_sregs(&sregs).map_err(request("KVM_SET_SREGS"))?;
            vcpu.set_regs(&long_mode::registers(entry)).map_err(request("KVM_SET_REGS"))?;
            vcpu.set_fpu(&long_mode::fpu()).map_err(request("KVM_SET_FPU"))?;
        }
        Ok(vcpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kvm_without_register_sync_is_refused_by_name() {
        let error = check_sync_regs(0).unwrap_err().to_string();
        assert!(error.contains("KVM_CAP_SYNC_REGS"), "{error}");
        assert!(check_sync_regs(7).is_ok());
    }
}
