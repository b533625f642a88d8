//! `tmem policy diff` and `apply`: what another policy changes, and putting it in force.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use host::read_policy;
use policy::Policy;
use serde_json::{Value, json};

use crate::screen;
use crate::service::Service;

/// How long the service may take to put a policy in force: it looks once an interval, which has 60 s at most.
const PATIENCE: Duration = Duration::from_secs(90);
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

/// Checks a policy, puts it in the place of the service's, and waits until that has it in force. If it does not take it, the
/// old one is put back.
pub fn apply(file: &Path, socket: &Path) -> Result<()> {
    let wanted = read_policy(Some(file))?;
    let mut service = Service::open(socket)?;
    let place = service.host()?.policy_path.context("the host service has no policy file; start it with --policy")?;
    let place = PathBuf::from(place);
    let place = if place.is_dir() { place.join("policy.toml") } else { place };
    let text = fs::read(file).with_context(|| format!("{} cannot be read; apply takes one file", file.display()))?;
    let before = fs::read(&place).unwrap_or_default();
    replace(&place, &text).with_context(|| format!("{} cannot be written", place.display()))?;
    let began = Instant::now();
    let decisions = service.host()?.decisions;
    loop {
        let host = service.host()?;
        if host.policy_sha256 == wanted.sha256 {
            return screen::print(&format!("in force: generation {}\n", host.policy_generation));
        }
        // An error that was there before is not about this file.
        if let Some(error) = host.policy_error.filter(|_| host.decisions >= decisions + 2) {
            replace(&place, &before).with_context(|| format!("{} cannot be put back", place.display()))?;
            bail!("the host service does not put it in force: {error}");
        }
        if began.elapsed() > PATIENCE {
            bail!("written to {}, but not in force: a file of policy.d says otherwise", place.display());
        }
        thread::sleep(POLL);
    }
}

/// Whoever reads the file sees the old text or the new one.
fn replace(place: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut new = place.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(new, place)
}

#[cfg(test)]
mod tests {
    use policy::Source;

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
}
