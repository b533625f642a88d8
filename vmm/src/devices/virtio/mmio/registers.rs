//! The register map (virtio 1.2, section 4.2.2), and what the read-only ones hold.

use virtio_bindings::bindings::virtio_mmio as map;

/// Reads as the letters `virt`.
pub(super) const MAGIC: u32 = 0x7472_6976;
/// The version of the register map without the legacy interface.
pub(super) const VERSION: u32 = 2;
/// Reads as the letters `TMEM`.
pub(super) const VENDOR: u32 = 0x4d45_4d54;
/// What the registers of a shared memory region read as where there is none.
pub(super) const NO_SHARED_MEMORY: u32 = u32::MAX;

/// Where the configuration space begins.
pub(super) const CONFIG_OFFSET: u64 = map::VIRTIO_MMIO_CONFIG as u64;

/// Registers a driver may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    Magic,
    Version,
    DeviceId,
    Vendor,
    DeviceFeatures,
    QueueSizeMax,
    QueueReady,
    InterruptStatus,
    Status,
    SharedMemory,
    ConfigGeneration,
}

/// Registers a driver may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writable {
    DeviceFeaturesSelect,
    DriverFeatures,
    DriverFeaturesSelect,
    QueueSelect,
    QueueNotify,
    InterruptAck,
    Status,
    SharedMemorySelect,
    Queue(QueueRegister),
}

/// Registers of the selected queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueRegister {
    Size,
    Ready,
    DescriptorsLow,
    DescriptorsHigh,
    AvailableLow,
    AvailableHigh,
    UsedLow,
    UsedHigh,
}

impl Readable {
    /// The register at `offset`, if there is one.
    pub(super) fn at(offset: u64) -> Option<Self> {
        Some(match u32::try_from(offset).ok()? {
            map::VIRTIO_MMIO_MAGIC_VALUE => Self::Magic,
            map::VIRTIO_MMIO_VERSION => Self::Version,
            map::VIRTIO_MMIO_DEVICE_ID => Self::DeviceId,
            map::VIRTIO_MMIO_VENDOR_ID => Self::Vendor,
            map::VIRTIO_MMIO_DEVICE_FEATURES => Self::DeviceFeatures,
            map::VIRTIO_MMIO_QUEUE_NUM_MAX => Self::QueueSizeMax,
            map::VIRTIO_MMIO_QUEUE_READY => Self::QueueReady,
            map::VIRTIO_MMIO_INTERRUPT_STATUS => Self::InterruptStatus,
            map::VIRTIO_MMIO_STATUS => Self::Status,
            map::VIRTIO_MMIO_SHM_LEN_LOW
            | map::VIRTIO_MMIO_SHM_LEN_HIGH
            | map::VIRTIO_MMIO_SHM_BASE_LOW
            | map::VIRTIO_MMIO_SHM_BASE_HIGH => Self::SharedMemory,
            map::VIRTIO_MMIO_CONFIG_GENERATION => Self::ConfigGeneration,
            _ => return None,
        })
    }
}

impl Writable {
    /// The register at `offset`, if there is one.
    pub(super) fn at(offset: u64) -> Option<Self> {
        Some(match u32::try_from(offset).ok()? {
            map::VIRTIO_MMIO_DEVICE_FEATURES_SEL => Self::DeviceFeaturesSelect,
            map::VIRTIO_MMIO_DRIVER_FEATURES => Self::DriverFeatures,
            map::VIRTIO_MMIO_DRIVER_FEATURES_SEL => Self::DriverFeaturesSelect,
            map::VIRTIO_MMIO_QUEUE_SEL => Self::QueueSelect,
            map::VIRTIO_MMIO_QUEUE_NOTIFY => Self::QueueNotify,
            map::VIRTIO_MMIO_INTERRUPT_ACK => Self::InterruptAck,
            map::VIRTIO_MMIO_STATUS => Self::Status,
            map::VIRTIO_MMIO_SHM_SEL => Self::SharedMemorySelect,
            map::VIRTIO_MMIO_QUEUE_NUM => Self::Queue(QueueRegister::Size),
            map::VIRTIO_MMIO_QUEUE_READY => Self::Queue(QueueRegister::Ready),
            map::VIRTIO_MMIO_QUEUE_DESC_LOW => Self::Queue(QueueRegister::DescriptorsLow),
            map::VIRTIO_MMIO_QUEUE_DESC_HIGH => Self::Queue(QueueRegister::DescriptorsHigh),
            map::VIRTIO_MMIO_QUEUE_AVAIL_LOW => Self::Queue(QueueRegister::AvailableLow),
            map::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => Self::Queue(QueueRegister::AvailableHigh),
            map::VIRTIO_MMIO_QUEUE_USED_LOW => Self::Queue(QueueRegister::UsedLow),
            map::VIRTIO_MMIO_QUEUE_USED_HIGH => Self::Queue(QueueRegister::UsedHigh),
            _ => return None,
        })
    }
}
