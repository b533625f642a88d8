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
        super::Standing::Good => vec![tun, taps(Path::new(INTERFACES), &User::present())],
        _ => vec![tun],
    }
}

/// Who wants to attach.
struct User {
    uid: u32,
    gids: Vec<u32>,
}

impl User {
    fn present() -> Self {
        let mut gids: Vec<u32> =
            rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
        gids.push(rustix::process::getegid().as_raw());
        Self { uid: rustix::process::geteuid().as_raw(), gids }
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

/// The taps among `interfaces` that the user may attach to. Which of them are free only attaching would tell.
fn taps(interfaces: &Path, user: &User) -> Finding {
    let entries = fs::read_dir(interfaces).into_iter().flatten().filter_map(Result::ok);
    let mut yours: Vec<_> = entries
        .filter(|entry| is_tap_of(&entry.path(), user))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    yours.sort_unstable();
    if yours.is_empty() {
        Finding::weak("taps", "there is no tap of yours: needed for [[net]] only", MAKE_TAP)
    } else {
        Finding::good("taps", format!("taps for you: {}", yours.join(", ")))
    }
}

/// The kernel lets those attach who are the owner and in the group; where there is none of the two (-1) anybody is.
fn is_tap_of(interface: &Path, user: &User) -> bool {
    let flags = read(interface.join("tun_flags")).and_then(|text| {
        let digits = text.strip_prefix("0x")?.to_owned();
        u32::from_str_radix(&digits, 16).ok()
    });
    let is_tap = flags.is_some_and(|flags| flags & IFF_TAP != 0);
    let id = |name| read(interface.join(name)).and_then(|text| text.parse::<i64>().ok());
    let (owner, group) = (id("owner"), id("group"));
    let may = |id: Option<i64>, is_mine: &dyn Fn(u32) -> bool| {
        id.is_some_and(|id| id == -1 || u32::try_from(id).is_ok_and(is_mine))
    };
    is_tap && (user.uid == 0 || may(owner, &|uid| uid == user.uid) && may(group, &|gid| user.gids.contains(&gid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_a_user_are_told_from_those_of_others_and_from_other_interfaces() {
        let interfaces = tempfile::tempdir().unwrap();
        for (name, flags, owner, group) in [
            ("tap1", "0x1002", "7", "-1"),
            ("tap0", "0x5002", "7", "-1"),
            ("tap2", "0x1002", "-1", "-1"),
            ("tap3", "0x1002", "-1", "50"),
            ("tap4", "0x1002", "9", "50"),
            ("tun0", "0x1001", "7", "-1"),
        ] {
            let path = interfaces.path().join(name);
            fs::create_dir(&path).unwrap();
            for (file, text) in [("tun_flags", flags), ("owner", owner), ("group", group)] {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        }
        fs::create_dir(interfaces.path().join("eth0")).unwrap();
        let of = |uid, gids: &[u32]| taps(interfaces.path(), &User { uid, gids: gids.to_vec() }).found;
        assert_eq!(of(7, &[7]), "taps for you: tap0, tap1, tap2");
        assert_eq!(of(7, &[7, 50]), "taps for you: tap0, tap1, tap2, tap3");
        assert_eq!(of(0, &[0]), "taps for you: tap0, tap1, tap2, tap3, tap4");
        assert_eq!(of(8, &[]), "taps for you: tap2");
        fs::remove_dir_all(interfaces.path().join("tap2")).unwrap();
        assert!(of(8, &[8]).starts_with("there is no tap"));
    }
}
