//! Taps, for VMs with a network card.

use std::fs::{self, File};
use std::path::Path;

use rustix::io::Errno;

use super::{Finding, read};

const TUN: &str = "/dev/net/tun";
const INTERFACES: &str = "/sys/class/net";
/// In `tun_flags`: a tap, not a tun (linux/if_tun.h).
const IFF_TAP: u32 = 2;
const MAKE_TAP: &str = "ip tuntap add dev tap0 mode tap user $USER, as root, and ip link set tap0 up";

pub(super) fn findings() -> Vec<Finding> {
    let tun = tun();
    match tun.standing {
        super::Standing::Good => vec![tun, taps(Path::new(INTERFACES), rustix::process::geteuid().as_raw())],
        _ => vec![tun],
    }
}

fn tun() -> Finding {
    let weak = |found: String, mend: &str| Finding::weak("tun", found, mend);
    match File::options().read(true).write(true).open(TUN) {
        Ok(_) => Finding::good("tun", format!("{TUN} opens: VMs can have network cards")),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => {
                weak(format!("no {TUN}: VMs cannot have network cards"), "modprobe tun")
            }
            Some(Errno::ACCESS | Errno::PERM) => {
                weak(format!("no permission on {TUN}: your VMs cannot have network cards"), "chmod 0666 /dev/net/tun")
            }
            _ => weak(format!("{TUN} does not open: {error}"), "look into the kernel's log"),
        },
    }
}

/// The taps among `interfaces` that user `uid` may attach to. Which of them are free only attaching would tell.
fn taps(interfaces: &Path, uid: u32) -> Finding {
    let entries = fs::read_dir(interfaces).into_iter().flatten().filter_map(Result::ok);
    let mut yours: Vec<_> = entries
        .filter(|entry| is_tap_of(&entry.path(), uid))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    yours.sort_unstable();
    if yours.is_empty() {
        Finding::weak("taps", "there is no tap of yours: needed for [[net]] only", MAKE_TAP)
    } else {
        Finding::good("taps", format!("taps for you: {}", yours.join(", ")))
    }
}

fn is_tap_of(interface: &Path, uid: u32) -> bool {
    let flags = read(interface.join("tun_flags")).and_then(|text| {
        let digits = text.strip_prefix("0x")?.to_owned();
        u32::from_str_radix(&digits, 16).ok()
    });
    let is_tap = flags.is_some_and(|flags| flags & IFF_TAP != 0);
    // Without an owner the kernel says -1, and root alone may.
    let owner = read(interface.join("owner")).and_then(|text| text.parse::<i64>().ok());
    is_tap && (uid == 0 || owner == Some(uid.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_a_user_are_told_from_those_of_others_and_from_other_interfaces() {
        let interfaces = tempfile::tempdir().unwrap();
        for (name, flags, owner) in
            [("tap1", "0x1002", "7"), ("tap0", "0x5002", "7"), ("tap2", "0x1002", "-1"), ("tun0", "0x1001", "7")]
        {
            let path = interfaces.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("tun_flags"), format!("{flags}\n")).unwrap();
            fs::write(path.join("owner"), format!("{owner}\n")).unwrap();
        }
        fs::create_dir(interfaces.path().join("eth0")).unwrap();
        let of = |uid| taps(interfaces.path(), uid).found;
        assert_eq!(of(7), "taps for you: tap0, tap1");
        assert_eq!(of(0), "taps for you: tap0, tap1, tap2");
        assert!(of(8).starts_with("there is no tap"));
    }
}
