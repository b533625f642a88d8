//! Tables of TOML with the places of keys and values: put together from several files, and searched.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A key, with the keys of the tables around it, and where its value stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub key: String,
    pub span: Range<usize>,
}

/// The table with all spans `offset` further on.
pub(super) fn moved<'i>(table: DeTable<'i>, offset: usize) -> DeTable<'i> {
    let moved_table = |(key, value): (Spanned<_>, _)| {
        let span = key.span();
        (Spanned::new(span.start + offset..span.end + offset, key.into_inner()), moved_value(value, offset))
    };
    table.into_iter().map(moved_table).collect()
}

fn moved_value<'i>(value: Spanned<DeValue<'i>>, offset: usize) -> Spanned<DeValue<'i>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(moved(table, offset)),
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|value| moved_value(value, offset)).collect()),
        other => other,
    };
    Spanned::new(span.start + offset..span.end + offset, value)
}

/// `over` on top of `base`, key by key. Of two values the one in `over` holds; two arrays of tables are one after the
/// other, that of `over` first, because in them the first match wins.
pub(super) fn merged<'i>(mut base: DeTable<'i>, over: DeTable<'i>) -> DeTable<'i> {
    for (key, value) in over {
        // The key goes too: its place is where the value that holds is written.
        let below = base.remove(key.get_ref().as_ref());
        let span = value.span();
        let value = match (below.map(Spanned::into_inner), value.into_inner()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => DeValue::Table(merged(below, above)),
            (Some(DeValue::Array(below)), DeValue::Array(above)) if are_tables(&below) && are_tables(&above) => {
                DeValue::Array(above.into_iter().chain(below).collect())
            }
            (_, above) => above,
        };
        base.insert(key, Spanned::new(span, value));
    }
    base
}

fn are_tables(array: &DeArray<'_>) -> bool {
    array.iter().all(|element| element.get_ref().is_table())
}

/// The value at a path of keys and, in arrays, numbers: `vm.0.class`. Where it is not there, nothing.
pub(crate) fn at(table: &DeTable<'_>, path: &str) -> Option<Found> {
    let mut steps = path.split('.');
    let first = steps.next()?;
    let mut found = Found { key: first.to_owned(), span: 0..0 };
    let mut value = table.get(first)?;
    for step in steps {
        value = match value.get_ref() {
            DeValue::Table(table) => {
                found.key = format!("{}.{step}", found.key);
                table.get(step)?
            }
            DeValue::Array(array) => array.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    found.span = value.span();
    Some(found)
}

/// The innermost key at, or whose value is at, an offset. The span of a table is that of its header, so the search goes
/// into every table and not only into those whose span has the offset. Its depth is bounded by the parser's own limit.
pub(super) fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, offset),
            DeValue::Array(array) => array.iter().find_map(|element| match element.get_ref() {
                DeValue::Table(inner) => key_at(inner, offset),
                _ => None,
            }),
            _ => None,
        };
        match inner {
            Some(inner) => Some(format!("{}.{inner}", key.get_ref())),
            None if is_at(key, value, offset) => Some(key.get_ref().to_string()),
            None => None,
        }
    })
}

fn is_at<K>(key: &Spanned<K>, value: &Spanned<DeValue<'_>>, offset: usize) -> bool {
    key.span().contains(&offset) || value.span().contains(&offset)
}

/// Takes out the innermost key that is at an offset; of an array the whole element, since what is left of it would lack
/// something. `false`: there is none.
pub(super) fn take_out(table: &mut DeTable<'_>, offset: usize) -> bool {
    let taken_inside = table.iter_mut().any(|(_, value)| match value.get_mut() {
        DeValue::Table(inner) => take_out(inner, offset),
        DeValue::Array(array) => take_out_element(array, offset),
        _ => false,
    });
    if taken_inside {
        return true;
    }
    let before = table.len();
    let all = std::mem::replace(table, DeTable::new());
    *table = all.into_iter().filter(|(key, value)| !is_at(key, value, offset)).collect();
    table.len() < before
}

fn take_out_element(array: &mut DeArray<'_>, offset: usize) -> bool {
    let before = array.len();
    let all = std::mem::replace(array, DeArray::new());
    let is_elsewhere = |element: &Spanned<DeValue<'_>>| match element.get_ref() {
        DeValue::Table(inner) => !element.span().contains(&offset) && key_at(inner, offset).is_none(),
        _ => !element.span().contains(&offset),
    };
    *array = all.into_iter().filter(is_elsewhere).collect();
    array.len() < before
}
