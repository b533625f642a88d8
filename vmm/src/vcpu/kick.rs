//! Brings a vCPU out of the guest: a signal, whose handler also makes the next KVM_RUN return at once.
//!
//! Without the second half, a signal that lands just before KVM_RUN would be lost
//! (Documentation/virt/kvm/api.rst, `immediate_exit`).

use super::Vcpu;
use std::cell::Cell;
use std::ptr;
use std::sync::OnceLock;
use vmm_sys_util::errno::Error;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

thread_local! {
    /// `kvm_run.immediate_exit` of the vCPU that this thread runs; null where it runs none.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// The signal that kicks.
pub(super) fn signal() -> libc::c_int {
    SIGRTMIN()
}

/// Installs the handler. Called before a vCPU thread exists: a kick that came before it would end the process.
pub(super) fn prepare() -> std::io::Result<()> {
    static HANDLER: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = HANDLER.get_or_init(|| register_signal_handler(signal(), on_kick).map_err(Error::errno));
    installed.map_err(std::io::Error::from_raw_os_error)
}

extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    IMMEDIATE_EXIT.with(|pointer| {
        let pointer = pointer.get();
        if !pointer.is_null() {
            // SAFETY: a pointer that is not null was set by `Kickable` on this very thread, and `Kickable` keeps the
            // vCPU's mapping borrowed until it has set the pointer back to null. The kernel reads this byte only.
            unsafe { ptr::write_volatile(pointer, 1) };
        }
    });
}

/// While it lives, the signal brings the vCPU that this thread runs out of the guest.
pub(super) struct Kickable<'a> {
    /// The vCPU.
    pub vcpu: &'a mut Vcpu,
}

impl<'a> Kickable<'a> {
    pub(super) fn new(vcpu: &'a mut Vcpu) -> Self {
        IMMEDIATE_EXIT.with(|pointer| pointer.set(&raw mut vcpu.fd.get_kvm_run().immediate_exit));
        Self { vcpu }
    }

    /// Forgets the kicks so far; the caller looks at what they were for afterwards.
    pub(super) fn rearm(&mut self) {
        self.vcpu.fd.set_kvm_immediate_exit(0);
    }
}

impl Drop for Kickable<'_> {
    fn drop(&mut self) {
        IMMEDIATE_EXIT.with(|pointer| pointer.set(ptr::null_mut()));
    }
}
