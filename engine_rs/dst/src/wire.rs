//! The way to the venues and back: slow, sometimes refused, with answers that are lost until they
//! are asked for; and the journal's disk, which is watched by the way out.
//!
//! An answer that is lost arrives when reconciliation would have found it: after a time-out.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cobalt_core::Result;
use cobalt_core::exchange::models::{Delay, LatencyModel};
use cobalt_core::journal::{Memory, Store};
use cobalt_core::random::Random;

use crate::plan::Plan;

const MS: i64 = 1_000_000;
/// After so long an answer that was lost is asked for and found.
pub const FOUND_NS: i64 = 3_000 * MS;
/// Where a record's kind lies in its bytes.
const KIND_AT: usize = 32;

/// What is known about what was written and what left.
#[derive(Clone, Default)]
pub struct Ways {
    /// Commands on the disk since the last one left.
    commands: Arc<AtomicU64>,
    /// What went wrong first.
    fault: Arc<Mutex<Option<String>>>,
    /// Whether each record is on the disk before anything follows from it.
    is_watched: bool,
}

/// It is no part of the run's state.
impl fmt::Debug for Ways {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Ways {
    /// Ways that are watched.
    pub fn watched() -> Self {
        Self {
            is_watched: true,
            ..Self::default()
        }
    }

    /// What went wrong, if anything did.
    pub fn fault(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_record(&self, kind: u8) {
        if (2..=7).contains(&kind) {
            self.commands.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A command leaves: it must be on the disk.
    fn on_leaving(&self) {
        let written = self.commands.swap(0, Ordering::Relaxed);
        if self.is_watched && written == 0 {
            self.lock()
                .get_or_insert_with(|| "a command left before it was in the journal".to_owned());
        }
    }
}

/// A way to one venue, drawn from a seed.
#[derive(Debug)]
pub struct Wire {
    random: Random,
    entry_ms: u64,
    response_ms: u64,
    refuses: bool,
    loses: bool,
    quiet_from_ns: i64,
    ways: Ways,
}

impl Wire {
    /// The way of an instrument.
    pub fn new(plan: &Plan, index: usize, ways: &Ways) -> Self {
        let mut random = plan.random(100 + index as u64);
        Self {
            entry_ms: 1 + random.below(60),
            response_ms: 1 + random.below(60),
            refuses: plan.has("refusals") && random.chance(0.5),
            loses: plan.has("slow") && random.chance(0.5),
            random,
            quiet_from_ns: plan.quiet_from_ns(),
            ways: ways.clone(),
        }
    }

    fn ns(&mut self, about_ms: u64) -> i64 {
        let us = self.random.below(about_ms * 2_000) + 1;
        i64::try_from(us).unwrap_or(1) * 1_000
    }
}

impl LatencyModel for Wire {
    fn order_entry(&mut self, ts_local_ns: i64) -> Delay {
        self.ways.on_leaving();
        let after_ns = self.ns(self.entry_ms);
        if self.refuses && ts_local_ns < self.quiet_from_ns && self.random.chance(0.05) {
            Delay::Refused(after_ns)
        } else {
            Delay::Arrives(after_ns)
        }
    }

    fn response_ns(&mut self, ts_exchange_ns: i64) -> i64 {
        let after_ns = self.ns(self.response_ms);
        if self.loses && ts_exchange_ns < self.quiet_from_ns && self.random.chance(0.01) {
            FOUND_NS
        } else {
            after_ns
        }
    }
}

/// A journal's disk that notes which records reach it.
pub struct Disk {
    /// The files.
    pub memory: Memory,
    ways: Ways,
}

impl Disk {
    /// A disk that tells `ways`.
    pub fn new(memory: Memory, ways: &Ways) -> Self {
        Self {
            memory,
            ways: ways.clone(),
        }
    }
}

impl Store for Disk {
    fn list(&self) -> Result<Vec<String>> {
        self.memory.list()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.memory.read(name)
    }

    fn create(&mut self, name: &str) -> Result<()> {
        self.memory.create(name)
    }

    fn reopen(&mut self, name: &str, len: usize) -> Result<()> {
        self.memory.reopen(name, len)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.memory.append(bytes)?;
        if let Some(kind) = bytes.get(KIND_AT) {
            self.ways.on_record(*kind);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.memory.sync()
    }

    fn pack(&mut self, name: &str) -> Result<()> {
        self.memory.pack(name)
    }

    fn settle(&mut self) -> Result<()> {
        self.memory.settle()
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.memory.remove(name)
    }

    fn describe(&self, name: &str) -> String {
        self.memory.describe(name)
    }
}
