//! What goes over a control socket: the exact text, there and back, and what hostile peers send.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see that a function here serves them"
)]

use std::collections::BTreeMap;

use protocol::{
    DecodeError, EncodeError, GuestReport, MESSAGE_MAX_BYTES, Refusal, RefusalKind, Reply, Request, TmemReport,
    VmReport, VmState, decode_reply, decode_request, encode_reply, encode_request,
};

fn report() -> VmReport {
    VmReport {
        name: "web".parse().unwrap(),
        pid: 4711,
        state: VmState::Running,
        uptime_ms: 61_000,
        memory_bytes: 256 << 20,
        vcpus: 2,
        kernel: "/boot/vmlinuz".into(),
        label: Some("blue".into()),
        tmem: Some(TmemReport {
            limit_bytes: 512 << 20,
            reservation_bytes: 0,
            used_bytes: 4096,
            frozen: false,
            share: None,
        }),
        counters: BTreeMap::from([("store".into(), BTreeMap::from([("puts_stored".into(), u64::MAX)]))]),
        guest: Some(GuestReport {
            age_ms: 900,
            about_to_oom: false,
            psi_some_basis_points: 1234,
            psi_full_basis_points: 0,
            committed_pages: 1,
            free_pages: 2,
            total_pages: 3,
            swap_in_pages: 4,
            swap_out_pages: 5,
        }),
    }
}

/// The text of each request is the interface: other programs write it.
#[test]
fn requests_keep_their_text() {
    let table = [
        (Request::Show, r#"{"version":1,"request":"show"}"#),
        (Request::SetLimit { limit_bytes: 4096 }, r#"{"version":1,"request":{"set_limit":{"limit_bytes":4096}}}"#),
        (Request::Freeze, r#"{"version":1,"request":"freeze"}"#),
        (Request::Thaw, r#"{"version":1,"request":"thaw"}"#),
        (Request::Flush { bytes: None }, r#"{"version":1,"request":{"flush":{}}}"#),
        (Request::Flush { bytes: Some(1) }, r#"{"version":1,"request":{"flush":{"bytes":1}}}"#),
        (Request::PowerButton, r#"{"version":1,"request":"power_button"}"#),
    ];
    for (request, text) in table {
        assert_eq!(encode_request(request).unwrap(), format!("{text}\n").as_bytes());
        assert_eq!(decode_request(text.as_bytes()).unwrap(), request);
    }
}

#[test]
fn replies_come_back_as_they_were() {
    let table = [
        Reply::Done,
        Reply::Flushed { bytes: 7 },
        Reply::Error(Refusal::new(RefusalKind::Invalid, "too low\nand more")),
        Reply::Show(Box::new(report())),
        Reply::Show(Box::new(VmReport { tmem: None, label: None, guest: None, ..report() })),
    ];
    for reply in table {
        let line = encode_reply(reply.clone()).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one message is one line");
        assert_eq!(decode_reply(&line).unwrap(), reply);
    }
}

#[test]
fn a_client_reads_replies_that_gained_fields_and_values() {
    let text = r#"{"version":1,"since":"later","reply":{"error":{"kind":"tired","message":"m","versions":[1],"x":0}}}"#;
    let Reply::Error(refusal) = decode_reply(text.as_bytes()).unwrap() else { panic!("no refusal") };
    assert_eq!(refusal.kind, RefusalKind::Unknown);
}

#[test]
fn another_version_is_told_apart_whatever_else_it_says() {
    let table = [
        (r#"{"version":2,"request":"show"}"#, 2),
        (r#"{"version":2,"ask":{"new":["things"]}}"#, 2),
        (r#"{"request":{"no":"such"},"version":0}"#, 0),
        (r#"{"version":18446744073709551615}"#, u64::MAX),
    ];
    for (text, version) in table {
        let error = decode_request(text.as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Version { found } if found == version), "{text}: {error:?}");
        let refusal = Refusal::from(&error);
        assert_eq!((refusal.kind, refusal.versions.as_slice()), (RefusalKind::Version, &[1][..]));
        assert!(refusal.message.contains("only [1]"), "{}", refusal.message);
    }
}

#[test]
fn what_is_no_request_is_malformed() {
    let table: &[(&[u8], &str)] = &[
        (b"", "EOF"),
        (b"\0\xff\xfe", "expected value"),
        (b"[]", "invalid length"),
        (b"{}", "missing field `version`"),
        (br#"{"version":-1}"#, "integer `-1`"),
        (br#"{"version":1.0,"request":"show"}"#, "floating point"),
        (br#"{"version":1}"#, "missing field `request`"),
        (br#"{"version":1,"version":1,"request":"show"}"#, "duplicate field"),
        (br#"{"version":1,"request":"show","also":1}"#, "unknown field `also`"),
        (br#"{"version":1,"request":"reboot"}"#, "unknown variant `reboot`"),
        (br#"{"version":1,"request":{"show":{"all":true}}}"#, "expected unit"),
        (br#"{"version":1,"request":{"set_limit":{}}}"#, "missing field `limit_bytes`"),
        (br#"{"version":1,"request":{"set_limit":{"limit_bytes":1,"weight":2}}}"#, "unknown field `weight`"),
        (br#"{"version":1,"request":{"set_limit":{"limit_bytes":18446744073709551616}}}"#, "invalid type"),
        (br#"{"version":1,"request":"show"} {"version":1}"#, "trailing characters"),
    ];
    for (line, fragment) in table {
        let error = decode_request(line).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?}");
        let refusal = Refusal::from(&error);
        assert!(refusal.message.contains(fragment), "{} lacks {fragment}", refusal.message);
        assert!(refusal.message.contains("versions [1]"), "{}", refusal.message);
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_stack_overflow() {
    let deep =
        |open: &str| format!(r#"{{"version":1,"request":{}"#, open.repeat((MESSAGE_MAX_BYTES - 64) / open.len()));
    for text in [deep("["), deep(r#"{"a":"#), deep(r#"{"flush":"#)] {
        let error = decode_request(text.as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn a_message_that_is_too_long_is_not_parsed() {
    let mut line = encode_request(Request::Show).unwrap();
    line.resize(MESSAGE_MAX_BYTES, b' ');
    assert_eq!(decode_request(&line).unwrap(), Request::Show);
    line.push(b' ');
    assert!(matches!(decode_request(&line), Err(DecodeError::TooLong)));
}

#[test]
fn a_reply_that_would_be_too_long_is_not_written() {
    let reply = Reply::Error(Refusal::new(RefusalKind::Failed, "x".repeat(MESSAGE_MAX_BYTES)));
    assert!(matches!(encode_reply(reply), Err(EncodeError::TooLong { len }) if len > MESSAGE_MAX_BYTES));
}
