//! The testnet: a local exchange that produces market data as a venue's recording would.
//!
//! Several venues, each a matching engine ([`matching`]) fed by its own order flow ([`flow`]) around
//! one common fair price ([`fair`]), publish depth, trades and best prices ([`feed`]).
//!
//! Invariants: same seed, parameters and duration, same bytes on every machine ([`random`] says why);
//! the rows of a stream do not depend on how they are fetched, and a longer run begins with the rows
//! of a shorter one; memory does not grow with the duration. Everything made here is stored with
//! provenance `testnet`.
//!
//! Which facts about real markets the data reproduces, and from where they are known, stands at the
//! head of each part; tests hold the data to them. Known limits: a quiet, healthy market only (no
//! outages, gaps, auctions or funding), and no feedback from flow to the fair price.

pub mod fair;
pub mod feed;
pub mod flow;
pub mod matching;
mod venue;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::random::Random;
use fair::{FairParams, FairPrice};
use feed::StreamKind;
pub use venue::{Venue, VenueParams};

/// The fair price moves this often; flow rates are constant in between.
pub const STEP_NS: i64 = 10_000_000;
const STEP_S: f64 = 0.01;
/// Simulated time before the data begins, in which the opening book takes its natural shape.
const WARM_UP_STEPS: i64 = 4_500;

/// Changes whenever the same seed gives other bytes than before; stored as part of the source.
pub const MODEL_VERSION: u32 = 1;

/// The random source of the fair price; venues use those from 256 on, 256 apart.
const PURPOSE_FAIR: u64 = 0;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct TestnetParams {
    /// Picks one of all possible runs.
    pub seed: u64,
    /// Venue time of the snapshots, in ns since the Unix epoch.
    pub start_ns: i64,
    /// Simulated time from the snapshots on, in ns; cut to whole steps of [`STEP_NS`].
    pub duration_ns: i64,
    /// How the fair price moves.
    pub fair: FairParams,
    /// The venues; their index is the rows' `instrument`.
    pub venues: Vec<VenueParams>,
}

/// Rows of one stream, in order of receipt; no message is cut in two.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of the venue.
    pub venue: usize,
    /// Which stream.
    pub kind: StreamKind,
    /// The rows.
    pub rows: Vec<Event>,
}

/// A running testnet.
#[derive(Clone, Debug)]
pub struct Testnet {
    fair: FairPrice,
    venues: Vec<Venue>,
    start_ns: i64,
    step: i64,
    step_end: i64,
}

impl Testnet {
    /// A testnet at the start of its warm-up.
    ///
    /// # Errors
    /// Parameters that are out of range.
    pub fn new(params: &TestnetParams) -> Result<Self> {
        check_range(
            "start_ns",
            params.start_ns,
            0,
            i64::MAX / 2,
            "ns since the Unix epoch",
        )?;
        check_range(
            "duration_ns",
            params.duration_ns,
            STEP_NS,
            i64::MAX / 4,
            "at least 10 ms",
        )?;
        if params.venues.is_empty() || params.venues.len() > 255 {
            let found = params.venues.len();
            return Err(Error::invalid("venues", "1 to 255 venues", found));
        }
        let fair_random = Random::new(params.seed, PURPOSE_FAIR);
        let venues = params
            .venues
            .iter()
            .enumerate()
            .map(|(index, venue)| Venue::new(params.seed, index, venue, params.fair.px_start))
            .collect::<Result<_>>()?;
        Ok(Self {
            fair: FairPrice::new(params.fair, fair_random, STEP_S),
            venues,
            start_ns: params.start_ns,
            step: -WARM_UP_STEPS,
            step_end: params.duration_ns / STEP_NS,
        })
    }

    /// Runs on until some stream holds `rows_min` rows, and hands out all rows made since the last
    /// call, by venue and then stream; `None` at the end.
    pub fn next_batches(&mut self, rows_min: usize) -> Option<Vec<Batch>> {
        while self.step < self.step_end && self.rows_waiting() < rows_min {
            self.advance();
        }
        let mut batches = Vec::new();
        for (venue, source) in self.venues.iter_mut().enumerate() {
            for kind in StreamKind::ALL {
                let rows = source.feed.take(kind);
                if !rows.is_empty() {
                    batches.push(Batch { venue, kind, rows });
                }
            }
        }
        (!batches.is_empty()).then_some(batches)
    }

    /// Simulated time since the snapshots, in ns; 0 during the warm-up.
    pub fn elapsed_ns(&self) -> i64 {
        self.step.max(0) * STEP_NS
    }

    /// The venues, in the order of their parameters.
    pub fn venues(&self) -> &[Venue] {
        &self.venues
    }

    /// Simulates one step.
    fn advance(&mut self) {
        self.fair.step();
        let from_ns = self.start_ns + self.step * STEP_NS;
        for venue in &mut self.venues {
            if self.step == -WARM_UP_STEPS {
                venue.open(&self.fair, from_ns);
            }
            if self.step == 0 {
                venue.publish_snapshot(from_ns);
            }
            venue.advance(&self.fair, from_ns, from_ns - self.start_ns);
        }
        self.step += 1;
    }

    fn rows_waiting(&self) -> usize {
        let waiting = self.venues.iter().map(|v| v.feed.rows_waiting());
        waiting.max().unwrap_or(0)
    }
}

fn check_range(name: &'static str, value: i64, least: i64, most: i64, what: &str) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(name, what, value))
}

#[cfg(test)]
mod tests;
