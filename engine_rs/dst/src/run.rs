//! Runs of a seed: as it is, again with other batches, from its journal, and with a disk that fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cobalt_core::Event;
use cobalt_core::journal::{
    Durability, Fault, HEADER_LEN, Memory, Options, Records, Store, Writer, recover,
};
use cobalt_core::kernel::{Entry, Kernel, Resume, Step};

use crate::actor::Actor;
use crate::check::Checker;
use crate::market::{Streams, streams};
use crate::plan::{Draw, Plan};
use crate::wire::{Disk, Ways};

/// Rows between two looks at the journal.
const BUDGET: u64 = 1 << 20;
/// States noted in a run, to be rebuilt.
const STATES: usize = 4;
/// A segment is closed after so many bytes, so that a run has several.
const SEGMENT_LEN: usize = 30_000;

/// What a seed came to.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Steps of the first run.
    pub steps: u64,
    /// Orders given.
    pub orders: u64,
    /// Fills.
    pub fills: u64,
    /// Positions that the venue closed.
    pub liquidations: u64,
    /// Times that a book became suspect.
    pub gaps: u64,
    /// Processes that were ended and gone on with.
    pub crashes: u64,
    /// Records of the journal.
    pub records: u64,
}

/// How a run ended before its end.
enum Stop {
    /// The journal could not be written: the process is to begin again.
    Disk(String),
    /// Something is not as it must be.
    Wrong(String),
}

impl From<String> for Stop {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl From<&str> for Stop {
    fn from(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

impl From<cobalt_core::Error> for Stop {
    fn from(error: cobalt_core::Error) -> Self {
        match error {
            cobalt_core::Error::Io { .. } => Self::Disk(error.to_string()),
            _ => Self::Wrong(error.to_string()),
        }
    }
}

/// A run's result, and states on the way: number of the step and hash.
struct Ran {
    result: String,
    states: Vec<(u64, String)>,
    told: Told,
}

/// Everything that a seed has to stand; what was wrong, if anything.
pub fn seed(plan: &Plan) -> Result<Told, String> {
    all(plan).map_err(|stop| match stop {
        Stop::Disk(what) | Stop::Wrong(what) => what,
    })
}

fn all(plan: &Plan) -> Result<Told, Stop> {
    let feeds: Vec<Streams> = (0..plan.kinds.len()).map(|at| streams(plan, at)).collect();
    let mut random = plan.random(700);
    let memory = Memory::new();
    let ways = Ways::watched();
    let mut kernel = kernel(plan, &feeds, &ways)?;
    kernel.keep_journal(writer(&memory, &ways, Durability::Record)?, "{}");
    let first = run(plan, &feeds, kernel, &ways, 3, STATES)?;
    let length = memory.total_len();

    let again = run(
        plan,
        &feeds,
        self::kernel(plan, &feeds, &Ways::default())?,
        &Ways::default(),
        40,
        0,
    )?;
    if again.result != first.result {
        return Err("the same run, fed in other batches, has another result".into());
    }
    fold(plan, &feeds, &memory, &first)?;
    let mut told = first.told;
    told.records = round_trips(&memory)?;
    if plan.has("crashes") {
        for _ in 0..2 {
            told.crashes += crash(plan, &feeds, &first.result, length, &mut random)?;
        }
    }
    Ok(told)
}

/// Ends the process behind every single record of a run, and goes on with it; how many there were.
pub fn every_record(plan: &Plan, jobs: usize) -> Result<usize, String> {
    let feeds: Vec<Streams> = (0..plan.kinds.len()).map(|at| streams(plan, at)).collect();
    let told = |stop| match stop {
        Stop::Disk(what) | Stop::Wrong(what) => what,
    };
    let whole = Memory::new();
    let first = once(plan, &feeds, &whole, Durability::End).map_err(told)?;
    let ends = record_ends(&whole).map_err(told)?;
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((name, len)) = ends.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let memory = whole.cut(name, *len);
                    let ran = once(plan, &feeds, &memory, Durability::End).map_err(told);
                    let is_same = ran.as_ref().is_ok_and(|ran| ran.result == first.result);
                    let is_whole = is_same
                        && record_ends(&memory).is_ok_and(|found| found.len() >= ends.len());
                    if !is_whole {
                        let what = ran.err().unwrap_or_else(|| "another result".to_owned());
                        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                        wrong.get_or_insert(format!("ended behind byte {len} of {name}: {what}"));
                    }
                }
            });
        }
    });
    match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(ends.len()),
        Some(what) => Err(what),
    }
}

/// Reads every record and writes its content again, which must be the same; how many there are.
fn round_trips(memory: &Memory) -> Result<u64, Stop> {
    let mut records = Records::new(Box::new(memory.copy()))?;
    let (mut count, mut again) = (0, Vec::new());
    while let Some(record) = records.next()? {
        let entry = Entry::decode(record.kind, record.payload)?;
        again.clear();
        entry.encode(&mut again);
        if again != record.payload || entry.kind() != record.kind || entry.to_json().is_empty() {
            return Err(format!("record {} reads as {entry:?}", record.seq).into());
        }
        count += 1;
    }
    Ok(count)
}

/// Where each record of a journal ends: the segment, and the byte in it.
fn record_ends(memory: &Memory) -> Result<Vec<(String, usize)>, Stop> {
    const LENGTH: usize = 4;
    let mut found = Vec::new();
    for name in memory.list()? {
        let bytes = memory.read(&name)?;
        let mut at = HEADER_LEN;
        while let Some(length) = bytes.get(at..at + LENGTH) {
            let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
            at += 8 + usize::try_from(length).unwrap_or(0);
            found.push((name.clone(), at));
        }
    }
    Ok(found)
}

fn kernel(plan: &Plan, feeds: &[Streams], ways: &Ways) -> Result<Kernel, Stop> {
    let mut kernel = Kernel::new(plan.settings(ways))?;
    for (market, streams) in feeds.iter().enumerate() {
        for (kind, _) in streams {
            kernel.add_stream(market, *kind)?;
        }
    }
    Ok(kernel)
}

fn options(durability: Durability) -> Options {
    Options {
        durability,
        segment_len: SEGMENT_LEN,
        ..Options::default()
    }
}

fn writer(memory: &Memory, ways: &Ways, durability: Durability) -> Result<Writer, Stop> {
    let disk = Disk::new(memory.clone(), ways);
    Ok(Writer::create(Box::new(disk), options(durability))?)
}

/// Runs to the end, `batch` messages at a time, and checks after every step; notes up to `states`.
fn run(
    plan: &Plan,
    feeds: &[Streams],
    mut kernel: Kernel,
    ways: &Ways,
    batch: usize,
    states: usize,
) -> Result<Ran, Stop> {
    let mut actors = Actor::all(plan);
    let mut checker = Checker::new(plan, feeds, &kernel);
    let mut feeder = Feeder::new(feeds, batch);
    let mut random = plan.random(800);
    let mut noted = Vec::new();
    let mut told = Told::default();
    loop {
        let step = kernel.next(BUDGET)?;
        match step {
            Step::NeedData(stream) => {
                feeder.feed(&mut kernel, stream)?;
                continue;
            }
            Step::Pause => {
                kernel.tick_journal()?;
                continue;
            }
            _ => {}
        }
        for actor in &mut actors {
            if step == Step::Start {
                actor.start(&mut kernel)?;
            } else if step != Step::End {
                actor.act(&mut kernel, &step);
            }
        }
        // What could not be written has not happened, and nothing can be said of it.
        kernel.tick_journal()?;
        told.gaps += u64::from(matches!(step, Step::Gap(_, false)));
        checker
            .check(&kernel, &step)
            .map_err(|what| at(&kernel, &what))?;
        if let Some(fault) = ways.fault() {
            return Err(at(&kernel, &fault).into());
        }
        kernel.take_records();
        if noted.len() < states && random.chance(0.004) {
            noted.push((kernel.seq(), kernel.state_sha256()));
        }
        if step == Step::End {
            break;
        }
    }
    checker
        .check_end(&kernel)
        .map_err(|what| at(&kernel, &what))?;
    kernel.finish_journal(None)?;
    let counts = kernel.counts();
    told.steps = kernel.seq();
    (told.orders, told.fills) = (counts.orders, counts.fills);
    told.liquidations = counts.liquidations;
    Ok(Ran {
        result: kernel.result_sha256(),
        states: noted,
        told,
    })
}

fn at(kernel: &Kernel, what: &str) -> String {
    format!("step {}, {} ns: {what}", kernel.seq(), kernel.now_ns())
}

/// Rebuilds the states that were noted from the journal, and the result.
fn fold(plan: &Plan, feeds: &[Streams], memory: &Memory, first: &Ran) -> Result<(), Stop> {
    let mut kernel = kernel(plan, feeds, &Ways::default())?;
    kernel.replay_journal(Records::new(Box::new(memory.copy()))?, false);
    let mut feeder = Feeder::new(feeds, 17);
    let mut states = first.states.iter();
    let mut next = states.next();
    kernel.fold()?;
    loop {
        match kernel.next(BUDGET)? {
            Step::NeedData(stream) => feeder.feed(&mut kernel, stream)?,
            Step::Pause => {}
            step => {
                kernel.fold()?;
                kernel.take_records();
                if let Some((seq, hash)) = next
                    && kernel.seq() == *seq
                {
                    if kernel.state_sha256() != *hash {
                        return Err(at(&kernel, "the folded state differs").into());
                    }
                    next = states.next();
                }
                if step == Step::End {
                    break;
                }
            }
        }
    }
    kernel.finish_journal(None)?;
    if kernel.result_sha256() != first.result {
        return Err("the folded run has another result".into());
    }
    Ok(())
}

/// A run whose disk fails at some byte, and the run that goes on from what is left; how often it
/// was ended.
fn crash(
    plan: &Plan,
    feeds: &[Streams],
    result: &str,
    length: usize,
    random: &mut cobalt_core::random::Random,
) -> Result<u64, Stop> {
    let memory = Memory::new();
    let durability = random.of(&[Durability::Record, Durability::End, Durability::Interval(0)]);
    let mut crashes = 0;
    loop {
        let room = usize::try_from(random.below(length as u64 + 1)).unwrap_or(0);
        let fault = if random.chance(0.3) {
            Fault::Full(room)
        } else {
            Fault::Killed(room)
        };
        memory.set_fault((crashes < 2).then_some(fault));
        match once(plan, feeds, &memory, durability) {
            Ok(ran) if ran.result == result => return Ok(crashes),
            Ok(_) => return Err("a run that was ended and gone on with has another result".into()),
            Err(Stop::Disk(_)) => {
                crashes += 1;
                memory.set_fault(None);
                if random.chance(0.5) {
                    memory.lose_power(random);
                }
            }
            Err(wrong) => return Err(wrong),
        }
    }
}

/// Begins a run, or goes on with the one whose journal is there.
fn once(
    plan: &Plan,
    feeds: &[Streams],
    memory: &Memory,
    durability: Durability,
) -> Result<Ran, Stop> {
    let ways = Ways::default();
    let mut kernel = kernel(plan, feeds, &ways)?;
    let mut store = Disk::new(memory.clone(), &ways);
    let is_new = store.list()?.is_empty();
    if is_new {
        kernel.keep_journal(writer(memory, &ways, durability)?, "{}");
    } else {
        let recovered = recover(&mut store, |_| Ok(()))?;
        let records = Records::new(Box::new(memory.copy()))?;
        let then = Resume {
            store: Box::new(store),
            recovered,
            options: options(durability),
        };
        kernel.resume_journal(records, then, "{}");
    }
    run(plan, feeds, kernel, &ways, 9, 0)
}

/// Hands messages to the kernel when it asks for them.
struct Feeder<'a> {
    messages: Vec<&'a [Vec<Event>]>,
    batch: usize,
}

impl<'a> Feeder<'a> {
    fn new(feeds: &'a [Streams], batch: usize) -> Self {
        let all = feeds.iter().flatten();
        Self {
            messages: all.map(|(_, messages)| messages.as_slice()).collect(),
            batch,
        }
    }

    fn feed(&mut self, kernel: &mut Kernel, stream: usize) -> Result<(), Stop> {
        let rest = &mut self.messages[stream];
        let (now, later) = rest.split_at(self.batch.min(rest.len()));
        *rest = later;
        if now.is_empty() {
            kernel.end_stream(stream)?;
        } else {
            kernel.feed(stream, Box::new(now.concat()))?;
        }
        Ok(())
    }
}
