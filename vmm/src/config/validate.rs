//! From what was written to what can be run: defaults, flags before keys, and every check that needs more than one
//! value or the host. Files are opened last, so that no lock is taken for a configuration that fails elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::{ByteSize, Percent, SizeOrPercent};
use protocol::VmName;

use super::document::{ConfigFile, Document, TmemTable};
use super::error::{ConfigError, Place, Problem};
use super::image::{Initrd, Kernel, parent_exists};
use super::setting::Setting;
use super::share::share;
use super::text::printable;
use super::{Console, CpuModel, Overrides, TmemConfig, VmConfig, disk, net};

const VCPUS_DEFAULT: u8 = 1;
const VCPUS_MAX: u8 = 4;
const MEMORY_MIN_BYTES: u64 = 16 << 20;
const PAGE_BYTES: u64 = 4096;
const CMDLINE_DEFAULT: &str = "console=ttyS0";
/// `COMMAND_LINE_SIZE` of x86 is 2048 with the NUL byte (arch/x86/include/asm/setup.h of Linux).
const CMDLINE_MAX_BYTES: usize = 2047;
const LABEL_MAX_BYTES: usize = 64;
/// As much as a guest puts in the milliseconds until the thread looks; twice what a core's cache holds.
const STAGING_DEFAULT: ByteSize = ByteSize(8 << 20);
/// Raw pages are what the store is there to avoid.
const STAGING_MAX: ByteSize = ByteSize(1 << 30);
const LIMIT_DEFAULT: SizeOrPercent = SizeOrPercent::Percent(Percent::whole(100));

pub(super) fn validate(file: &ConfigFile, document: Document, flags: Overrides) -> Result<VmConfig, ConfigError> {
    let name = name(file, document.name.map(|name| Setting::of_key(file, "name", name)))?;
    let vcpus = match Setting::choose(file, "vcpus", document.vcpus, "--vcpus", flags.vcpus) {
        Some(setting) => vcpus(&setting)?,
        None => VCPUS_DEFAULT,
    };
    let memory = Setting::choose(file, "memory", document.memory, "--memory", flags.memory)
        .ok_or_else(|| missing(file, "memory", "memory = \"256MiB\""))?;
    // In whole MiB, so that it reads well.
    let host_bytes = (observe::memory_bytes() >> 20) << 20;
    let memory_bytes = memory_bytes(&memory, host_bytes)?;
    let cmdline = match Setting::choose(file, "cmdline", document.cmdline, "--cmdline", flags.cmdline) {
        Some(setting) if setting.value.is_empty() => String::new(),
        Some(setting) => printable(setting, CMDLINE_MAX_BYTES, "at most 2047 characters")?,
        None => CMDLINE_DEFAULT.to_owned(),
    };
    let cpu = flags.cpu.or(document.cpu.map(toml::Spanned::into_inner)).unwrap_or(CpuModel::Host);
    let console = match document.console {
        Some(console) => self::console(file, &Setting::of_key(file, "console", console))?,
        None => Console::Stdio,
    };
    let tmem = tmem(file, document.tmem, flags.limit, memory_bytes, host_bytes)?;
    let trace = flags.trace.map(|path| trace(path, tmem.is_some())).transpose()?;

    let kernel = Setting::choose_path(file, "kernel", document.kernel, "--kernel", flags.kernel)
        .ok_or_else(|| missing(file, "kernel", "kernel = \"/boot/vmlinuz\""))?;
    let kernel = Kernel::open(&kernel)?;
    let initrd = Setting::choose_path(file, "initrd", document.initrd, "--initrd", flags.initrd);
    let initrd = initrd.as_ref().map(Initrd::open).transpose()?;
    let disks = disk::open_all(file, document.disk)?;
    let nets = net::open_all(file, document.net, &name)?;

    Ok(VmConfig { name, kernel, initrd, cmdline, vcpus, memory_bytes, cpu, console, disks, nets, tmem, trace })
}

fn missing(file: &ConfigFile, key: &str, example: &'static str) -> ConfigError {
    ConfigError::new(file.place_without_line(key), Problem::Missing { example })
}

/// The name that is set, else the file's.
fn name(file: &ConfigFile, setting: Option<Setting<String>>) -> Result<VmName, ConfigError> {
    let setting = setting.unwrap_or_else(|| Setting {
        value: file.stem().unwrap_or_default().to_owned(),
        place: file.place_without_line("name"),
    });
    setting.value.parse().map_err(|error| setting.fail(Problem::Name(error)))
}

fn vcpus(setting: &Setting<i64>) -> Result<u8, ConfigError> {
    match u8::try_from(setting.value) {
        Ok(vcpus @ 1..=VCPUS_MAX) => Ok(vcpus),
        _ => Err(setting.fail(Problem::OutOfRange { value: setting.value, allowed: "1 to 4 vCPUs" })),
    }
}

fn memory_bytes(setting: &Setting<ByteSize>, host_bytes: u64) -> Result<u64, ConfigError> {
    let ByteSize(bytes) = setting.value;
    if bytes < MEMORY_MIN_BYTES || !bytes.is_multiple_of(PAGE_BYTES) {
        return Err(setting.fail(Problem::MemoryShape(setting.value)));
    }
    if bytes > host_bytes {
        return Err(setting.fail(Problem::BeyondHost { asked: setting.value, host: ByteSize(host_bytes) }));
    }
    Ok(bytes)
}

fn console(file: &ConfigFile, setting: &Setting<String>) -> Result<Console, ConfigError> {
    match setting.value.as_str() {
        "stdio" => Ok(Console::Stdio),
        "none" => Ok(Console::None),
        other => match other.strip_prefix("file:") {
            None | Some("") => Err(setting.fail(Problem::Console(other.to_owned()))),
            Some(path) => {
                let path = file.resolve(Path::new(path));
                can_be_created(&path).map_err(|problem| setting.fail(problem))?;
                Ok(Console::File(path))
            }
        },
    }
}

/// The file of the trace; it comes from a flag alone.
fn trace(path: PathBuf, has_store: bool) -> Result<PathBuf, ConfigError> {
    let fail = |problem| ConfigError::new(Place::Flag("--trace"), problem);
    if !has_store {
        return Err(fail(Problem::NothingToTrace));
    }
    can_be_created(&path).map_err(fail)?;
    Ok(path)
}

fn can_be_created(path: &Path) -> Result<(), Problem> {
    if path.is_dir() {
        let wanted = "a file that can be written";
        return Err(Problem::WrongType { path: path.to_owned(), found: "a directory", wanted });
    }
    if !parent_exists(path) {
        return Err(Problem::NotFound(path.parent().unwrap_or(path).to_owned()));
    }
    Ok(())
}

fn tmem(
    file: &ConfigFile,
    table: TmemTable,
    limit_flag: Option<SizeOrPercent>,
    memory_bytes: u64,
    host_bytes: u64,
) -> Result<Option<TmemConfig>, ConfigError> {
    let limit = Setting::choose(file, "tmem.limit", table.limit, "--limit", limit_flag)
        .unwrap_or_else(|| Setting { value: LIMIT_DEFAULT, place: file.place_without_line("tmem.limit") });
    let limit_bytes = limit.value.bytes(memory_bytes).ok_or_else(|| limit.fail(Problem::PercentTooLarge))?;

    let reservation_bytes = match table.reservation {
        None => 0,
        Some(reservation) => {
            let reservation = Setting::of_key(file, "tmem.reservation", reservation);
            let bytes =
                reservation.value.bytes(memory_bytes).ok_or_else(|| reservation.fail(Problem::PercentTooLarge))?;
            if bytes > limit_bytes {
                let problem =
                    Problem::ReservationAboveLimit { reservation: ByteSize(bytes), limit: ByteSize(limit_bytes) };
                return Err(reservation.fail(problem));
            }
            // The guest's memory and what is promised to it on top must be there at the same time.
            let asked = memory_bytes.saturating_add(bytes);
            if asked > host_bytes {
                let problem = Problem::BeyondHost { asked: ByteSize(asked), host: ByteSize(host_bytes) };
                return Err(reservation.fail(problem));
            }
            bytes
        }
    };

    let share = share(file, table.service, table.policy)?;
    let label = match table.label {
        Some(label) => {
            let label = Setting::of_key(file, "tmem.label", label);
            Some(printable(label, LABEL_MAX_BYTES, "1 to 64 characters")?)
        }
        None => None,
    };
    let staging_bytes = match table.staging {
        None => STAGING_DEFAULT,
        Some(staging) => {
            let staging = Setting::of_key(file, "tmem.staging", staging);
            if staging.value > STAGING_MAX {
                return Err(staging.fail(Problem::StagingTooLarge { asked: staging.value, max: STAGING_MAX }));
            }
            staging.value
        }
    };
    let staging_bytes = usize::try_from(staging_bytes.0).unwrap_or(0);
    let config = TmemConfig {
        share,
        limit_bytes,
        reservation_bytes,
        label,
        codec: table.codec,
        eviction: table.eviction,
        staging_bytes,
        dedup: table.dedup,
        recompress_after: table.recompress_after_seconds.map(|seconds| Duration::from_secs(seconds.into())),
    };
    Ok(table.enabled.unwrap_or(true).then_some(config))
}
