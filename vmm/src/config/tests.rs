//! Whole configurations: what is read from a good one, and what is said about each kind of bad one.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use policy::Percent;

use super::*;

/// A folder with a kernel, an initrd, two disks and a `vm.toml`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut bzimage = vec![0; 4096];
        bzimage[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(folder.path("vmlinuz"), bzimage).unwrap();
        fs::write(folder.path("vmlinux"), b"\x7fELF and so on").unwrap();
        fs::write(folder.path("initrd.img"), b"070701 and so on").unwrap();
        fs::write(folder.path("root.img"), vec![0; 1024]).unwrap();
        fs::write(folder.path("swap.img"), vec![0; 512]).unwrap();
        fs::write(folder.path("odd.img"), vec![0; 513]).unwrap();
        fs::write(folder.path("empty"), b"").unwrap();
        fs::write(folder.path("notes.txt"), b"not a kernel, not an archive").unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load_with(&self, text: &str, overrides: Overrides) -> Result<VmConfig, ConfigError> {
        fs::write(self.path("vm.toml"), text).unwrap();
        load(&self.path("vm.toml"), overrides)
    }

    fn load(&self, text: &str) -> Result<VmConfig, ConfigError> {
        self.load_with(text, Overrides::default())
    }

    /// The message for a configuration of `kernel` and `memory` on lines 1 and 2, followed by `text` from line 3.
    fn mistake(&self, text: &str) -> String {
        self.mistake_in(&format!("{GOOD}{text}"))
    }

    fn mistake_in(&self, text: &str) -> String {
        self.load(text).unwrap_err().to_string()
    }
}

const GOOD: &str = "kernel = \"vmlinuz\"\nmemory = \"64MiB\"\n";

#[test]
fn what_is_not_written_has_its_default() {
    let config = Folder::new().load(GOOD).unwrap();
    assert_eq!(config.name.as_str(), "vm");
    assert_eq!(config.kernel.format, KernelFormat::BzImage);
    assert!(config.initrd.is_none());
    assert_eq!(config.cmdline, "console=ttyS0");
    assert_eq!(config.vcpus, 1);
    assert_eq!(config.memory_bytes, 64 << 20);
    assert_eq!(config.cpu, CpuModel::Host);
    assert_eq!(config.console, Console::Stdio);
    assert!(config.disks.is_empty() && config.nets.is_empty());
    let tmem = TmemConfig {
        share: ShareConfig::Alone,
        limit_bytes: 64 << 20,
        reservation_bytes: 0,
        label: None,
        codec: None,
        staging_bytes: 8 << 20,
        dedup: None,
        eviction: None,
        recompress_after: None,
    };
    assert_eq!(config.tmem, Some(tmem));
}

#[test]
fn a_service_or_a_policy_governs_the_store() {
    let folder = Folder::new();
    fs::write(folder.path("policy.toml"), "interval = \"5s\"").unwrap();
    let share = |text: &str| folder.load(&format!("{GOOD}[tmem]\n{text}")).unwrap().tmem.unwrap().share;
    assert_eq!(
        share("service = \"host.sock\""),
        ShareConfig::Service(folder.path("host.sock")),
        "it need not be there"
    );
    let ShareConfig::Policy(policy) = share("policy = \"policy.toml\"") else { panic!("no policy") };
    assert_eq!(policy.interval.as_ms(), 5000);
    fs::write(folder.path("broken.toml"), "interval = 5").unwrap();
    let table: &[(&str, &[&str])] = &[
        ("policy = \"gone\"", &["vm.toml:4: `tmem.policy`: ", "gone cannot be read"]),
        ("policy = \"broken.toml\"", &["vm.toml:4: `tmem.policy`: ", "broken.toml:1:12", "\"5\" has no unit"]),
        ("service = \"s\"\npolicy = \"policy.toml\"", &["vm.toml:5: `tmem.policy`: ", "either `service` or `policy`"]),
    ];
    for (text, fragments) in table {
        let message = folder.mistake(&format!("[tmem]\n{text}"));
        for fragment in *fragments {
            assert!(message.contains(fragment), "{text:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
    let long = folder.mistake(&format!("[tmem]\nservice = \"/{}\"", "x".repeat(107)));
    assert!(long.contains("a socket has at most 107 bytes"), "{long}");
}

#[test]
fn every_key_is_read() {
    let folder = Folder::new();
    let config = folder
        .load(
            r#"
            name = "web-1"
            kernel = "vmlinux"
            initrd = "initrd.img"
            cmdline = "console=ttyS0 root=/dev/vda"
            vcpus = 4
            memory = "32768KiB"
            cpu = "baseline"
            console = "file:guest.log"
            [[disk]]
            path = "root.img"
            read_only = true
            id = "root"
            [[disk]]
            path = "swap.img"
            [tmem]
            limit = "50%"
            reservation = "1MiB"
            label = "blue"
            codec = "zstd"
            staging = "0KiB"
            dedup = "off"
            eviction = "second-chance"
            recompress_after_seconds = 0
            "#,
        )
        .unwrap();
    assert_eq!(config.name.as_str(), "web-1");
    assert_eq!(config.kernel.format, KernelFormat::Elf);
    assert_eq!(config.initrd.unwrap().path, folder.path("initrd.img"));
    assert_eq!(config.cmdline, "console=ttyS0 root=/dev/vda");
    assert_eq!((config.vcpus, config.memory_bytes, config.cpu), (4, 32 << 20, CpuModel::Baseline));
    assert_eq!(config.console, Console::File(folder.path("guest.log")));
    assert!(!folder.path("guest.log").exists(), "a configuration creates nothing");
    let [root, swap] = config.disks.as_slice() else { panic!("two disks") };
    assert_eq!((root.size_bytes, root.read_only, root.id.as_deref()), (1024, true, Some("root")));
    assert_eq!((swap.size_bytes, swap.read_only, swap.id.as_deref()), (512, false, None));
    let tmem = config.tmem.unwrap();
    assert_eq!((tmem.limit_bytes, tmem.reservation_bytes), (16 << 20, 1 << 20));
    assert_eq!((tmem.label.as_deref(), tmem.codec), (Some("blue"), Some(Codec::Zstd)));
    assert_eq!((tmem.staging_bytes, tmem.dedup), (0, Some(Dedup::Off)));
    assert_eq!(tmem.eviction, Some(Eviction::SecondChance));
    assert_eq!(tmem.recompress_after, Some(Duration::ZERO));
}

#[test]
fn tmem_can_be_switched_off_with_its_other_keys_in_place() {
    let config = Folder::new().load(&format!("{GOOD}[tmem]\nenabled = false\nlimit = \"1MiB\"\n")).unwrap();
    assert_eq!(config.tmem, None);
}

#[test]
fn an_empty_command_line_is_one() {
    assert_eq!(Folder::new().load(&format!("{GOOD}cmdline = \"\"\n")).unwrap().cmdline, "");
}

#[test]
fn flags_override_keys_and_are_named_in_errors() {
    let folder = Folder::new();
    let flags = Overrides {
        kernel: Some(folder.path("vmlinux")),
        initrd: Some(folder.path("initrd.img")),
        cmdline: Some("quiet".into()),
        vcpus: Some(3),
        memory: Some(ByteSize(32 << 20)),
        cpu: Some(CpuModel::Baseline),
        limit: Some(SizeOrPercent::Percent(Percent::whole(100))),
        trace: Some(folder.path("vm.trace")),
    };
    let config = folder.load_with(GOOD, flags.clone()).unwrap();
    assert_eq!(config.kernel.format, KernelFormat::Elf);
    assert_eq!((config.cmdline.as_str(), config.vcpus, config.memory_bytes), ("quiet", 3, 32 << 20));
    assert_eq!((config.cpu, config.tmem.unwrap().limit_bytes), (CpuModel::Baseline, 32 << 20));
    assert_eq!(config.trace, Some(folder.path("vm.trace")));
    assert!(!folder.path("vm.trace").exists(), "nothing is created before the VM starts");
    assert!(folder.load_with("", flags.clone()).is_ok(), "the file may leave to the flags what they give");

    let mistake = |flags| folder.load_with(GOOD, flags).unwrap_err().to_string();
    let vcpus = mistake(Overrides { vcpus: Some(0), ..flags.clone() });
    assert_eq!(vcpus, "--vcpus: 0 is out of range; allowed are 1 to 4 vCPUs");
    let memory = mistake(Overrides { memory: Some(ByteSize(1 << 50)), ..flags.clone() });
    assert!(memory.starts_with("--memory: 1024TiB is more than the "), "{memory}");
    let kernel = mistake(Overrides { kernel: Some("/no/kernel".into()), ..flags });
    assert_eq!(kernel, "--kernel: /no/kernel does not exist");
}

#[test]
fn a_trace_that_cannot_be_is_told_before_anything_is_started() {
    let folder = Folder::new();
    let mistake = |text: &str, trace: PathBuf| {
        let flags = Overrides { trace: Some(trace), ..Overrides::default() };
        folder.load_with(text, flags).unwrap_err().to_string()
    };
    let no_store = mistake(&format!("{GOOD}[tmem]\nenabled = false\n"), folder.path("vm.trace"));
    assert_eq!(no_store, "--trace: this VM has no store to trace: `[tmem]` says `enabled = false`");
    assert_eq!(mistake(GOOD, "/no/vm.trace".into()), "--trace: /no does not exist");
    assert!(mistake(GOOD, folder.path("")).ends_with("is a directory; a file that can be written is needed"));
}

/// Each mistake names the line and the key and says what would be right.
#[test]
fn mistakes_in_the_text_name_line_and_key() {
    let folder = Folder::new();
    let table: &[(&str, &[&str])] = &[
        ("cpu host", &["vm.toml:3: key with no value, expected `=`"]),
        ("memroy = \"1GiB\"", &["vm.toml:3: `memroy`: unknown field `memroy`", "`memory`"]),
        ("memory = \"1GiB\"", &["vm.toml:3: ", "duplicate key"]),
        ("[tmem]\n\nlimt = \"1MiB\"", &["vm.toml:5: `tmem.limt`: unknown field `limt`", "`limit`"]),
        ("[[disk]]\npath = \"root.img\"\nro = true", &["vm.toml:5: `disk.ro`: unknown field `ro`", "`read_only`"]),
        ("[[disk]]\nread_only = true", &["vm.toml:3: `disk`: missing field `path`"]),
        ("[network]", &["vm.toml:3: `network`: unknown field `network`"]),
        ("[[net]]\nmac = \"02:00:00:00:00:01\"", &["vm.toml:3: `net`: missing field `tap`"]),
        ("[[net]]\ntap = \"a-tap-of-16-char\"", &["vm.toml:4: `net.tap`: 16 is out of range", "1 to 15 characters"]),
        ("[[net]]\ntap = \"t\"\nmac = \"02:00\"", &["vm.toml:5: `net.mac`: \"02:00\" is no MAC address; write six"]),
        ("[[net]]\ntap = \"t\"\nmac = \"03:00:00:00:00:01\"", &["vm.toml:5: `net.mac`", "first byte is odd"]),
        ("[[net]]\ntap = \"t\"\n[[net]]\ntap = \"t\"", &["vm.toml:6: `net.tap`: tap t is the one of an earlier"]),
        (
            "[[net]]\ntap = \"t\"\nmac = \"02:00:00:00:00:01\"\n[[net]]\ntap = \"u\"\nmac = \"02:00:00:00:00:01\"",
            &["vm.toml:8: `net.mac`: 02:00:00:00:00:01 is the address of an earlier network card"],
        ),
        ("name = \"a b\"", &["vm.toml:3: `name`: ' ' in a VM's name"]),
        ("name = \"\"", &["vm.toml:3: `name`: a VM's name is empty"]),
        ("name = 1", &["vm.toml:3: `name`: invalid type: integer `1`, expected a string"]),
        ("vcpus = 0", &["vm.toml:3: `vcpus`: 0 is out of range; allowed are 1 to 4"]),
        ("vcpus = 5", &["vm.toml:3: `vcpus`: 5 is out of range"]),
        ("vcpus = -1", &["vm.toml:3: `vcpus`: -1 is out of range"]),
        ("vcpus = \"two\"", &["vm.toml:3: `vcpus`: invalid type: string \"two\""]),
        ("cpu = \"haswell\"", &["vm.toml:3: `cpu`: unknown variant `haswell`, expected `host` or `baseline`"]),
        ("console = \"tty\"", &["vm.toml:3: `console`: \"tty\" is no console", "\"file:PATH\""]),
        ("console = \"file:\"", &["vm.toml:3: `console`: \"file:\" is no console"]),
        ("console = \"file:.\"", &["vm.toml:3: `console`", "is a directory"]),
        ("console = \"file:no/guest.log\"", &["vm.toml:3: `console`", "/no does not exist"]),
        ("cmdline = \"quiet\\nsplash\"", &["vm.toml:3: `cmdline`: '\\n' is not allowed"]),
        ("[tmem]\nlimit = 512", &["vm.toml:4: `tmem.limit`: \"512\" has no unit; write 512KiB, 512MiB"]),
        ("[tmem]\nlimit = \"1GB\"", &["vm.toml:4: `tmem.limit`: \"GB\" in \"1GB\" is no unit; write KiB, MiB"]),
        ("[tmem]\nlimit = 0.5", &["vm.toml:4: `tmem.limit`: \".5\" in \"0.5\" is no unit; write KiB, MiB"]),
        (
            "[tmem]\nlimit = \"1MiB\"\nreservation = \"2MiB\"",
            &["vm.toml:5: `tmem.reservation`: a reservation of 2MiB is above the limit of 1MiB"],
        ),
        ("[tmem]\nstaging = \"2GiB\"", &["vm.toml:4: `tmem.staging`: a staging buffer of 2GiB is more than the 1GiB"]),
        ("[tmem]\nlimit = \"999TiB\"\nreservation = \"999TiB\"", &["vm.toml:5: `tmem.reservation`", "this host has"]),
        ("[tmem]\nlabel = \"\\u001b[2J\"", &["vm.toml:4: `tmem.label`: '\\u{1b}' is not allowed"]),
        ("[tmem]\nlabel = \"\"", &["vm.toml:4: `tmem.label`: 0 is out of range; allowed are 1 to 64 characters"]),
        (
            "[tmem]\neviction = \"arc\"",
            &["`tmem.eviction`: unknown variant `arc`, expected one of `used-first`, `second-chance`, `fifo`"],
        ),
        (
            "[tmem]\ncodec = \"lzo\"",
            &["vm.toml:4: `tmem.codec`: unknown variant `lzo`, expected one of `lz4`, `zstd`, `page-lz`"],
        ),
    ];
    for (text, fragments) in table {
        let message = folder.mistake(text);
        for fragment in *fragments {
            assert!(message.contains(fragment), "{text:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
}

#[test]
fn a_guest_needs_memory_and_a_kernel() {
    let folder = Folder::new();
    let table: &[(&str, &[&str])] = &[
        ("", &["vm.toml: `memory`: is missing; write for example memory = \"256MiB\""]),
        ("memory = \"64MiB\"", &["vm.toml: `kernel`: is missing; write for example kernel ="]),
        ("memory = 256", &["vm.toml:1: `memory`: \"256\" has no unit; write 256KiB, 256MiB or 256GiB"]),
        ("memory = \"256M\"", &["vm.toml:1: `memory`: \"M\" in \"256M\" is no unit"]),
        ("memory = \"50%\"", &["vm.toml:1: `memory`: \"50%\" is a percentage"]),
        ("memory = \"1MiB\"", &["vm.toml:1: `memory`: 1MiB is not possible; a guest has at least 16MiB"]),
        ("memory = \"65537KiB\"", &["vm.toml:1: `memory`: 65537KiB is not possible", "whole pages"]),
        ("memory = \"999TiB\"", &["vm.toml:1: `memory`: 999TiB is more than the", "MiB of memory that this host has"]),
    ];
    for (text, fragments) in table {
        let message = folder.mistake_in(text);
        for fragment in *fragments {
            assert!(message.contains(fragment), "{text:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
}

#[test]
fn mistakes_in_files_name_the_file() {
    let folder = Folder::new();
    let table: &[(&str, &[&str])] = &[
        ("kernel = \"gone\"", &["vm.toml:2: `kernel`: ", "/gone does not exist"]),
        ("kernel = \".\"", &["vm.toml:2: `kernel`: ", "is a directory; a Linux kernel (bzImage or ELF) is needed"]),
        ("kernel = \"/dev/null\"", &["vm.toml:2: `kernel`: /dev/null is a character device"]),
        ("kernel = \"notes.txt\"", &["vm.toml:2: `kernel`: ", "notes.txt is something else; a Linux kernel"]),
        ("kernel = \"empty\"", &["vm.toml:2: `kernel`: ", "empty is empty"]),
        ("kernel = \"vmlinuz\"\ninitrd = \"gone\"", &["vm.toml:3: `initrd`: ", "/gone does not exist"]),
        ("kernel = \"vmlinuz\"\ninitrd = \"vmlinuz\"", &["vm.toml:3: `initrd`: ", "a cpio archive"]),
        ("kernel = \"vmlinuz\"\n[[disk]]\npath = \"gone\"", &["vm.toml:4: `disk.path`: ", "/gone does not exist"]),
        ("kernel = \"vmlinuz\"\n[[disk]]\npath = \".\"", &["vm.toml:4: `disk.path`: ", "is a directory; a regular"]),
        ("kernel = \"vmlinuz\"\n[[disk]]\npath = \"odd.img\"", &["vm.toml:4: `disk.path`: ", "has 513 bytes; a disk"]),
        ("kernel = \"vmlinuz\"\n[[disk]]\npath = \"empty\"", &["vm.toml:4: `disk.path`: ", "has 0 bytes; a disk"]),
        (
            "kernel = \"vmlinuz\"\n[[disk]]\npath = \"root.img\"\nid = \"a-name-that-is-too-long\"",
            &["vm.toml:5: `disk.id`: 23 is out of range; allowed are 1 to 20 characters"],
        ),
    ];
    for (text, fragments) in table {
        let message = folder.mistake_in(&format!("memory = \"64MiB\"\n{text}"));
        for fragment in *fragments {
            assert!(message.contains(fragment), "{text:?} gave {message:?}, which lacks {fragment:?}");
        }
    }
}

#[test]
fn a_fifo_is_a_wrong_file_type_and_is_not_waited_for() {
    let folder = Folder::new();
    rustix::fs::mknodat(rustix::fs::CWD, folder.path("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert!(folder.mistake_in("memory = \"64MiB\"\nkernel = \"fifo\"").contains("fifo is a FIFO"));
    assert!(folder.mistake("[[disk]]\npath = \"fifo\"").contains("fifo is a FIFO"));
}

#[test]
fn a_file_that_is_no_configuration_is_an_error_with_the_hosts_reason() {
    let folder = Folder::new();
    let error = load(Path::new("/no/vm.toml"), Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), "/no/vm.toml: the configuration file cannot be read");
    assert!(error.source().unwrap().to_string().contains("No such file"));

    let error = load(folder.0.path(), Overrides::default()).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("directory"), "{error:?}");

    File::create(folder.path("huge.toml")).unwrap().set_len(2 << 20).unwrap();
    let error = load(&folder.path("huge.toml"), Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");

    fs::write(folder.path("vm.toml"), b"name = \"\xff\"").unwrap();
    let error = load(&folder.path("vm.toml"), Overrides::default()).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("UTF-8"), "{error:?}");
}

#[test]
fn a_file_name_that_is_no_vm_name_asks_for_one() {
    let folder = Folder::new();
    fs::write(folder.path("my vm.toml"), GOOD).unwrap();
    let error = load(&folder.path("my vm.toml"), Overrides::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("my vm.toml: `name`: ' ' in a VM's name, allowed are A-Z a-z 0-9 . _ -; set `name`")
    );
}

#[test]
fn a_disk_that_is_written_belongs_to_one_vm() {
    let folder = Folder::new();
    let text = format!("{GOOD}[[disk]]\npath = \"root.img\"\n");
    let first = folder.load(&text).unwrap();
    let message = folder.mistake_in(&text);
    assert!(message.contains("vm.toml:4: `disk.path`: ") && message.contains("root.img is busy"), "{message}");
    let reader = folder.mistake("[[disk]]\npath = \"root.img\"\nread_only = true\n");
    assert!(reader.contains("is busy"), "a reader would see the writer's half-written blocks: {reader}");
    drop(first);
    assert!(folder.load(&text).is_ok(), "the lock ends with the configuration");
}

#[test]
fn a_disk_that_is_only_read_is_shared_among_readers() {
    let folder = Folder::new();
    let text = format!("{GOOD}[[disk]]\npath = \"root.img\"\nread_only = true\n");
    let _first = folder.load(&text).unwrap();
    let _second = folder.load(&text).unwrap();
    assert!(folder.mistake("[[disk]]\npath = \"root.img\"\n").contains("is busy"));
}

#[test]
fn a_disk_listed_twice_is_told_from_a_busy_one() {
    let folder = Folder::new();
    fs::hard_link(folder.path("root.img"), folder.path("link.img")).unwrap();
    let message = folder.mistake("[[disk]]\npath = \"root.img\"\n[[disk]]\npath = \"link.img\"\n");
    assert!(message.contains("vm.toml:6: `disk.path`: ") && message.contains("a disk of this VM already"), "{message}");
}

#[test]
fn a_configuration_that_fails_keeps_no_lock() {
    let folder = Folder::new();
    let disk = "[[disk]]\npath = \"root.img\"\n";
    assert!(folder.mistake(&format!("{disk}[[disk]]\npath = \"gone\"\n")).contains("does not exist"));
    assert!(folder.load(&format!("{GOOD}{disk}")).is_ok());
}

#[test]
fn there_are_no_more_disks_than_interrupt_lines() {
    let disk = "[[disk]]\npath = \"root.img\"\nread_only = true\n";
    let folder = Folder::new();
    assert_eq!(folder.load(&format!("{GOOD}{}", disk.repeat(DISKS_MAX))).unwrap().disks.len(), DISKS_MAX);
    let message = folder.mistake(&disk.repeat(DISKS_MAX + 1));
    assert!(message.contains("this is disk number 9; a VM has at most 8"), "{message}");
}

#[test]
fn there_are_few_network_cards() {
    let cards: String = (0..=NETS_MAX).map(|number| format!("[[net]]\ntap = \"t{number}\"\n")).collect();
    let message = Folder::new().mistake(&cards);
    assert!(message.contains("vm.toml:12: `net.tap`: this is network card number 5; a VM has at most 4"), "{message}");
}

#[test]
fn a_tap_that_is_not_there_is_not_made() {
    let message = Folder::new().mistake("[[net]]\ntap = \"no-such-tap-0\"\n");
    assert!(message.contains("vm.toml:4: `net.tap`: there is no tap no-such-tap-0; make it: ip tuntap"), "{message}");
}
