//! How short of memory the host is: ESX's states high, clear, soft, hard and low.
//!
//! A state is entered at once, and left only after it has not been needed for a while: a host at a mark does not go to
//! and fro, and one that runs short is helped in the same interval.

use serde::Serialize;

use super::observation::HostObservation;
use crate::schema::{Host, PsiMark, Watermarks};
use crate::value::SizeOrPercent;

/// How short the host is; a later one is shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// There is enough.
    #[default]
    High,
    /// The pool stops to grow.
    Clear,
    /// VMs above their entitlement give back at once.
    Soft,
    /// Ephemeral puts are rejected.
    Hard,
    /// Every put above a reservation is rejected, no VM starts.
    Low,
}

impl Level {
    /// Whether leases shrink at once and not in steps.
    #[must_use]
    pub fn shrinks_at_once(self) -> bool {
        self >= Self::Soft
    }

    /// Whether ephemeral puts are rejected.
    #[must_use]
    pub fn rejects_ephemeral(self) -> bool {
        self >= Self::Hard
    }

    /// Whether puts above a reservation are rejected, and no VM starts.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::Low
    }
}

/// The host's state, and what the next decision has to remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// How short the host is.
    pub level: Level,
    /// Since when the level is not needed any more.
    pub calm_since_ms: Option<u64>,
    /// Since when pressure is above the mark of level soft.
    pub soft_pressure_since_ms: Option<u64>,
    /// Since when pressure is above the mark of level hard.
    pub hard_pressure_since_ms: Option<u64>,
}

/// The next state, why, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StateDecision {
    /// The state before.
    pub was: HostState,
    /// The state from now on.
    pub state: HostState,
    /// Why.
    pub cause: Cause,
    /// What was seen.
    pub observed: HostObservation,
}

/// Why the host is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// MemAvailable asks for this level.
    Memory,
    /// Pressure asks for this level, MemAvailable for less.
    Pressure,
    /// MemAvailable is above the level's mark, but not by the hysteresis.
    Hysteresis,
    /// The level is not needed any more, but not for long enough.
    Hold,
}

/// The next state.
#[must_use]
pub fn next(host: &Host, was: HostState, observed: HostObservation) -> StateDecision {
    let soft_pressure_since_ms = since(&host.psi.soft, was.soft_pressure_since_ms, observed);
    let hard_pressure_since_ms = since(&host.psi.hard, was.hard_pressure_since_ms, observed);
    let memory = lowest(&host.watermarks, observed, |available, mark, _| available < mark);
    let pressure = if lasts(&host.psi.hard, hard_pressure_since_ms, observed) {
        Level::Hard
    } else if lasts(&host.psi.soft, soft_pressure_since_ms, observed) {
        Level::Soft
    } else {
        Level::High
    };
    let needed = memory.max(pressure);
    let by = |level| if memory == level { Cause::Memory } else { Cause::Pressure };

    let (level, calm_since_ms, cause) = if needed >= was.level {
        (needed, None, by(needed))
    } else {
        let kept = lowest(&host.watermarks, observed, |available, mark, hysteresis| {
            available <= mark.saturating_add(hysteresis)
        });
        // A level that was never entered is not kept by its hysteresis.
        let kept = kept.min(was.level).max(pressure);
        let calm_since_ms = was.calm_since_ms.unwrap_or(observed.now_ms);
        if kept == was.level {
            (was.level, None, Cause::Hysteresis)
        } else if observed.now_ms.saturating_sub(calm_since_ms) < host.watermarks.hold.as_ms() {
            (was.level, Some(calm_since_ms), Cause::Hold)
        } else {
            (kept, None, if kept > needed { Cause::Hysteresis } else { by(needed) })
        }
    };
    let state = HostState { level, calm_since_ms, soft_pressure_since_ms, hard_pressure_since_ms };
    StateDecision { was, state, cause, observed }
}

/// The shortest level whose mark, with its hysteresis, is reached.
fn lowest(marks: &Watermarks, observed: HostObservation, is_reached: impl Fn(u64, u64, u64) -> bool) -> Level {
    let bytes = |size: SizeOrPercent| size.bytes(observed.total_bytes).unwrap_or(u64::MAX);
    let hysteresis = bytes(marks.hysteresis);
    let levels =
        [(Level::Low, marks.low), (Level::Hard, marks.hard), (Level::Soft, marks.soft), (Level::Clear, marks.clear)];
    levels
        .into_iter()
        .find(|(_, mark)| is_reached(observed.available_bytes, bytes(*mark), hysteresis))
        .map_or(Level::High, |(level, _)| level)
}

/// Since when pressure is at a mark without a break.
fn since(mark: &PsiMark, was: Option<u64>, observed: HostObservation) -> Option<u64> {
    let psi = observed.psi?;
    let is_at = mark.some_avg10.is_some_and(|mark| psi.some_avg10 >= mark)
        || mark.full_avg10.is_some_and(|mark| psi.full_avg10 >= mark);
    is_at.then_some(was.unwrap_or(observed.now_ms))
}

fn lasts(mark: &PsiMark, since: Option<u64>, observed: HostObservation) -> bool {
    since.is_some_and(|since| observed.now_ms.saturating_sub(since) >= mark.r#for.as_ms())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::observation::PsiObservation;
    use super::*;
    use crate::schema::Policy;
    use crate::value::Pressure;

    /// A host of 100 units: the default marks are at 20, 12, 6 and 3, the hysteresis is 2, the hold 5 s.
    fn seen(now_ms: u64, available: u64) -> HostObservation {
        HostObservation { now_ms, total_bytes: 100_000, available_bytes: available * 1000, psi: None }
    }

    fn pressed(now_ms: u64, some: u32, full: u32) -> HostObservation {
        let psi = PsiObservation {
            some_avg10: Pressure::from_basis_points(some * 100),
            full_avg10: Pressure::from_basis_points(full * 100),
        };
        HostObservation { psi: Some(psi), ..seen(now_ms, 50) }
    }

    /// The level after each of a row of observations.
    fn levels(observations: impl IntoIterator<Item = HostObservation>) -> Vec<Level> {
        let host = Policy::default().host;
        let mut state = HostState::default();
        let step = |observed| {
            state = next(&host, state, observed).state;
            state.level
        };
        observations.into_iter().map(step).collect()
    }

    #[test]
    fn a_level_is_entered_at_once_below_its_mark() {
        let table = [
            (20, Level::High),
            (19, Level::Clear),
            (11, Level::Soft),
            (5, Level::Hard),
            (2, Level::Low),
            (0, Level::Low),
        ];
        for (available, level) in table {
            assert_eq!(levels([seen(0, available)]), [level], "{available}");
        }
    }

    #[test]
    fn a_level_is_left_above_its_mark_and_the_hysteresis_after_the_hold() {
        let at_mark = (0..20).map(|second| seen(second * 1000, if second == 0 { 11 } else { 14 }));
        assert_eq!(levels(at_mark).last(), Some(&Level::Soft), "14 is not above 12 and 2");
        let above = levels((0..8).map(|second| seen(second * 1000, if second == 0 { 11 } else { 15 })));
        assert_eq!(above[..6], [Level::Soft; 6]);
        assert_eq!(above[6..], [Level::Clear; 2], "15 is below the mark of clear");
    }

    #[test]
    fn one_observation_below_begins_the_hold_again() {
        let available = |second| if second == 0 || second == 4 { 11 } else { 50 };
        let levels = levels((0..12).map(|second| seen(second * 1000, available(second))));
        assert_eq!(levels[..10], [Level::Soft; 10]);
        assert_eq!(levels[10..], [Level::High; 2]);
    }

    #[test]
    fn a_host_between_mark_and_hysteresis_that_was_never_short_is_not() {
        assert_eq!(levels([seen(0, 21), seen(1000, 21)]), [Level::High; 2]);
        let left_low = levels([seen(0, 2), seen(1000, 21), seen(7000, 21)]);
        assert_eq!(left_low, [Level::Low, Level::Low, Level::Clear], "clear is one that a host in low is in too");
    }

    #[test]
    fn pressure_raises_the_level_and_never_lowers_it() {
        assert_eq!(levels([pressed(0, 5, 0)]), [Level::Soft]);
        assert_eq!(levels([pressed(0, 4, 0)]), [Level::High]);
        assert_eq!(levels([pressed(0, 0, 5), pressed(9_999, 0, 5), pressed(10_000, 0, 5)])[2], Level::Hard);
        let with_break = [pressed(0, 0, 5), pressed(5_000, 0, 0), pressed(9_000, 0, 5), pressed(15_000, 0, 5)];
        assert_eq!(levels(with_break)[3], Level::High, "not for 10 s without a break");
        let calm_but_short = HostObservation { available_bytes: 2000, ..pressed(0, 0, 0) };
        assert_eq!(levels([calm_but_short]), [Level::Low]);
    }

    #[test]
    fn a_kernel_without_pressure_and_a_clock_that_jumps_back_do_no_harm() {
        assert_eq!(levels([seen(10_000, 2), seen(0, 50), seen(4_999, 50), seen(5_000, 50)])[2], Level::Low);
        assert_eq!(levels([seen(10_000, 2), seen(0, 50), seen(5_000, 50)])[2], Level::High);
    }

    fn any_seen() -> impl Strategy<Value = HostObservation> {
        let number = || prop_oneof![0..200_u64, any::<u64>()];
        (number(), number(), number(), prop::option::of((any::<u32>(), any::<u32>()))).prop_map(
            |(now_ms, total_bytes, available_bytes, psi)| HostObservation {
                now_ms,
                total_bytes,
                available_bytes,
                psi: psi.map(|(some, full)| PsiObservation {
                    some_avg10: Pressure::from_basis_points(some),
                    full_avg10: Pressure::from_basis_points(full),
                }),
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_seen_again_and_again_leads_to_one_state(
            first in prop::collection::vec(any_seen(), 0..5), then in any_seen(), step in 1..10_000_u64,
        ) {
            let host = Policy::default().host;
            let state = first.into_iter().fold(HostState::default(), |state, seen| next(&host, state, seen).state);
            let mut states = vec![state];
            for i in 0..40 {
                let seen = HostObservation { now_ms: (1 << 40) + i * (step + 1000), ..then };
                states.push(next(&host, states[states.len() - 1], seen).state);
            }
            let levels: Vec<Level> = states[1..].iter().map(|state| state.level).collect();
            let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
            // Down once after the hold, and once where pressure that lasts raises it.
            prop_assert!(changes <= 2, "{levels:?}");
            prop_assert_eq!(levels[30], levels[39]);
        }

        #[test]
        fn less_memory_is_never_a_higher_state(seen in any_seen(), less in any::<u64>()) {
            let host = Policy::default().host;
            let level = |seen| next(&host, HostState::default(), seen).state.level;
            let shorter = HostObservation { available_bytes: seen.available_bytes.min(less), ..seen };
            prop_assert!(level(shorter) >= level(seen));
        }
    }
}
