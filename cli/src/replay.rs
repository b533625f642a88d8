//! `tmem policy replay`: recorded VMs under another policy.

use anyhow::Result;
use host::{InForce, read_policy, read_policy_for};
use indicatif::{ProgressBar, ProgressStyle};
use policy::schema::Algorithm;
use protocol::VmName;
use replay::{DecisionLog, Host, Plan, Recording, Tally, VmOutcome};
use serde_json::{Map, Value, json};

use crate::args::{ReplayAlgorithm, ReplayArgs};
use crate::screen;

/// Plays the traces and prints what came of each VM under each algorithm.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    let (host, policy) = match args.host.pool {
        Some(pool) => (Host::Constant { pool_bytes: pool.0 }, read_policy(args.policy.as_deref())?),
        None => {
            let log = DecisionLog::read(&args.host.decisions)?;
            let policy = read_policy_for(args.policy.as_deref(), log.total_bytes())?;
            (Host::Logged(log), policy)
        }
    };
    let traces = args.traces.iter().map(|trace| (trace.vm.clone(), trace.path.clone())).collect();
    let mut plan = Plan::new(policy.policy.clone(), host, traces)?;
    args.weight.iter().try_for_each(|set| plan.set_weight(&set.vm, set.weight))?;
    tell_what_is_missing(&plan);

    let algorithms = algorithms(&args.algorithm);
    let bar = progress_bar(plan.operations().saturating_mul(algorithms.len() as u64));
    let mut played = Vec::new();
    for algorithm in algorithms {
        bar.set_message(name(algorithm));
        played.push((algorithm, plan.play(algorithm, &mut |operations| bar.inc(operations))?));
    }
    bar.finish_and_clear();
    screen::print(&if args.json { format!("{:#}\n", as_json(&policy, &plan, &played)) } else { table(&plan, &played) })
}

fn algorithms(chosen: &[ReplayAlgorithm]) -> Vec<Algorithm> {
    let all = [
        (ReplayAlgorithm::Greedy, Algorithm::Greedy),
        (ReplayAlgorithm::Static, Algorithm::Static),
        (ReplayAlgorithm::Weighted, Algorithm::Weighted),
        (ReplayAlgorithm::Demand, Algorithm::Demand),
    ];
    let is_chosen = |choice| chosen.contains(&choice) || chosen.contains(&ReplayAlgorithm::All);
    all.into_iter().filter(|(choice, _)| is_chosen(*choice)).map(|(_, algorithm)| algorithm).collect()
}

/// The name that the policy's file has for it.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Greedy => "greedy",
        Algorithm::Static => "static",
        Algorithm::Weighted => "weighted",
        Algorithm::Demand => "demand",
    }
}

/// On standard error, and there alone where that is a terminal.
fn progress_bar(operations: u64) -> ProgressBar {
    let bar = ProgressBar::new(operations);
    let style = ProgressStyle::with_template("{msg:8} {wide_bar} {human_pos} of {human_len} operations, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What makes the outcome less than it could be, to standard error.
fn tell_what_is_missing(plan: &Plan) {
    let left_out: Vec<&str> = plan.left_out().map(VmName::as_str).collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        screen::tell(&format!("of the log's VMs these have no trace, what they held counts as the host's: {names}"));
    }
    for recording in plan.recordings().iter().filter(|recording| recording.lost() > 0) {
        let (path, lost) = (recording.path().display(), recording.lost());
        screen::tell(&format!("{path} lacks {lost} operations: its disk was too slow for its recorder"));
    }
}

/// A row for each VM as it was recorded, and for each under each algorithm.
fn table(plan: &Plan, played: &[(Algorithm, Vec<VmOutcome>)]) -> String {
    let unknown = || ["-", "-", "-"].map(str::to_owned);
    let recorded = plan.recordings().iter();
    let recorded = recorded.map(|recording| row("recorded", recording.vm(), recording.answers(), unknown()));
    let played = played.iter().flat_map(|(algorithm, outcomes)| {
        outcomes.iter().map(move |outcome| {
            let figures = [outcome.pages_evicted, outcome.intervals, outcome.intervals_off];
            row(name(*algorithm), &outcome.vm, &outcome.answers, figures.map(|figure| figure.to_string()))
        })
    });
    screen::table(std::iter::once(HEAD.map(str::to_owned)).chain(recorded).chain(played))
}

const HEAD: [&str; 17] = [
    "ALGORITHM",
    "VM",
    "PUTS",
    "STORED",
    "NO_SPACE",
    "OVER_LIMIT",
    "FROZEN",
    "POOR_RATIO",
    "BUSY",
    "BAD_POOL",
    "BAD_ADDRESS",
    "GETS",
    "HIT",
    "MISS",
    "EVICTED",
    "INTERVALS",
    "OFF",
];

fn row(algorithm: &str, vm: &VmName, answers: &Tally, [evicted, intervals, off]: [String; 3]) -> [String; HEAD.len()] {
    let [stored, no_space, over_limit, frozen, poor_ratio, busy, bad_pool, bad_address] =
        answers.put_results().map(|(_, count)| count.to_string());
    let [hit, miss, empty, ..] = answers.get_results().map(|(_, count)| count);
    [
        algorithm.to_owned(),
        vm.to_string(),
        answers.puts().to_string(),
        stored,
        no_space,
        over_limit,
        frozen,
        poor_ratio,
        busy,
        bad_pool,
        bad_address,
        answers.gets().to_string(),
        hit.to_string(),
        miss.saturating_add(empty).to_string(),
        evicted,
        intervals,
        off,
    ]
}

fn as_json(policy: &InForce, plan: &Plan, played: &[(Algorithm, Vec<VmOutcome>)]) -> Value {
    let recorded: Vec<Value> = plan.recordings().iter().map(recording_as_json).collect();
    let algorithms: Vec<Value> = played
        .iter()
        .map(|(algorithm, outcomes)| {
            let vms: Vec<Value> = outcomes.iter().map(outcome_as_json).collect();
            json!({ "algorithm": name(*algorithm), "vms": vms })
        })
        .collect();
    let left_out: Vec<&VmName> = plan.left_out().collect();
    json!({
        "policy": { "path": policy.path, "sha256": policy.sha256 },
        "recorded": recorded,
        "left_out": left_out,
        "algorithms": algorithms,
    })
}

fn recording_as_json(recording: &Recording) -> Value {
    json!({
        "vm": recording.vm(),
        "trace": recording.path().display().to_string(),
        "length_ms": recording.length_us() / 1000,
        "operations": recording.operations(),
        "lost": recording.lost(),
        "puts": results(recording.answers().put_results()),
        "gets": results(recording.answers().get_results()),
    })
}

fn outcome_as_json(outcome: &VmOutcome) -> Value {
    json!({
        "vm": outcome.vm,
        "puts": results(outcome.answers.put_results()),
        "gets": results(outcome.answers.get_results()),
        "pages_evicted": outcome.pages_evicted,
        "intervals": outcome.intervals,
        "intervals_off_entitlement": outcome.intervals_off,
    })
}

fn results<const N: usize>(results: [(&str, u64); N]) -> Map<String, Value> {
    results.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
}
