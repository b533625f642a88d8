//! The host: MemTotal, MemAvailable and memory pressure.

use std::io;
use std::path::{Path, PathBuf};

use policy::Pressure;
use policy::law::observation::{HostObservation, PsiObservation};

use super::text_of;

/// Why the host's memory is not known.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// a file of the kernel cannot be read
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// a file of the kernel lacks a line
    #[error("{path} has no {line}")]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What is not there.
        line: &'static str,
    },
}

/// The kernel's files about the host.
#[derive(Clone, Debug)]
pub struct HostFiles {
    meminfo: PathBuf,
    pressure: PathBuf,
}

impl Default for HostFiles {
    /// Those of this host.
    fn default() -> Self {
        Self::below(Path::new("/proc"))
    }
}

impl HostFiles {
    /// Those below a folder that is laid out like `/proc`.
    #[must_use]
    pub fn below(proc: &Path) -> Self {
        Self { meminfo: proc.join("meminfo"), pressure: proc.join("pressure/memory") }
    }

    /// The host as it is now. `now_ms` is the caller's clock.
    ///
    /// # Errors
    ///
    /// [`ObserveError`] where MemTotal or MemAvailable is not known. A kernel without pressure is no error.
    pub fn observe(&self, now_ms: u64) -> Result<HostObservation, ObserveError> {
        let path = &self.meminfo;
        let text = text_of(path).map_err(|source| ObserveError::Read { path: path.clone(), source })?;
        let bytes = |line| kib_of(&text, line).ok_or_else(|| ObserveError::Lacks { path: path.clone(), line });
        Ok(HostObservation {
            now_ms,
            total_bytes: bytes("MemTotal")?,
            available_bytes: bytes("MemAvailable")?,
            psi: text_of(&self.pressure).ok().as_deref().and_then(pressure),
        })
    }
}

/// All the memory that the host's kernel manages, used or not, in bytes: MemTotal, by sysinfo(2).
#[must_use]
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

/// The bytes of a line like `MemTotal:       24681928 kB`.
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| *key == name)?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The two lines of `/proc/pressure/memory`.
fn pressure(text: &str) -> Option<PsiObservation> {
    let avg10 = |who| {
        let line = text.lines().find_map(|line| line.strip_prefix(who))?;
        hundredths(line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?)
    };
    Some(PsiObservation { some_avg10: avg10("some ")?, full_avg10: avg10("full ")? })
}

/// A number with exactly two decimals, as the kernel prints it.
fn hundredths(text: &str) -> Option<Pressure> {
    let (whole, decimals) = text.split_once('.')?;
    if decimals.len() != 2 {
        return None;
    }
    let (whole, decimals): (u32, u32) = (whole.parse().ok()?, decimals.parse().ok()?);
    Some(Pressure::from_basis_points(whole.checked_mul(100)?.checked_add(decimals)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MEMINFO: &str = "MemTotal:       24681928 kB\nMemFree:        11894268 kB\nMemAvailable:   23466832 kB\nHugePages_Total:       0\n";
    const PRESSURE: &str = "some avg10=0.17 avg60=0.05 avg300=0.01 total=123\n\
                            full avg10=12.00 avg60=0.00 avg300=0.00 total=7\n";

    fn observed(meminfo: &str, pressure: Option<&str>) -> Result<HostObservation, ObserveError> {
        let proc = tempfile::tempdir().unwrap();
        fs::write(proc.path().join("meminfo"), meminfo).unwrap();
        if let Some(text) = pressure {
            fs::create_dir(proc.path().join("pressure")).unwrap();
            fs::write(proc.path().join("pressure/memory"), text).unwrap();
        }
        HostFiles::below(proc.path()).observe(7)
    }

    #[test]
    fn memory_and_pressure_are_what_the_kernel_prints() {
        let psi = PsiObservation {
            some_avg10: Pressure::from_basis_points(17),
            full_avg10: Pressure::from_basis_points(1200),
        };
        let wanted = HostObservation {
            now_ms: 7,
            total_bytes: 24_681_928 << 10,
            available_bytes: 23_466_832 << 10,
            psi: Some(psi),
        };
        assert_eq!(observed(MEMINFO, Some(PRESSURE)).unwrap(), wanted);
    }

    #[test]
    fn a_kernel_without_pressure_tells_the_rest() {
        assert_eq!(observed(MEMINFO, None).unwrap().psi, None);
        assert_eq!(observed(MEMINFO, Some("")).unwrap().psi, None);
        assert_eq!(observed(MEMINFO, Some("some avg10=nan\nfull avg10=0.00\n")).unwrap().psi, None);
    }

    #[test]
    fn a_line_that_is_not_there_is_named() {
        let message = observed("MemTotal: 1 kB\n", None).unwrap_err().to_string();
        assert!(message.ends_with("meminfo has no MemAvailable"), "{message}");
        assert!(observed("MemTotal: 1\nMemAvailable: 1 kB\n", None).is_err(), "a number without its unit");
    }

    #[test]
    fn this_host_has_memory() {
        let host = HostFiles::default().observe(0).unwrap();
        assert!(host.available_bytes > 0 && host.available_bytes <= host.total_bytes);
    }
}
