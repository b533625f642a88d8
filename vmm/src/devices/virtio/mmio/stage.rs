//! How far a driver has come in taking charge of a device: the device status field as a state machine (virtio 1.2,
//! sections 2.1 and 3.1.1).
//!
//! ```text
//!           ACKNOWLEDGE       DRIVER        FEATURES_OK      DRIVER_OK
//!   Reset ─────────────► Found ────► Negotiating ────► Configuring ────► Running
//!     ▲                    │              │ accepted features │             │
//!     └── 0 from anywhere  └──────────────┴───── FAILED ──────┴─────────────┴──► Broken
//! ```

use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};

use super::super::has_feature;

const FOUND: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE;
const NEGOTIATING: u32 = FOUND | VIRTIO_CONFIG_S_DRIVER;
const CONFIGURING: u32 = NEGOTIATING | VIRTIO_CONFIG_S_FEATURES_OK;
const RUNNING: u32 = CONFIGURING | VIRTIO_CONFIG_S_DRIVER_OK;

/// Where the driver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has looked at the device.
    Reset,
    /// The guest has seen it.
    Found,
    /// A driver chooses features.
    Negotiating {
        /// Those it has chosen so far.
        accepted: u64,
    },
    /// The features are agreed; the driver sets up queues.
    Configuring {
        /// What was agreed.
        accepted: u64,
    },
    /// The device is in use.
    Running,
    /// The driver gave up, or the device could not start. Only a reset leads out.
    Broken {
        /// The status bits set so far.
        bits: u32,
    },
}

/// What a write of the status field asks the device to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Reset,
    Activate { features: u64 },
}

/// How a driver breaks the protocol. The write then has no effect beyond the steps that were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("the status {0:#x} has bits that do not exist")]
    UnknownBits(u32),
    #[error("the status {0:#x} takes back a step without a reset")]
    StepBack(u32),
    #[error("the status {0:#x} leaves out a step")]
    StepLeftOut(u32),
    #[error("the features {0:#x} were not offered")]
    NotOffered(u64),
    #[error("the driver does not know virtio 1")]
    NotVersion1,
}

impl Stage {
    /// The status field.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Reset => 0,
            Self::Found => FOUND,
            Self::Negotiating { .. } => NEGOTIATING,
            Self::Configuring { .. } => CONFIGURING,
            Self::Running => RUNNING,
            Self::Broken { bits } => bits,
        }
    }

    /// The driver writes `status`. It may take several steps at once.
    pub(super) fn write(&mut self, status: u32, offered: u64) -> Result<Action, Violation> {
        // Set by the device alone; drivers write it back with the rest.
        let status = status & !VIRTIO_CONFIG_S_NEEDS_RESET;
        if status == 0 {
            *self = Self::Reset;
            return Ok(Action::Reset);
        }
        if status & !(RUNNING | VIRTIO_CONFIG_S_FAILED) != 0 {
            return Err(Violation::UnknownBits(status));
        }
        if self.bits() & !status & !VIRTIO_CONFIG_S_NEEDS_RESET != 0 {
            return Err(Violation::StepBack(status));
        }
        if status & VIRTIO_CONFIG_S_FAILED != 0 {
            *self = Self::Broken { bits: self.bits() | VIRTIO_CONFIG_S_FAILED };
            return Ok(Action::Nothing);
        }
        while self.bits() != status {
            let (next, action) = self.next(status, offered)?;
            *self = next;
            if action != Action::Nothing {
                return Ok(action);
            }
        }
        Ok(Action::Nothing)
    }

    /// The one step that may follow, if it is among those `status` asks for.
    fn next(self, status: u32, offered: u64) -> Result<(Self, Action), Violation> {
        let (bit, next, action) = match self {
            Self::Reset => (VIRTIO_CONFIG_S_ACKNOWLEDGE, Self::Found, Action::Nothing),
            Self::Found => (VIRTIO_CONFIG_S_DRIVER, Self::Negotiating { accepted: 0 }, Action::Nothing),
            Self::Negotiating { accepted } => {
                (VIRTIO_CONFIG_S_FEATURES_OK, Self::Configuring { accepted }, Action::Nothing)
            }
            Self::Configuring { accepted } => {
                (VIRTIO_CONFIG_S_DRIVER_OK, Self::Running, Action::Activate { features: accepted })
            }
            Self::Running | Self::Broken { .. } => return Err(Violation::StepLeftOut(status)),
        };
        if status & bit == 0 {
            return Err(Violation::StepLeftOut(status));
        }
        if let Self::Configuring { accepted } = next {
            check_features(accepted, offered)?;
        }
        Ok((next, action))
    }
}

/// Whether the device goes along with these features. Where it does not, FEATURES_OK stays clear, which is what the
/// driver looks at.
fn check_features(accepted: u64, offered: u64) -> Result<(), Violation> {
    match accepted & !offered {
        0 if has_feature(accepted, VIRTIO_F_VERSION_1) => Ok(()),
        0 => Err(Violation::NotVersion1),
        alien => Err(Violation::NotOffered(alien)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
    const OFFERED: u64 = VERSION_1 | 0b110;

    fn negotiating(accepted: u64) -> Stage {
        Stage::Negotiating { accepted }
    }

    #[test]
    fn the_steps_of_a_good_driver_lead_to_running() {
        let mut stage = Stage::Reset;
        assert_eq!(stage.write(0x1, OFFERED), Ok(Action::Nothing));
        assert_eq!(stage.write(0x3, OFFERED), Ok(Action::Nothing));
        assert_eq!(stage, negotiating(0));
        stage = negotiating(VERSION_1);
        assert_eq!(stage.write(0xb, OFFERED), Ok(Action::Nothing));
        assert_eq!(stage.write(0xf, OFFERED), Ok(Action::Activate { features: VERSION_1 }));
        assert_eq!(stage, Stage::Running);
        assert_eq!(stage.write(0xf, OFFERED), Ok(Action::Nothing));
        assert_eq!(stage.write(0, OFFERED), Ok(Action::Reset));
        assert_eq!(stage, Stage::Reset);
    }

    #[test]
    fn several_steps_may_be_taken_at_once() {
        let mut stage = Stage::Reset;
        assert_eq!(stage.write(0x3, OFFERED), Ok(Action::Nothing));
        stage = negotiating(OFFERED);
        assert_eq!(stage.write(0xf, OFFERED), Ok(Action::Activate { features: OFFERED }));
    }

    #[test]
    fn features_that_were_not_offered_are_not_agreed_to() {
        let mut stage = negotiating(VERSION_1 | 0b1000);
        assert_eq!(stage.write(0xb, OFFERED), Err(Violation::NotOffered(0b1000)));
        assert_eq!(stage.bits(), 0x3);
    }

    #[test]
    fn a_legacy_driver_is_turned_away() {
        let mut stage = negotiating(0b110);
        assert_eq!(stage.write(0xb, OFFERED), Err(Violation::NotVersion1));
        assert_eq!(stage.bits(), 0x3);
    }

    #[test]
    fn steps_cannot_be_left_out_or_taken_back() {
        assert_eq!(Stage::Reset.write(0x2, OFFERED), Err(Violation::StepLeftOut(0x2)));
        assert_eq!(Stage::Found.write(0x5, OFFERED), Err(Violation::StepLeftOut(0x5)));
        assert_eq!(Stage::Running.write(0xb, OFFERED), Err(Violation::StepBack(0xb)));
        assert_eq!(Stage::Reset.write(0x21, OFFERED), Err(Violation::UnknownBits(0x21)));
    }

    #[test]
    fn a_driver_that_gave_up_must_reset() {
        let mut stage = negotiating(0);
        assert_eq!(stage.write(0x83, OFFERED), Ok(Action::Nothing));
        assert_eq!(stage, Stage::Broken { bits: 0x83 });
        assert!(stage.write(0x3, OFFERED).is_err());
        assert_eq!(stage.write(0, OFFERED), Ok(Action::Reset));
    }

    #[test]
    fn the_needs_reset_bit_may_be_written_back() {
        let mut stage = Stage::Running;
        assert_eq!(stage.write(0x4f, OFFERED), Ok(Action::Nothing));
    }

    proptest! {
        #[test]
        fn whatever_is_written_a_device_runs_only_with_agreed_features(
            writes in prop::collection::vec((any::<u8>(), any::<u64>()), 0..64)
        ) {
            let mut stage = Stage::Reset;
            for (status, features) in writes {
                if let Stage::Negotiating { accepted } = &mut stage {
                    *accepted = features;
                }
                let before = stage;
                match stage.write(u32::from(status), OFFERED) {
                    Ok(Action::Activate { features }) => {
                        prop_assert_eq!(features & !OFFERED, 0);
                        prop_assert_ne!(features & VERSION_1, 0);
                        prop_assert_eq!(stage, Stage::Running);
                        prop_assert_ne!(before, Stage::Running);
                    }
                    Ok(Action::Reset) => prop_assert_eq!(stage, Stage::Reset),
                    Ok(Action::Nothing) => {}
                    Err(_) => prop_assert_eq!(before.bits() & !stage.bits(), 0),
                }
            }
        }
    }
}
