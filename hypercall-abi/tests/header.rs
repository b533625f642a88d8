//! The C header says what the Rust crate says: it is made from it, compiles, and every number in it is the same.

use hypercall_abi as abi;
use std::{fmt::Write, fs, path::Path, process::Command};

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(crate_dir().join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_src(crate_dir().join("src/lib.rs"))
        .with_src(crate_dir().join("src/call.rs"))
        .with_src(crate_dir().join("src/layout.rs"))
        .with_src(crate_dir().join("src/status.rs"))
        .with_config(config)
        .generate()
        .expect("a header");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("UTF-8")
}

#[test]
fn the_header_is_the_one_made_from_this_crate() {
    let path = crate_dir().join("include/tmem_abi.h");
    if std::env::var_os("UPDATE_ABI_HEADER").is_some() {
        fs::write(&path, generated()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == generated(),
        "include/tmem_abi.h is stale: run UPDATE_ABI_HEADER=1 cargo test -p hypercall-abi"
    );
}

macro_rules! constants {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), abi::$name as i128)),*] };
}

macro_rules! offsets {
    ($rust:ident, $c:literal, $($field:ident),*) => {
        vec![$((concat!("offsetof(struct ", $c, ", ", stringify!($field), ")"), std::mem::offset_of!(abi::$rust, $field))),*]
    };
}

#[test]
fn a_c_compiler_sees_the_same_numbers() {
    let constants = constants![
        ABI_VERSION,
        PAGE_SHIFT,
        PAGE_SIZE,
        BATCH_MAX,
        POOL_ID_MAX,
        CALL_HELLO,
        CALL_POOL_NEW,
        CALL_POOL_DESTROY,
        CALL_PUT,
        CALL_GET,
        CALL_FLUSH_RANGE,
        CALL_FLUSH_OBJECT,
        CALL_BATCH,
        CALL_EVENTS,
        CALL_REPORT,
        FEATURE_PERSISTENT,
        FEATURE_EPHEMERAL,
        FEATURE_BATCH,
        FEATURE_EVENTS,
        FEATURE_REPORT,
        POOL_PERSISTENT,
        POOL_SHARED,
        GET_EXCLUSIVE,
        EVENT_SHRINK,
        EVENT_FROZEN,
        STATUS_OK,
        STATUS_MISS,
        STATUS_EMPTY,
        STATUS_REJECT_FIRST,
        STATUS_NO_SPACE,
        STATUS_OVER_LIMIT,
        STATUS_FROZEN,
        STATUS_POOR_RATIO,
        STATUS_BUSY,
        STATUS_REJECT_LAST,
        STATUS_BAD_CALL,
        STATUS_BAD_VERSION,
        STATUS_BAD_POOL,
        STATUS_BAD_ADDRESS,
        STATUS_BAD_ARGUMENT,
        STATUS_DENIED,
        STATUS_NO_RESOURCES,
        BATCH_ENTRY_SIZE,
        BATCH_STATUS_OFFSET,
        REPORT_ABOUT_TO_OOM,
        REPORT_SIZE,
        REPORT_SIZE_MAX,
    ];
    let mut expected: Vec<(String, i128)> =
        constants.into_iter().map(|(name, value)| (format!("TMEM_{name}"), value)).collect();
    let mut fields =
        offsets!(BatchEntry, "tmem_batch_entry", call, flags, status, pool, index, object, frame, reserved);
    fields.extend(offsets!(
        Report,
        "tmem_report",
        size,
        flags,
        psi_some,
        psi_full,
        committed_pages,
        free_pages,
        total_pages,
        swap_in_pages,
        swap_out_pages
    ));
    fields.push(("sizeof(struct tmem_batch_entry)", size_of::<abi::BatchEntry>()));
    fields.push(("_Alignof(struct tmem_batch_entry)", align_of::<abi::BatchEntry>()));
    fields.push(("sizeof(struct tmem_report)", size_of::<abi::Report>()));
    expected.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value as i128)));

    // Every constant of the header is in the list above, so that a new one cannot go unchecked.
    let header = generated();
    for name in header.lines().filter_map(|line| line.strip_prefix("#define TMEM_")) {
        let name = format!("TMEM_{}", name.split(' ').next().unwrap());
        if name == "TMEM_ABI_H" || name == "TMEM_ACPI_HID" || name.starts_with("TMEM_ALIGNED") {
            continue;
        }
        assert!(expected.iter().any(|(known, _)| *known == name), "{name} is not compared");
    }

    let dir = tempfile::tempdir().unwrap();
    let mut source =
        String::from("#include <stddef.h>\n#include <stdio.h>\n#include \"tmem_abi.h\"\nint main(void) {\n");
    for (name, _) in &expected {
        writeln!(source, "printf(\"%lld\\n\", (long long)({name}));").unwrap();
    }
    source.push_str("puts(TMEM_ACPI_HID); return 0; }\n");
    let (c, binary) = (dir.path().join("abi.c"), dir.path().join("abi"));
    fs::write(&c, source).unwrap();
    let compiler = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-std=gnu11", "-I"])
        .arg(crate_dir().join("include"))
        .arg("-o")
        .arg(&binary)
        .arg(&c)
        .status()
        .expect("a C compiler named cc");
    assert!(compiler.success());
    let output = String::from_utf8(Command::new(&binary).output().unwrap().stdout).unwrap();
    let mut lines = output.lines();
    for (name, value) in &expected {
        assert_eq!(lines.next().unwrap(), value.to_string(), "{name}");
    }
    assert_eq!(lines.next().unwrap(), abi::ACPI_HID);
}

#[test]
fn an_entry_survives_its_bytes() {
    let entry = abi::BatchEntry {
        call: 0x103,
        flags: 1,
        status: -4,
        pool: 7,
        index: 9,
        object: [1, 2, 3],
        frame: 0x1234_5678_9abc,
        reserved: [4, 5],
    };
    assert_eq!(abi::BatchEntry::from_bytes(&entry.to_bytes()), entry);
}

#[test]
fn numbers_and_names_agree() {
    for call in abi::Call::ALL {
        assert_eq!(abi::Call::from_number(call.number()), Some(call));
    }
    for status in abi::Status::ALL {
        assert_eq!(abi::Status::from_code(status.code()), Some(status));
        assert_eq!(abi::Call::from_number(status.code().cast_unsigned()), None, "a status is never a call");
        assert_eq!(u8::from(status.is_answer()) + u8::from(status.is_rejection()) + u8::from(status.is_error()), 1);
    }
    assert_eq!(abi::Status::BadCall.register(), u64::MAX);
}
