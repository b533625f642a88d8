//! KVM: whether it opens, what it has, and whether the registers of a hypercall come and go as they should.

use std::sync::Arc;

use kvm_ioctls::{Cap, Kvm, SyncReg, VcpuExit, VcpuFd};
use vm_memory::Bytes;

use super::{Finding, in_full, read};
use crate::arch::x86_64::layout::{HIGH_RAM, TMEM_PORT};
use crate::config::CpuModel;
use crate::memory;
use crate::vm::{Interrupts, Vm, VmError, open_kvm};

const RAM_BYTES: u64 = 4 << 20;
const FIRST: u32 = 0x1122_3344;
const SECOND: u32 = 0x5566_7788;

/// 64-bit code: load [`FIRST`], and write what the register holds to the hypercall port, twice.
///
/// ```text
/// mov eax, FIRST │ mov dx, TMEM_PORT │ out dx, eax │ out dx, eax │ hlt
/// ```
fn payload() -> Vec<u8> {
    let ([a, b, c, d], [low, high]) = (FIRST.to_le_bytes(), TMEM_PORT.to_le_bytes());
    vec![0xb8, a, b, c, d, 0x66, 0xba, low, high, 0xef, 0xef, 0xf4]
}

/// Why the payload did not do what it should.
#[derive(Debug, thiserror::Error)]
enum PayloadError {
    #[error(transparent)]
    Vm(#[from] VmError),
    #[error("no memory for a guest")]
    Memory(#[from] memory::MemoryError),
    #[error("the payload does not fit")]
    Write(#[from] vm_memory::GuestMemoryError),
    #[error("KVM_RUN failed")]
    Run(#[from] kvm_ioctls::Error),
    #[error("{0}")]
    Wrong(String),
}

pub(super) fn findings() -> Vec<Finding> {
    let kvm = match open_kvm() {
        Ok(kvm) => kvm,
        // The message says what to do already.
        Err(error) => return vec![Finding::bad("kvm", in_full(&error), mend_of(&error))],
    };
    vec![
        Finding::good("kvm", format!("/dev/kvm opens and speaks API version {}", kvm.get_api_version())),
        hardware(&read("/proc/cpuinfo").unwrap_or_default()),
        events(&kvm),
        register_sync(&kvm),
    ]
}

fn mend_of(error: &VmError) -> &'static str {
    match error {
        VmError::NoKvm => "modprobe kvm_intel or kvm_amd; in a VM ask its host for nested virtualization",
        VmError::NoPermission => "usermod -aG kvm $USER, and log in again; or run as root",
        _ => "run a Linux kernel of 4.18 or later with KVM",
    }
}

fn hardware(cpuinfo: &str) -> Finding {
    let thing = "hardware";
    match cpuinfo.split_whitespace().find(|word| ["vmx", "svm"].contains(word)) {
        Some("vmx") => Finding::good(thing, "the CPU has VMX"),
        Some(_) => Finding::good(thing, "the CPU has SVM"),
        None => Finding::bad(
            thing,
            "the CPU shows neither VMX nor SVM: this KVM is software, and runs test payloads but no Linux",
            "enable virtualization in the firmware, or nested virtualization in the host of this VM; tests and demo run \
             here all the same, in a host that QEMU emulates",
        ),
    }
}

fn events(kvm: &Kvm) -> Finding {
    let needed =
        [(Cap::Irqchip, "KVM_CAP_IRQCHIP"), (Cap::Irqfd, "KVM_CAP_IRQFD"), (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD")];
    let missing: Vec<_> = needed.iter().filter(|(cap, _)| !kvm.check_extension(*cap)).map(|(_, name)| *name).collect();
    let thing = "kvm events";
    if missing.is_empty() {
        Finding::good(thing, "interrupt controllers in the kernel, irqfd and ioeventfd")
    } else {
        let found = format!("this KVM has no {}", missing.join(", "));
        Finding::bad(thing, found, "run a kernel whose KVM has interrupt controllers (kernel_irqchip)")
    }
}

fn register_sync(kvm: &Kvm) -> Finding {
    let thing = "register sync";
    match try_register_sync(kvm) {
        Ok(()) => Finding::good(thing, "a guest's hypercall hands its registers over, and gets an answer in them"),
        Err(error) => Finding::bad(
            thing,
            in_full(&error),
            "run a stock Linux kernel of 4.18 or later on bare metal; where KVM is nested, the fault may be the outer one's",
        ),
    }
}

fn try_register_sync(kvm: &Kvm) -> Result<(), PayloadError> {
    let ram = Arc::new(memory::allocate(RAM_BYTES)?);
    let vm = Vm::new(kvm, ram, Interrupts::None)?;
    vm.ram().write_slice(&payload(), HIGH_RAM)?;
    let mut vcpu = vm.create_vcpu(0, 1, CpuModel::Baseline, Some(HIGH_RAM))?;
    vcpu.set_sync_valid_reg(SyncReg::Register);
    expect_write(&mut vcpu, FIRST)?;
    let rax = vcpu.sync_regs().regs.rax;
    if rax != u64::from(FIRST) {
        return Err(PayloadError::Wrong(format!("the guest's RAX is {rax:#x} instead of {FIRST:#x}")));
    }
    vcpu.sync_regs_mut().regs.rax = u64::from(SECOND);
    vcpu.set_sync_dirty_reg(SyncReg::Register);
    expect_write(&mut vcpu, SECOND)
}

/// Enters the guest, which writes `value` to the hypercall port.
fn expect_write(vcpu: &mut VcpuFd, value: u32) -> Result<(), PayloadError> {
    match vcpu.run()? {
        VcpuExit::IoOut(TMEM_PORT, data) if data == value.to_le_bytes() => Ok(()),
        exit => Err(PayloadError::Wrong(format!("the guest made {exit:?} instead of writing {value:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_check::Standing;

    #[test]
    fn hardware_is_told_from_software_by_the_cpus_flags() {
        assert_eq!(hardware("flags : fpu vmx sse2").standing, Standing::Good);
        assert_eq!(hardware("flags : fpu svm sse2").found, "the CPU has SVM");
        assert_eq!(hardware("flags : fpu svm_lock sse2").standing, Standing::Bad);
    }
}
