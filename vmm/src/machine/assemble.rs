//! Puts a machine together: KVM's VM, the devices on their buses, the kernel and its tables, the vCPUs.

use super::{CONSOLE_PATIENCE, Error, host};
use crate::arch::x86_64::layout::{
    POWER_GSI, SERIAL_GSI, SERIAL_PORT, SERIAL_PORTS, VIRTIO_GSI, VIRTIO_MMIO, VIRTIO_MMIO_STRIDE,
};
use crate::arch::x86_64::{acpi, boot, reset};
use crate::config::VmConfig;
use crate::console::open_output;
use crate::devices::power::{self, PowerDevice};
use crate::devices::pvpanic::{self, PvPanic};
use crate::devices::serial::SerialPort;
use crate::devices::virtio::block::{BlockCounters, BlockDevice, BlockOptions};
use crate::devices::virtio::net::{NetCounters, NetDevice};
use crate::devices::virtio::rng::RngDevice;
use crate::devices::virtio::{MmioTransport, QUEUE_NOTIFY_OFFSET, VirtioDevice};
use crate::hypercall::Hypercalls;
use crate::memory;
use crate::vcpu::{Ports, Stop, Vcpu, VcpuError, VcpuThread};
use crate::vm::{Interrupts, Vm, VmError};
use kvm_ioctls::{IoEventAddress, Kvm};
use std::io;
use std::sync::Arc;
use trace::RecordedClient;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// A machine that has not been started.
#[derive(Debug)]
pub(super) struct Machine {
    vcpus: Vec<Vcpu>,
    hypercalls: Option<Arc<Hypercalls>>,
    power: Arc<PowerDevice>,
    pvpanic: Arc<PvPanic>,
    serial: Arc<SerialPort>,
    disks: Vec<Arc<BlockCounters>>,
    nets: Vec<Arc<NetCounters>>,
    /// Behind the vCPUs: KVM's VM goes when nothing runs in it any more.
    vm: Vm,
}

impl Machine {
    /// Puts together what `config` describes.
    pub(super) fn assemble(kvm: &Kvm, config: &VmConfig, store: Option<&RecordedClient>) -> Result<Self, Error> {
        let ram = Arc::new(memory::allocate(config.memory_bytes)?);
        let vm = Vm::new(kvm, ram, Interrupts::InKernel)?;
        let mut ports = Ports::default();

        let output = open_output(&config.console).map_err(host("the console cannot be opened"))?;
        let serial = SerialPort::new(irq(&vm, SERIAL_GSI)?, output).map_err(host("no serial port"))?;
        let serial = Arc::new(serial);
        ports.pio.insert(u64::from(SERIAL_PORT), u64::from(SERIAL_PORTS), Arc::clone(&serial) as _)?;
        let power = Arc::new(PowerDevice::new(irq(&vm, POWER_GSI)?).map_err(host("no power device"))?);
        ports.pio.insert(u64::from(power::PORT_BASE), u64::from(power::PORT_COUNT), Arc::clone(&power) as _)?;
        let pvpanic = Arc::new(PvPanic::new().map_err(host("no panic device"))?);
        ports.pio.insert(u64::from(pvpanic::PORT), 1, Arc::clone(&pvpanic) as _)?;

        let mut disks = Vec::new();
        let mut virtio = VirtioSlots::default();
        for (number, disk) in config.disks.iter().enumerate() {
            let options = BlockOptions {
                read_only: disk.read_only,
                direct: disk.direct,
                serial: disk.id.clone().unwrap_or_default(),
            };
            let file = disk.file.try_clone().map_err(host("a disk cannot be used"))?;
            let device = BlockDevice::new(&format!("disk{number}"), file, &options)
                .map_err(|error| host("a disk cannot be used")(io::Error::other(error)))?;
            disks.push(device.counters());
            virtio.plug(&vm, &mut ports, Box::new(device))?;
        }
        let mut nets = Vec::new();
        for (number, net) in config.nets.iter().enumerate() {
            let tap = net.file.try_clone().map_err(host("a tap cannot be used"))?;
            let device = NetDevice::new(&format!("net{number}"), tap, net.mac.bytes())
                .map_err(|error| host("no network card")(io::Error::other(error)))?;
            nets.push(device.counters());
            virtio.plug(&vm, &mut ports, Box::new(device))?;
        }
        let rng = RngDevice::new().map_err(|error| host("no random number device")(io::Error::other(error)))?;
        virtio.plug(&vm, &mut ports, Box::new(rng))?;

        let platform = acpi::Platform { vcpus: config.vcpus, tmem: store.is_some(), virtio: virtio.devices };
        acpi::write(vm.ram(), &platform).map_err(Error::Firmware)?;
        reset::write_vector(vm.ram()).map_err(Error::Firmware)?;
        let entry = boot::load(vm.ram(), &config.kernel, config.initrd.as_ref(), &config.cmdline)?;

        let hypercalls = store
            .map(|store| Hypercalls::new(store.clone(), Arc::clone(vm.ram())).map(Arc::new))
            .transpose()
            .map_err(host("no file descriptor for the hypercalls"))?;
        let ports = Arc::new(ports);
        let vcpus = (0..config.vcpus)
            .map(|id| {
                let fd = vm.create_vcpu(id, config.vcpus, config.cpu, (id == 0).then_some(entry))?;
                Ok(Vcpu::new(id, fd, Arc::clone(&ports), hypercalls.clone()))
            })
            .collect::<Result<_, VmError>>()?;
        Ok(Self { vcpus, hypercalls, power, pvpanic, serial, disks, nets, vm })
    }

    pub(super) fn power(&self) -> &Arc<PowerDevice> {
        &self.power
    }

    pub(super) fn hypercalls(&self) -> Option<&Arc<Hypercalls>> {
        self.hypercalls.as_ref()
    }

    pub(super) fn disk_counters(&self) -> &[Arc<BlockCounters>] {
        &self.disks
    }

    pub(super) fn net_counters(&self) -> &[Arc<NetCounters>] {
        &self.nets
    }

    /// Starts the vCPUs.
    pub(super) fn start(self) -> Result<Running, Error> {
        let vcpu_ended = EventFd::new(EFD_NONBLOCK).map_err(host("no file descriptor"))?;
        let vcpus = self
            .vcpus
            .into_iter()
            .map(|vcpu| VcpuThread::start(vcpu, vcpu_ended.try_clone()?))
            .collect::<io::Result<_>>()
            .map_err(host("no thread for a vCPU"))?;
        Ok(Running {
            vcpus,
            vcpu_ended,
            hypercalls: self.hypercalls,
            power: self.power,
            pvpanic: self.pvpanic,
            serial: self.serial,
            _vm: self.vm,
        })
    }
}

/// A machine whose vCPUs run.
#[derive(Debug)]
pub(super) struct Running {
    vcpus: Vec<VcpuThread>,
    vcpu_ended: EventFd,
    hypercalls: Option<Arc<Hypercalls>>,
    power: Arc<PowerDevice>,
    pvpanic: Arc<PvPanic>,
    serial: Arc<SerialPort>,
    _vm: Vm,
}

impl Running {
    /// Readable when a vCPU has ended by itself.
    pub(super) fn vcpu_ended(&self) -> &EventFd {
        &self.vcpu_ended
    }

    /// How vCPUs have ended by themselves since the last call.
    pub(super) fn take_vcpu_outcomes(&self) -> impl Iterator<Item = Result<Stop, VcpuError>> + '_ {
        // Whether the event was there or not, the threads are asked.
        let _ = self.vcpu_ended.read();
        self.vcpus.iter().filter_map(VcpuThread::take_outcome)
    }

    pub(super) fn hypercalls(&self) -> Option<&Hypercalls> {
        self.hypercalls.as_deref()
    }

    pub(super) fn power(&self) -> &PowerDevice {
        &self.power
    }

    pub(super) fn pvpanic(&self) -> &PvPanic {
        &self.pvpanic
    }

    pub(super) fn serial(&self) -> &SerialPort {
        &self.serial
    }

    /// Stops the vCPUs, each with its last access complete, and lets the console have its last lines.
    pub(super) fn stop(mut self) {
        self.vcpus.clear();
        if !self.serial.flush_output(CONSOLE_PATIENCE) {
            tracing::warn!("the console's reader is too slow: its last lines are lost");
        }
    }
}

/// Hands out addresses and interrupts to virtio devices.
#[derive(Debug, Default)]
struct VirtioSlots {
    devices: Vec<acpi::MmioDevice>,
}

impl VirtioSlots {
    fn plug(&mut self, vm: &Vm, ports: &mut Ports, device: Box<dyn VirtioDevice>) -> Result<(), Error> {
        let number = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let gsi = VIRTIO_GSI.saturating_add(number);
        let base = VIRTIO_MMIO + VIRTIO_MMIO_STRIDE * u64::from(number);
        let transport = MmioTransport::new(device, Arc::clone(vm.ram()), irq(vm, gsi)?)
            .map_err(host("no file descriptor for a device"))?;
        for (queue, event) in (0u32..).zip(transport.queue_events()) {
            vm.fd()
                .register_ioevent(event, &IoEventAddress::Mmio(base + QUEUE_NOTIFY_OFFSET), queue)
                .map_err(|source| VmError::Request { what: "KVM_IOEVENTFD", source })?;
        }
        ports.mmio.insert(base, VIRTIO_MMIO_STRIDE, Arc::new(transport))?;
        let register = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        self.devices.push(acpi::MmioDevice { base: register(base), size: register(VIRTIO_MMIO_STRIDE), gsi });
        Ok(())
    }
}

/// An event that raises an edge on interrupt line `gsi`.
fn irq(vm: &Vm, gsi: u32) -> Result<EventFd, Error> {
    let event = EventFd::new(EFD_NONBLOCK).map_err(host("no file descriptor for an interrupt"))?;
    vm.fd().register_irqfd(&event, gsi).map_err(|source| VmError::Request { what: "KVM_IRQFD", source })?;
    Ok(event)
}
