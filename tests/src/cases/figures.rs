//! Figures for the notes of a case.

/// Entries a call.
#[expect(clippy::cast_precision_loss, reason = "for people, with no digit behind the point")]
pub(super) fn ratio((entries, calls): (u64, u64)) -> f64 {
    entries as f64 / calls.max(1) as f64
}

/// The one in the middle.
pub(super) fn median(samples: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
