//! Simulation tests. A seed decides markets, strategies, latencies and faults; after every step a
//! second, plain account of the run is held against the kernel, and at the end everything must have
//! come to rest. Then the same seed runs again in other batches, from its journal, and with a disk
//! that fails. A seed that fails is made as small as it gets, and a line that repeats it is printed.

mod actor;
mod canary;
mod check;
mod market;
mod plan;
mod run;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plan::{PARTS, Plan};
use run::Told;

const MESSAGES: usize = 400;
const HELP: &str = "\
usage: cobalt-dst [SEEDS=N] [SECONDS=S] [FIRST=N] [JOBS=N]   so many seeds, or for so long
       cobalt-dst SEED=N [MESSAGES=N] [WITHOUT=a,b]          one seed, as a failure printed it
       cobalt-dst SEED=N RECORDS=1 [MESSAGES=N]              ends it behind every record in turn
       cobalt-dst CANARIES=1                                 the planted bugs (feature canaries)";

/// What the command line asks for.
struct Asked {
    seed: Option<u64>,
    seeds: u64,
    first: u64,
    seconds: Option<u64>,
    jobs: usize,
    messages: usize,
    without: Vec<String>,
    canaries: bool,
    records: bool,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("cobalt-dst: {what}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // A panic is a failure of the seed like any other, told with its line.
    std::panic::set_hook(Box::new(|_| {}));
    let is_well = if asked.canaries {
        canary::all(asked.messages)
    } else if asked.records {
        let seed = asked.seed.unwrap_or(asked.first);
        every_record(&Plan::new(seed, asked.messages, &asked.without), asked.jobs)
    } else if let Some(seed) = asked.seed {
        one(&Plan::new(seed, asked.messages, &asked.without))
    } else {
        many(&asked)
    };
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse(words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        seed: None,
        seeds: 100,
        first: 1,
        seconds: None,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        messages: MESSAGES,
        without: Vec::new(),
        canaries: false,
        records: false,
    };
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("expected NAME=VALUE, found '{word}'"))?;
        if value.is_empty() {
            continue;
        }
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name}: expected a number, found '{value}'"))
        };
        let size = || number().and_then(|found| usize::try_from(found).map_err(|e| e.to_string()));
        match name {
            "SEED" => asked.seed = Some(number()?),
            "SEEDS" => asked.seeds = number()?,
            "FIRST" => asked.first = number()?,
            "SECONDS" => asked.seconds = Some(number()?),
            "JOBS" => asked.jobs = size()?.max(1),
            "MESSAGES" => asked.messages = size()?.max(1),
            "CANARIES" => asked.canaries = true,
            "RECORDS" => asked.records = true,
            "WITHOUT" => asked.without = parts(value)?,
            _ => return Err(format!("there is no {name}")),
        }
    }
    Ok(asked)
}

fn parts(value: &str) -> Result<Vec<String>, String> {
    let found: Vec<String> = value.split(',').map(str::to_owned).collect();
    match found.iter().find(|part| !PARTS.contains(&part.as_str())) {
        None => Ok(found),
        Some(part) => {
            let known = PARTS.join(", ");
            Err(format!(
                "WITHOUT: expected parts such as {known}, found '{part}'"
            ))
        }
    }
}

/// Runs a plan; what was wrong, if anything, panics included.
pub fn try_plan(plan: &Plan) -> Result<Told, String> {
    catch_unwind(AssertUnwindSafe(|| run::seed(plan))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn every_record(plan: &Plan, jobs: usize) -> bool {
    let began = Instant::now();
    match run::every_record(plan, jobs) {
        Ok(records) => {
            let seconds = began.elapsed().as_secs();
            println!(
                "seed {}: ended behind each of {records} records, the same result each time, {seconds} s",
                plan.seed
            );
            true
        }
        Err(what) => {
            println!("seed {}: {what}", plan.seed);
            false
        }
    }
}

fn one(plan: &Plan) -> bool {
    match try_plan(plan) {
        Ok(told) => {
            println!("seed {}: {told:?}", plan.seed);
            true
        }
        Err(what) => {
            println!("seed {}: {what}", plan.seed);
            false
        }
    }
}

fn many(asked: &Asked) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(asked.first);
    let sum = Mutex::new((Told::default(), 0_u64));
    let failed = Mutex::new(Vec::new());
    let is_over = |seed: u64| match asked.seconds {
        Some(seconds) => began.elapsed() >= Duration::from_secs(seconds),
        None => seed >= asked.first + asked.seeds,
    };
    std::thread::scope(|scope| {
        for _ in 0..asked.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if is_over(seed) {
                        break;
                    }
                    let plan = Plan::new(seed, asked.messages, &asked.without);
                    match try_plan(&plan) {
                        Ok(told) => add(&mut sum.lock().expect("no panic inside"), &told),
                        Err(what) => {
                            let (smallest, what) = minimised(plan, what);
                            println!("FAILED: {what}\n  {}", line(&smallest));
                            failed.lock().expect("no panic inside").push(seed);
                        }
                    }
                }
            });
        }
    });
    let (told, seeds) = sum.into_inner().expect("no panic inside");
    let failed = failed.into_inner().expect("no panic inside");
    report(asked, &told, seeds, failed.len(), began.elapsed());
    failed.is_empty()
}

fn add(sum: &mut (Told, u64), told: &Told) {
    sum.1 += 1;
    sum.0.steps += told.steps;
    sum.0.orders += told.orders;
    sum.0.fills += told.fills;
    sum.0.liquidations += told.liquidations;
    sum.0.gaps += told.gaps;
    sum.0.crashes += told.crashes;
    sum.0.records += told.records;
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn report(asked: &Asked, told: &Told, seeds: u64, failed: usize, took: Duration) {
    let plan = Plan::new(asked.first, asked.messages, &asked.without);
    let simulated = (plan.end_ns() - market::START_NS) as f64 / 1e9 * seeds as f64;
    let seconds = took.as_secs_f64();
    println!(
        "{seeds} seeds well, {failed} failed, in {seconds:.1} s: {:.0} seeds an hour, {:.0} times real time",
        seeds as f64 / seconds * 3_600.0,
        simulated / seconds
    );
    println!(
        "{} steps, {} orders, {} fills, {} liquidations, {} gaps, {} crashes, {} records",
        told.steps,
        told.orders,
        told.fills,
        told.liquidations,
        told.gaps,
        told.crashes,
        told.records
    );
}

/// The line that repeats a plan.
pub fn line(plan: &Plan) -> String {
    let without = if plan.without.is_empty() {
        String::new()
    } else {
        format!(" WITHOUT={}", plan.without.join(","))
    };
    format!(
        "make dst SEED={} MESSAGES={}{without}",
        plan.seed, plan.messages
    )
}

/// The smallest plan found that fails as well: parts left out one by one, then messages.
pub fn minimised(plan: Plan, what: String) -> (Plan, String) {
    let (mut smallest, mut told) = (plan, what);
    for part in PARTS {
        let mut without = smallest.without.clone();
        without.push(part.to_owned());
        let plan = Plan::new(smallest.seed, smallest.messages, &without);
        if let Err(what) = try_plan(&plan) {
            (smallest, told) = (plan, what);
        }
    }
    let mut cut = smallest.messages / 2;
    while cut > 0 {
        let plan = Plan::new(smallest.seed, smallest.messages - cut, &smallest.without);
        match try_plan(&plan) {
            Err(what) => (smallest, told) = (plan, what),
            Ok(_) => cut /= 2,
        }
        cut = cut.min(smallest.messages / 2);
    }
    (smallest, told)
}
