//! The kernel and the initial RAM file system: opened, and looked at closely enough to tell a wrong file.

use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::setting::Setting;

/// Where the magic of a bzImage stands: `setup_header.header` (Documentation/arch/x86/boot.rst of Linux).
const BZIMAGE_MAGIC_OFFSET: usize = 0x202;
const BZIMAGE_MAGIC: &[u8] = b"HdrS";
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// What an initial RAM file system may start with: the archive itself (`newc`, with or without checksums), or one of
/// the compressions that Linux unpacks (lib/decompress.c).
const INITRD_MAGICS: [&[u8]; 9] = [
    b"070701",
    b"070702",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ\0",
    b"\x02\x21\x4c\x18",
    b"BZh",
    b"\x5d\0\0",
    b"\x89LZO\0",
];

/// A kernel, open for reading.
#[derive(Debug)]
pub struct Kernel {
    /// Where it was found.
    pub path: PathBuf,
    /// The file, at its start.
    pub file: File,
    /// What kind of file it is.
    pub format: KernelFormat,
}

/// The files that a VM can be started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFormat {
    /// What distributions install as `vmlinuz`.
    BzImage,
    /// An ELF image, like `vmlinux`.
    Elf,
}

/// An initial RAM file system, open for reading.
#[derive(Debug)]
pub struct Initrd {
    /// Where it was found.
    pub path: PathBuf,
    /// The file, at its start.
    pub file: File,
}

impl Kernel {
    pub(super) fn open(setting: &Setting<PathBuf>) -> Result<Self, ConfigError> {
        let wanted = "a Linux kernel (bzImage or ELF)";
        let file = open_regular(setting, wanted)?;
        let mut head = [0; BZIMAGE_MAGIC_OFFSET + BZIMAGE_MAGIC.len()];
        let head = read_head(setting, &file, &mut head)?;
        let format = if head.starts_with(ELF_MAGIC) {
            KernelFormat::Elf
        } else if head.get(BZIMAGE_MAGIC_OFFSET..).is_some_and(|magic| magic == BZIMAGE_MAGIC) {
            KernelFormat::BzImage
        } else {
            let found = if head.is_empty() { "empty" } else { "something else" };
            return Err(setting.fail(Problem::WrongType { path: setting.value.clone(), found, wanted }));
        };
        Ok(Self { path: setting.value.clone(), file, format })
    }
}

impl Initrd {
    pub(super) fn open(setting: &Setting<PathBuf>) -> Result<Self, ConfigError> {
        let wanted = "a cpio archive, compressed or not";
        let file = open_regular(setting, wanted)?;
        let mut head = [0; 8];
        let head = read_head(setting, &file, &mut head)?;
        if !INITRD_MAGICS.iter().any(|magic| head.starts_with(magic)) {
            let found = if head.is_empty() { "empty" } else { "something else" };
            return Err(setting.fail(Problem::WrongType { path: setting.value.clone(), found, wanted }));
        }
        Ok(Self { path: setting.value.clone(), file })
    }
}

/// The type of the file, symbolic links followed. Asked before the file is opened: opening a FIFO would wait for its
/// other end.
pub(super) fn file_type(setting: &Setting<PathBuf>) -> Result<FileType, ConfigError> {
    match fs::metadata(&setting.value) {
        Ok(metadata) => Ok(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(setting.fail(Problem::NotFound(setting.value.clone())))
        }
        Err(error) => Err(open_failed(setting, "reading", error)),
    }
}

/// A file type in words.
pub(super) fn type_name(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_block_device() {
        "a block device"
    } else if file_type.is_char_device() {
        "a character device"
    } else if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a regular file"
    }
}

fn open_regular(setting: &Setting<PathBuf>, wanted: &'static str) -> Result<File, ConfigError> {
    let file_type = file_type(setting)?;
    if !file_type.is_file() {
        let found = type_name(file_type);
        return Err(setting.fail(Problem::WrongType { path: setting.value.clone(), found, wanted }));
    }
    File::open(&setting.value).map_err(|error| open_failed(setting, "reading", error))
}

fn open_failed(setting: &Setting<PathBuf>, purpose: &'static str, source: io::Error) -> ConfigError {
    setting.fail(Problem::Open { path: setting.value.clone(), purpose, hint: "", source })
}

/// The first bytes of the file, fewer where it is shorter. Leaves the file's position alone.
fn read_head<'a>(setting: &Setting<PathBuf>, file: &File, head: &'a mut [u8]) -> Result<&'a [u8], ConfigError> {
    let mut filled = 0;
    while filled < head.len() {
        let offset = u64::try_from(filled).unwrap_or(u64::MAX);
        match file.read_at(&mut head[filled..], offset) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(setting.fail(Problem::Read { path: setting.value.clone(), source })),
        }
    }
    Ok(&head[..filled])
}

/// Whether the folder that a file is to be created in is there.
pub(super) fn parent_exists(path: &Path) -> bool {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => true,
        Some(parent) => parent.is_dir(),
        None => false,
    }
}
