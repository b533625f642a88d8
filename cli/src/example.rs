//! `tmem run --example`

/// An annotated `vm.toml` with every key. A line that starts with `#` and no blank is a setting that is switched off.
pub const EXAMPLE: &str = include_str!("example.toml");

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use vmm::config::{ConfigError, Overrides, VmConfig, load};

    use super::*;

    /// A folder with the files that the example names, and `text` as its vm.toml.
    fn load_text(text: &str) -> Result<VmConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let mut bzimage = vec![0; 4096];
        bzimage[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(path("vmlinuz"), bzimage).unwrap();
        fs::write(path("initrd.img"), b"070701 and so on").unwrap();
        fs::write(path("root.img"), vec![0; 1024]).unwrap();
        fs::write(path("vm.toml"), text).unwrap();
        load(&path("vm.toml"), Overrides::default())
    }

    /// The example with all that is switched off switched on.
    fn all_on() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        };
        EXAMPLE.lines().map(on).collect()
    }

    #[test]
    fn the_example_is_a_configuration_and_says_the_defaults() {
        let example = load_text(EXAMPLE).unwrap();
        let least = load_text("kernel = \"vmlinuz\"\nmemory = \"512MiB\"\n").unwrap();
        assert_eq!(example.tmem, least.tmem);
        assert_eq!((example.vcpus, example.cpu, example.console), (least.vcpus, least.cpu, least.console));
        assert_eq!((example.disks[0].read_only, example.disks[0].direct), (false, false));
    }

    #[test]
    fn what_is_switched_off_is_right_too() {
        // Every text is read before the first tap is looked for.
        let without_taps = all_on().replace("tap = \"tap0\"", "tap = \"no-such-tap-0\"");
        // A VM has a service or a policy.
        let without_taps = without_taps.replace("policy = \"policy.toml\"\n", "");
        let error = load_text(&without_taps).unwrap_err().to_string();
        assert!(error.contains("there is no tap no-such-tap-0"), "{error}");
    }

    #[test]
    fn every_key_is_in_the_example() {
        for table in ["", "[[disk]]\n", "[[net]]\n", "[tmem]\n"] {
            let error = load_text(&format!("{table}no_such_key = 1\n")).unwrap_err().to_string();
            let (_, keys) = error.split_once("expected").unwrap();
            let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
            assert!(keys.len() > 1, "{error}");
            for key in keys {
                let is_there = |line: &str| line.starts_with(&format!("{key} =")) || line.contains(&format!("[{key}]"));
                assert!(all_on().lines().any(is_there), "{key} of {table:?} is not in the example");
            }
        }
    }
}
