//! `tmem policy diff` and `apply`: what another policy changes, and putting it in force.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use host::{judge_policy, read_policy};
use policy::{LoadError, Policy, Source};
use serde_json::{Value, json};

use crate::screen;
use crate::service::Service;

/// How long the service may take to put a policy in force, beside the intervals between two looks.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// A key's value in each of two policies.
type Change = (Option<Value>, Option<Value>);

/// Prints the keys that two policies differ in. Without a second one the first is compared with that of the service.
pub fn diff(first: &Path, second: Option<&Path>, socket: &Path, json: bool) -> Result<()> {
    let (from, to) = match second {
        Some(second) => (read_policy(Some(first))?, read_policy(Some(second))?),
        None => {
            let path = Service::open(socket)?.host()?.policy_path.map(PathBuf::from);
            (read_policy(path.as_deref())?, read_policy(Some(first))?)
        }
    };
    let changes = changes(&from.policy, &to.policy)?;
    if json {
        let changes: Vec<Value> =
            changes.into_iter().map(|(key, (from, to))| json!({ "key": key, "from": from, "to": to })).collect();
        return screen::print(&format!("{:#}\n", Value::from(changes)));
    }
    screen::print(&in_words(changes))
}

fn in_words(changes: BTreeMap<String, Change>) -> String {
    let word = |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    if changes.is_empty() {
        return "the same policy\n".to_owned();
    }
    screen::table(changes.into_iter().map(|(key, (from, to))| [key, word(from), "->".into(), word(to)]))
}

/// Every key whose value differs, defaults included.
fn changes(from: &Policy, to: &Policy) -> Result<BTreeMap<String, Change>> {
    let (from, to) = (keys(from)?, keys(to)?);
    let all = from.keys().chain(to.keys());
    let differing = all.filter(|key| from.get(*key) != to.get(*key));
    Ok(differing.map(|key| (key.clone(), (from.get(key).cloned(), to.get(key).cloned()))).collect())
}

/// The values of a policy by their keys; elements of lists are counted from 0.
fn keys(policy: &Policy) -> Result<BTreeMap<String, Value>> {
    fn take(key: String, value: Value, into: &mut BTreeMap<String, Value>) {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match value {
            Value::Object(members) => {
                members.into_iter().for_each(|(name, value)| take(below(&name), value, into));
            }
            Value::Array(elements) => {
                elements.into_iter().enumerate().for_each(|(n, value)| take(below(&n.to_string()), value, into));
            }
            value => {
                into.insert(key, value);
            }
        }
    }
    let mut keys = BTreeMap::new();
    take(String::new(), serde_json::to_value(policy)?, &mut keys);
    Ok(keys)
}

/// Checks a policy, puts it in the place of the service's, and waits until that has it in force. If it does not take it, or is
/// gone meanwhile, the old one is put back.
pub fn apply(file: &Path, socket: &Path) -> Result<()> {
    let mut service = Service::open(socket)?;
    let host = service.host()?;
    let root = host.policy_path.context("the host service has no policy file; start it with --policy")?;
    let root = PathBuf::from(root);
    let new = policy::load(file)?;
    let [new] = <[Source; 1]>::try_from(new)
        .map_err(|files| anyhow!("{} has {} files; apply takes one", file.display(), files.len()))?;
    let text = new.text.clone();
    let (place, files) = if root.is_dir() {
        let place = root.join("policy.toml");
        let there = match policy::load(&root) {
            Err(LoadError::Nothing(_)) => Vec::new(),
            there => there?,
        };
        let parts = there.into_iter().filter(|source| source.path != place);
        (place.clone(), std::iter::once(new).chain(parts).collect())
    } else {
        (root.clone(), vec![new])
    };
    let wanted = judge_policy(&root, files)?;
    let replaced = Replaced::put(place, text.as_bytes())?;
    // What is decided from now on is decided after the file was read: it is read before each decision.
    let waited = service.host().map_err(Into::into).and_then(|host| {
        let patience = 2 * Duration::from_millis(host.interval_ms) + PATIENCE;
        wait(&mut service, &wanted.sha256, host.decisions, patience)
    });
    match waited {
        Ok(generation) => screen::print(&format!("in force: generation {generation}\n")),
        Err(error) => match replaced.put_back() {
            Ok(()) => Err(error.context("the old policy is back in its place")),
            Err(lost) => Err(error.context(format!("{lost:#}"))),
        },
    }
}

/// Waits until a policy is in force, and returns its generation. `decisions` is how many there were when it was there.
fn wait(service: &mut Service, sha256: &str, decisions: u64, patience: Duration) -> Result<u64> {
    let began = Instant::now();
    loop {
        let host = service.host()?;
        if host.policy_sha256 == sha256 {
            return Ok(host.policy_generation);
        }
        // An error that was there before is not about this file.
        if let Some(error) = host.policy_error.filter(|_| host.decisions > decisions) {
            bail!("the host service does not put it in force: {error}");
        }
        if began.elapsed() > patience {
            bail!("the host service does not put it in force within {} s", patience.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// A file in the place of another one.
#[derive(Debug)]
struct Replaced {
    place: PathBuf,
    /// What was there; `None`: nothing.
    before: Option<Vec<u8>>,
}

impl Replaced {
    fn put(place: PathBuf, text: &[u8]) -> Result<Self> {
        let before = match fs::read(&place) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", place.display())),
        };
        replace(&place, text).with_context(|| format!("{} cannot be written", place.display()))?;
        Ok(Self { place, before })
    }

    fn put_back(self) -> Result<()> {
        let restored = match &self.before {
            Some(before) => replace(&self.place, before),
            None => fs::remove_file(&self.place),
        };
        restored.with_context(|| format!("{} cannot be put back", self.place.display()))
    }
}

/// Whoever reads the file sees the old text or the new one.
fn replace(place: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = place.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(new, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        policy::read(vec![Source { path: "p.toml".into(), text: text.into() }], 1 << 36).policy.unwrap()
    }

    #[test]
    fn every_key_that_differs_is_told_with_both_values() {
        let (from, to) = (policy("interval = \"2s\""), policy("share.idle_tax = \"50%\"\n[class.gold]\nweight = 400"));
        let text = in_words(changes(&from, &to).unwrap());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(lines.contains(&vec!["interval", "\"2s\"", "->", "\"1s\""]), "{text}");
        assert!(lines.contains(&vec!["share.idle_tax", "\"75%\"", "->", "\"50%\""]), "{text}");
        assert!(lines.contains(&vec!["class.gold.weight", "-", "->", "400"]), "{text}");
        assert_eq!(in_words(changes(&to, &to).unwrap()), "the same policy\n");
    }
    #[test]
    fn what_was_there_is_put_back_and_what_was_not_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("policy.toml");
        Replaced::put(place.clone(), b"first").unwrap().put_back().unwrap();
        assert!(!place.exists());
        fs::write(&place, "old").unwrap();
        let replaced = Replaced::put(place.clone(), b"new").unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"new");
        replaced.put_back().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"old");
        assert!(Replaced::put(folder.path().to_owned(), b"new").is_err(), "what cannot be read is not lost");
    }
}
