//! What the schema of later versions has and this build has not. It is refused by its own name, so that nobody takes it
//! for a slip of the pen, and nothing is accepted and ignored.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Keys and tables; `*` is any key of a table, or any element of an array.
const KEYS: &[&str] = &[
    "balloon",
    "class.*.dedup",
    "class.*.slo",
    "class.*.tiers",
    "class.*.tmem.persistent",
    "compression.recompress.algorithm",
    "compression.recompress.from",
    "compression.recompress.level",
    "dedup.pools",
    "dedup.verify",
    "host.require_backing",
    "pool.ephemeral",
    "pool.persistent",
    "pool.same_filled",
    "slo",
    "tier",
    "vm.*.dedup_domain",
    "vm.*.match.uuid",
];

/// Values of keys that this build has, or will have whole.
const VALUES: &[(&str, &str)] = &[
    ("compression.algorithm", "none"),
    ("dedup.scope", "domain"),
    ("pool.eviction", "lru"),
    ("pool.eviction", "s3-fifo"),
];

/// Something of a later version.
#[derive(Debug)]
pub(super) struct Later {
    pub key: String,
    /// The value, where the key itself is known.
    pub value: Option<&'static str>,
    pub span: Range<usize>,
}

/// Takes everything of later versions out of a table.
pub(super) fn take_out(table: &mut DeTable<'_>) -> Vec<Later> {
    let mut found = Vec::new();
    for path in KEYS {
        let steps: Vec<&str> = path.split('.').collect();
        search(table, &steps, None, "", &mut found);
    }
    for (path, value) in VALUES {
        let steps: Vec<&str> = path.split('.').collect();
        search(table, &steps, Some(value), "", &mut found);
    }
    found
}

fn search(table: &mut DeTable<'_>, steps: &[&str], wanted: Option<&'static str>, around: &str, found: &mut Vec<Later>) {
    let [step, rest @ ..] = steps else { return };
    let all = std::mem::replace(table, DeTable::new());
    for (key, mut value) in all {
        let path = format!("{around}{}", key.get_ref());
        if *step == "*" || step == key.get_ref() {
            if rest.is_empty() && wanted.is_none_or(|wanted| value.get_ref().as_str() == Some(wanted)) {
                let span = if wanted.is_some() { value.span() } else { key.span() };
                found.push(Later { key: path, value: wanted, span });
                continue;
            }
            search_inside(value.get_mut(), rest, wanted, &format!("{path}."), found);
        }
        table.insert(key, value);
    }
}

fn search_inside(
    value: &mut DeValue<'_>,
    steps: &[&str],
    wanted: Option<&'static str>,
    around: &str,
    found: &mut Vec<Later>,
) {
    match (value, steps) {
        (DeValue::Table(table), _) => search(table, steps, wanted, around, found),
        (DeValue::Array(array), ["*", rest @ ..]) => {
            for element in array.iter_mut() {
                search_inside(element.get_mut(), rest, wanted, around, found);
            }
        }
        _ => {}
    }
}
