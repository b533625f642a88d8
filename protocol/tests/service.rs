//! What goes over the socket of the host service: the exact text, and what is no message.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but does not see that a function here serves them"
)]

use protocol::service::{
    Counts, HostStatus, Lease, REQUEST_MAX_BYTES, Registration, ServiceReply, ServiceRequest, StoreAccept, StoreCodec,
    StoreEviction, StoreSettings, VMS_PER_PAGE, VmStatus, VmsPage, decode_service_reply, decode_service_request,
    encode_service_reply, encode_service_request,
};
use protocol::{DecodeError, MESSAGE_MAX_BYTES, NAME_MAX_BYTES, VmName};

const COUNTS: &str = r#"{"limit_bytes":1,"used_bytes":2,"ephemeral_bytes":3,"frozen":false,"persistent_pages":4,"ephemeral_pages":5,"puts_accepted":6,"puts_rejected_no_space":7,"puts_rejected_over_limit":8,"puts_rejected_frozen":9,"puts_rejected_poor_ratio":10,"puts_rejected_busy":11,"gets_hit":12,"gets_miss":13,"gets_empty":14,"pages_evicted":15,"pages_merged":16,"same_filled_pages":17,"rests":true}"#;

fn counts() -> Counts {
    Counts {
        limit_bytes: 1,
        used_bytes: 2,
        ephemeral_bytes: 3,
        frozen: false,
        persistent_pages: 4,
        ephemeral_pages: 5,
        puts_accepted: 6,
        puts_rejected_no_space: 7,
        puts_rejected_over_limit: 8,
        puts_rejected_frozen: 9,
        puts_rejected_poor_ratio: 10,
        puts_rejected_busy: 11,
        gets_hit: 12,
        gets_miss: 13,
        gets_empty: 14,
        pages_evicted: 15,
        pages_merged: 16,
        same_filled_pages: 17,
        rests: true,
    }
}

fn vm() -> VmName {
    "web".parse().unwrap()
}

/// A service and a VM of different builds of one version talk in this text.
#[test]
fn requests_keep_their_text() {
    let registration = Registration {
        name: vm(),
        label: Some("blue".into()),
        memory_bytes: 18,
        runs: true,
        lease_bytes: 19,
        counts: counts(),
    };
    let register = format!(
        r#"{{"register":{{"name":"web","label":"blue","memory_bytes":18,"runs":true,"lease_bytes":19,"counts":{COUNTS}}}}}"#
    );
    let table = [
        (ServiceRequest::Register(registration), register.as_str()),
        (ServiceRequest::Report(counts()), &format!(r#"{{"report":{COUNTS}}}"#)),
        (ServiceRequest::List { after: None }, r#"{"list":{}}"#),
        (ServiceRequest::List { after: Some(vm()) }, r#"{"list":{"after":"web"}}"#),
        (ServiceRequest::Host, r#""host""#),
        (ServiceRequest::Explain { vm: vm() }, r#"{"explain":{"vm":"web"}}"#),
        (ServiceRequest::SetWeight { vm: vm(), weight: Some(7) }, r#"{"set_weight":{"vm":"web","weight":7}}"#),
        (ServiceRequest::SetWeight { vm: vm(), weight: None }, r#"{"set_weight":{"vm":"web"}}"#),
    ];
    for (request, text) in table {
        let line = format!("{{\"version\":1,\"request\":{text}}}\n");
        assert_eq!(String::from_utf8(encode_service_request(request.clone()).unwrap()).unwrap(), line);
        assert_eq!(decode_service_request(line.as_bytes()).unwrap(), request);
        assert!(line.len() < REQUEST_MAX_BYTES / 2);
    }
}

#[test]
fn what_a_vm_is_told_keeps_its_text() {
    let lease = Lease {
        lease_bytes: 1,
        reservation_bytes: 2,
        accepts_ephemeral: true,
        ephemeral_basis_points: 2500,
        interval_ms: 3,
    };
    let text = r#"{"lease_bytes":1,"reservation_bytes":2,"accepts_ephemeral":true,"ephemeral_basis_points":2500,"interval_ms":3}"#;
    let store = StoreSettings {
        codec: StoreCodec::PageLz,
        eviction: StoreEviction::UsedFirst,
        deduplicates: true,
        stored_max_bytes: 4096,
        accept: StoreAccept::BetterThanMean,
        accept_threshold_basis_points: 9000,
        recompress_after_ms: 5,
    };
    let settings = r#"{"codec":"page-lz","eviction":"used-first","deduplicates":true,"stored_max_bytes":4096,"accept":"better-than-mean","accept_threshold_basis_points":9000,"recompress_after_ms":5}"#;
    let table = [
        (
            ServiceReply::Registered { lease, store },
            format!(r#"{{"registered":{{"lease":{text},"store":{settings}}}}}"#),
        ),
        (ServiceReply::Lease(lease), format!(r#"{{"lease":{text}}}"#)),
        (ServiceReply::Flush { bytes: 4 }, r#"{"flush":{"bytes":4}}"#.to_owned()),
        (ServiceReply::Done, r#""done""#.to_owned()),
    ];
    for (reply, text) in table {
        let line = format!("{{\"version\":1,\"reply\":{text}}}\n");
        assert_eq!(String::from_utf8(encode_service_reply(reply.clone()).unwrap()).unwrap(), line);
        assert_eq!(decode_service_reply(line.as_bytes()).unwrap(), reply);
    }
}

#[test]
fn unknown_fields_and_other_versions_are_no_requests() {
    for text in [
        r#"{"version":1,"request":{"list":{"all":true}}}"#,
        r#"{"version":1,"request":{"register":{"name":"web"}}}"#,
        r#"{"version":1,"request":{"register":{"name":"a b","memory_bytes":1}}}"#,
        r#"{"version":1,"request":{"report":{"used_bytes":-1}}}"#,
        r#"{"version":1,"request":"show"}"#,
    ] {
        assert!(matches!(decode_service_request(text.as_bytes()), Err(DecodeError::Malformed(_))), "{text}");
    }
    let text = r#"{"version":2,"request":"host"}"#;
    assert!(matches!(decode_service_request(text.as_bytes()), Err(DecodeError::Version { found: 2 })));
}

#[test]
fn the_largest_page_of_vms_fits_into_a_message() {
    let status = VmStatus {
        name: "x".repeat(NAME_MAX_BYTES).parse().unwrap(),
        uid: u32::MAX,
        pid: i32::MAX,
        // As many characters as are told, each as long as JSON makes any.
        cgroup: Some("\u{1}".repeat(200)),
        label: Some("\"".repeat(64)),
        class: "x".repeat(64),
        weight: u32::MAX,
        memory_bytes: u64::MAX,
        lease_bytes: u64::MAX,
        entitlement_bytes: u64::MAX,
        reservation_bytes: u64::MAX,
        limit_bytes: u64::MAX,
        active_basis_points: Some(u32::MAX),
        counts_age_ms: u64::MAX,
        counts: Counts {
            limit_bytes: u64::MAX,
            used_bytes: u64::MAX,
            ephemeral_bytes: u64::MAX,
            frozen: false,
            persistent_pages: u64::MAX,
            ephemeral_pages: u64::MAX,
            puts_accepted: u64::MAX,
            puts_rejected_no_space: u64::MAX,
            puts_rejected_over_limit: u64::MAX,
            puts_rejected_frozen: u64::MAX,
            puts_rejected_poor_ratio: u64::MAX,
            puts_rejected_busy: u64::MAX,
            gets_hit: u64::MAX,
            gets_miss: u64::MAX,
            gets_empty: u64::MAX,
            pages_evicted: u64::MAX,
            pages_merged: u64::MAX,
            same_filled_pages: u64::MAX,
            rests: false,
        },
    };
    let page = VmsPage { vms: vec![status; VMS_PER_PAGE], more: true };
    let line = encode_service_reply(ServiceReply::Vms(page.clone())).unwrap();
    assert!(line.len() <= MESSAGE_MAX_BYTES, "{}", line.len());
    assert_eq!(decode_service_reply(&line).unwrap(), ServiceReply::Vms(page));
}

#[test]
fn a_host_of_a_newer_service_is_read_without_what_it_adds() {
    let host = HostStatus {
        state: "high".into(),
        cause: "memory".into(),
        mode: "enforce".into(),
        total_bytes: 1,
        available_bytes: 2,
        psi_some_basis_points: None,
        psi_full_basis_points: Some(3),
        pool_bytes: 4,
        used_bytes: 5,
        freeable_bytes: 6,
        vms: 7,
        decisions: 8,
        decided_ms_ago: 9,
        interval_ms: 10,
        policy_path: None,
        policy_generation: 1,
        policy_sha256: "00".into(),
        policy_error: None,
    };
    let line = encode_service_reply(ServiceReply::Host(Box::new(host.clone()))).unwrap();
    let newer = String::from_utf8(line).unwrap().replace("\"state\"", "\"mood\":\"good\",\"state\"");
    assert_eq!(decode_service_reply(newer.as_bytes()).unwrap(), ServiceReply::Host(Box::new(host)));
}
