//! Exit codes.

use std::process::ExitCode;

use vmm::Ending;
use vmm::config::ConfigError;

/// The codes of `tmem run`, for `--help`.
pub const RUN_EXIT_CODES: &str = "\
Exit codes:
    0  the guest shut down
    1  the host could not run the VM, or not go on
    2  the configuration or the command line is wrong; nothing was started
    3  the guest rebooted (never with --restart)
    4  the guest's kernel panicked
    5  the guest ended in a triple fault
  130  the VM was ended at once, by Ctrl-A x, SIGINT or a second SIGTERM
       (the first SIGTERM presses the power button)";

/// The codes of `tmem policy check` and `show`, for `--help`.
pub const POLICY_EXIT_CODES: &str = "\
Exit codes:
    0  the policy is valid, perhaps with warnings
    1  it is not, or cannot be read
    2  the command line is wrong";

/// The codes of `tmem check`, for `--help`.
pub const CHECK_EXIT_CODES: &str = "\
Exit codes:
    0  this host runs VMs, perhaps not as well as it could
    1  it does not
    2  the command line is wrong";

const HOST: u8 = 1;
const CONFIGURATION: u8 = 2;

/// The code of a VM's end.
pub fn of_vm(ending: Ending) -> ExitCode {
    ExitCode::from(match ending {
        Ending::Shutdown => 0,
        Ending::Reboot => 3,
        Ending::Panic => 4,
        Ending::TripleFault => 5,
        Ending::Quit => 130,
    })
}

/// The code of an error. A wrong command line never comes here: clap ends with the same code as for a wrong
/// configuration.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.is::<ConfigError>() { CONFIGURATION } else { HOST })
}

/// A VM's end in words.
pub fn in_words(ending: Ending) -> &'static str {
    match ending {
        Ending::Shutdown => "the guest shut down",
        Ending::Reboot => "the guest rebooted",
        Ending::Panic => "the guest's kernel panicked",
        Ending::TripleFault => "the guest ended in a triple fault",
        Ending::Quit => "ended by its user",
    }
}
