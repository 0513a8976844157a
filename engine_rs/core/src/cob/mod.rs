//! The consolidated order book (COB): many books of one asset in common price buckets.
//!
//! A group has members, each an instrument's book with a weight. A *venue* of the COB is a member:
//! spot and perpetual of one exchange have books of their own and count as two. Quantities are in
//! units of the base asset, times the weight; prices are in quote units, and quotes such as USD and
//! USDT count as one. Everything is on our clock: what a strategy could know.
//!
//! The bucket of a price is `floor(price / size)`, exactly. The window is the [`BUCKETS`] buckets
//! around the one that holds the consolidated mid: [`frame::BELOW`] below it and as many from it
//! upward. The mid is the mean of the members' mids, each weighted by its weight times the base
//! units resting at its best bid and best ask; a mid within 1e-12 (relative) of a bucket's edge
//! counts as on it. Members without two sides have no part in the mid, but in the buckets.
//!
//! A member takes part while its book is trusted and a message of it was received within the
//! time after which it is stale. Its buckets are kept in step all the while, so that it is back with
//! the message that mends it.

mod averages;
mod cells;
mod crossing;
mod frame;
mod heatmap;

pub use averages::{AVERAGED, AVERAGED_FIRST, WINDOWS, WINDOWS_NS};
pub use crossing::Crossing;
pub use frame::{BUCKETS, Detail, Level, Row};
pub use heatmap::HeatmapKind;

use serde::{Deserialize, Serialize};

use crate::book::{Book, Doubt};
use crate::decimal::Step;
use crate::error::{Error, Result};
use crate::event::Side;
use crate::instrument::Instrument;
use crate::ring::MirrorRing;
use averages::Averages;
use cells::Units;
pub use cells::{Cells, Grid};

/// Time between samples, on multiples of it since the epoch.
pub const SAMPLE_NS: i64 = 100_000_000;
/// Samples kept: those of the longest moving average and [`SAMPLES_BEHIND_MAX`] more.
pub const SAMPLES_KEPT: usize = 640;
/// Samples that the moving averages may be behind before they are made anew.
const SAMPLES_BEHIND_MAX: usize = 32;
/// Seconds of history kept, a sample each.
pub const SECONDS_KEPT: usize = 300;

/// A group's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name, such as `BTC`.
    pub name: String,
    /// Index of each member in the run, and its weight.
    pub members: Vec<(usize, f64)>,
    /// Bucket size in quote units.
    pub size: Step,
    /// A member without a message for longer is out.
    pub stale_ns: i64,
}

/// Why a member takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its book waits for a snapshot.
    NoSnapshot,
    /// Its book is suspect.
    Suspect,
    /// Nothing was received of it for too long.
    Stale,
}

impl Absence {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSnapshot => "no_snapshot",
            Self::Suspect => "suspect",
            Self::Stale => "stale",
        }
    }
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Index of its instrument in the run.
    pub market: usize,
    /// Its weight.
    pub weight: f64,
    /// When a message of its book was received last, on our clock.
    pub recv_ns: Option<i64>,
    /// Why it takes no part; `None` while it does.
    pub absence: Option<Absence>,
    cells: Cells,
}

/// The best prices of the members that take part, in quote units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bests {
    /// Highest bid.
    pub bid: f64,
    /// Lowest ask.
    pub ask: f64,
    /// Ask less bid, exact but for one rounding; negative while members cross.
    pub spread: f64,
}

/// The consolidated book of one group.
#[derive(Clone, Debug)]
pub struct Cob {
    /// Its definition.
    pub group: Group,
    members: Vec<Member>,
    row: Box<Row>,
    bests: Option<Bests>,
    has_mid: bool,
    is_fresh: bool,
    samples: MirrorRing<Row>,
    seconds: MirrorRing<Row>,
    averages: Averages,
    /// Samples that the averages have not taken in yet.
    unaveraged: usize,
}

impl Cob {
    /// A group over `instruments`, the run's, with empty books.
    pub fn new(group: Group, instruments: &[&Instrument]) -> Result<Self> {
        let name = &group.name;
        if group.members.is_empty() {
            return Err(Error::invalid(
                "group",
                format!("at least one member of {name}"),
                "none",
            ));
        }
        if group.stale_ns <= 0 {
            return Err(Error::invalid(
                "stale_after",
                "a positive time",
                group.stale_ns,
            ));
        }
        let mut members = Vec::new();
        for &(market, weight) in &group.members {
            let Some(instrument) = instruments.get(market) else {
                let expected = format!("an index below {}", instruments.len());
                return Err(Error::invalid("member", expected, market));
            };
            if !(weight.is_finite() && weight > 0.0) {
                let expected = format!("a positive number for {}", instrument.id);
                return Err(Error::invalid("weight", expected, weight));
            }
            if members
                .iter()
                .any(|member: &Member| member.market == market)
            {
                let expected = format!("each member of {name} once");
                return Err(Error::invalid("member", expected, &instrument.id));
            }
            members.push(Member {
                market,
                weight,
                recv_ns: None,
                absence: Some(Absence::NoSnapshot),
                cells: Cells::new(Units::new(instrument, group.size, weight)?),
            });
        }
        Ok(Self {
            group,
            members,
            row: Box::default(),
            bests: None,
            has_mid: false,
            is_fresh: false,
            samples: MirrorRing::new(SAMPLES_KEPT),
            seconds: MirrorRing::new(SECONDS_KEPT),
            averages: Averages::default(),
            unaveraged: 0,
        })
    }

    /// The members, in the order of the definition.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Takes in a whole book that is there already.
    pub fn attach(&mut self, member: usize, book: &Book, recv_ns: Option<i64>, now_ns: i64) {
        let found = &mut self.members[member];
        found.cells.forget();
        found.recv_ns = recv_ns;
        found.absence = absence(book);
        if found.absence.is_none() && found.is_stale(now_ns, self.group.stale_ns) {
            found.absence = Some(Absence::Stale);
        }
        self.is_fresh = false;
    }

    /// A member's book was emptied before a snapshot.
    pub fn clear(&mut self, member: usize) {
        self.members[member].cells.clear();
    }

    /// A member's buckets, to be told of every level that changes.
    #[inline]
    pub fn cells(&mut self, member: usize) -> &mut Cells {
        &mut self.members[member].cells
    }

    /// A message of a member was applied; whether the member came or went with it.
    #[inline]
    pub fn after_message(&mut self, member: usize, book: &Book, now_ns: i64) -> bool {
        self.is_fresh = false;
        let member = &mut self.members[member];
        member.recv_ns = Some(now_ns);
        if member.absence.is_none() && book.is_trusted() {
            return false;
        }
        let before = member.absence;
        member.absence = absence(book);
        before != member.absence
    }

    /// Puts members out of which nothing was received for too long; which ones.
    pub fn drop_stale(&mut self, now_ns: i64) -> Vec<usize> {
        let stale_ns = self.group.stale_ns;
        let mut gone = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.absence.is_none() && member.is_stale(now_ns, stale_ns) {
                member.absence = Some(Absence::Stale);
                gone.push(index);
            }
        }
        self.is_fresh &= gone.is_empty();
        gone
    }

    /// Brings the window up to date; whether there is a consolidated mid. `book` gives the book of
    /// an instrument of the run.
    #[inline]
    pub fn refresh<'a>(&mut self, now_ns: i64, book: impl Fn(usize) -> &'a Book) -> bool {
        self.row.ts_ns = now_ns;
        if !self.is_fresh {
            self.is_fresh = true;
            self.rebuild(book);
        }
        self.has_mid
    }

    fn rebuild<'a>(&mut self, book: impl Fn(usize) -> &'a Book) {
        let (mut weighted, mut weights) = (0.0, 0.0);
        let (mut best_bid, mut best_ask) = (None, None);
        for member in self.members.iter().filter(|member| member.is_in()) {
            let book = book(member.market);
            let units = member.cells.units();
            let (bid, ask) = (book.best_bid(), book.best_ask());
            if let Some((px, _)) = bid {
                better(&mut best_bid, units, px, 1.0);
            }
            if let Some((px, _)) = ask {
                better(&mut best_ask, units, px, -1.0);
            }
            if let (Some((bid, bid_lots)), Some((ask, ask_lots))) = (bid, ask) {
                let resting = units.base_qty(bid, bid_lots) + units.base_qty(ask, ask_lots);
                let weight = member.weight * resting;
                weighted += weight * (f64::midpoint(units.px(bid), units.px(ask)));
                weights += weight;
            }
        }
        self.bests = best_bid
            .zip(best_ask)
            .map(|((bid_units, bid), (ask_units, ask))| Bests {
                bid: bid_units.px(bid),
                ask: ask_units.px(ask),
                spread: ask_units.px_above(ask, bid_units, bid),
            });
        self.has_mid = weights > 0.0;
        if !self.has_mid {
            return;
        }
        self.row.mid = weighted / weights;
        let first = bucket_of(self.row.mid, self.group.size) - frame::LOWER;
        self.row.first = first;
        self.row.bid.fill(0.0);
        self.row.ask.fill(0.0);
        for member in self.members.iter_mut().filter(|member| member.is_in()) {
            let units = *member.cells.units();
            let window = member.cells.window(first, BUCKETS, book(member.market));
            for (index, cell) in window.iter().enumerate() {
                let (bid, ask) = units.quantities(cell);
                self.row.bid[index] += bid;
                self.row.ask[index] += ask;
            }
        }
        for index in 0..BUCKETS {
            self.row.imbalance[index] = frame::imbalance(self.row.bid[index], self.row.ask[index]);
        }
    }

    /// Takes a sample into the history and the moving averages, if there is a consolidated mid;
    /// called on multiples of [`SAMPLE_NS`] after [`Self::refresh`].
    pub fn sample(&mut self) {
        if !self.has_mid {
            return;
        }
        self.samples.push(&self.row);
        self.unaveraged += 1;
        if self.row.ts_ns.rem_euclid(10 * SAMPLE_NS) == 0 {
            self.seconds.push(&self.row);
        }
    }

    /// The window as it was at the last [`Self::refresh`]; `None` without a consolidated mid.
    pub fn row(&self) -> Option<&Row> {
        self.has_mid.then_some(&self.row)
    }

    /// The latest samples, up to [`SAMPLES_KEPT`], oldest first.
    pub fn samples(&self) -> &[Row] {
        self.samples.latest(SAMPLES_KEPT)
    }

    /// The latest samples on whole seconds, up to [`SECONDS_KEPT`], oldest first.
    pub fn seconds(&self) -> &[Row] {
        self.seconds.latest(SECONDS_KEPT)
    }

    /// Highest bid and lowest ask of the members that take part, if both exist.
    pub fn bests(&self) -> Option<Bests> {
        self.bests
    }

    /// Moving averages of the imbalance of the [`AVERAGED`] buckets around the mid, as of the last
    /// sample: a row for each of [`WINDOWS_NS`]; `None` for a bucket that no sample saw. Samples are
    /// taken in when the averages are asked for, so that only who looks pays.
    pub fn averages(&mut self) -> [[Option<f64>; AVERAGED]; WINDOWS] {
        let rows = self.samples.latest(SAMPLES_KEPT);
        if self.unaveraged > SAMPLES_BEHIND_MAX {
            // Samples that would have to be taken out again are no longer there.
            self.averages = Averages::default();
            self.unaveraged = rows.len();
        }
        for last in rows.len() - self.unaveraged..rows.len() {
            self.averages.push(&rows[..=last]);
        }
        self.unaveraged = 0;
        if self.has_mid {
            self.averages.read(self.row.first)
        } else {
            [[None; AVERAGED]; WINDOWS]
        }
    }

    /// Price, venues and shares of the window as of the last [`Self::refresh`]. Prices are found by
    /// going through the levels of the window, best first.
    pub fn detail<'a>(&mut self, book: impl Fn(usize) -> &'a Book) -> Option<Detail> {
        if !self.has_mid {
            return None;
        }
        let first = self.row.first;
        let mut detail = Detail {
            vwap: [0.0; BUCKETS],
            venues: [0; BUCKETS],
            shares: vec![0.0; self.members.len()],
        };
        for (member, share) in self.members.iter_mut().zip(&mut detail.shares) {
            if !member.is_in() {
                continue;
            }
            let units = *member.cells.units();
            let window = member.cells.window(first, BUCKETS, book(member.market));
            for (index, cell) in window.iter().enumerate() {
                let (bid, ask) = units.quantities(cell);
                *share += bid + ask;
                detail.venues[index] =
                    detail.venues[index].saturating_add(u8::from(Cells::is_present(cell)));
            }
            member.add_values(book(member.market), first, &mut detail.vwap);
        }
        for (index, vwap) in detail.vwap.iter_mut().enumerate() {
            // An empty bucket has the value 0 and the quantity 0: NaN.
            *vwap /= self.row.bid[index] + self.row.ask[index];
        }
        let total: f64 = detail.shares.iter().sum();
        if total > 0.0 {
            detail.shares.iter_mut().for_each(|share| *share /= total);
        }
        Some(detail)
    }

    /// Support and resistance levels of the window as of the last [`Self::refresh`].
    pub fn levels(&self) -> Vec<Level> {
        self.row().map(frame::levels).unwrap_or_default()
    }

    /// A matrix of the last `seconds` seconds, oldest first, by `buckets` prices, row by row: the
    /// half of them below the mid's bucket. NaN where no sample was taken at that second, or the
    /// bucket was outside the window then.
    pub fn heatmap(
        &self,
        kind: HeatmapKind,
        now_ns: i64,
        seconds: usize,
        buckets: usize,
    ) -> Result<Vec<f64>> {
        let half = i64::try_from(buckets / 2).unwrap_or(i64::MAX);
        let mid = self.row.first.saturating_add(frame::LOWER);
        let columns = (mid.saturating_sub(half), buckets);
        heatmap::matrix(
            kind,
            self.seconds(),
            now_ns,
            10 * SAMPLE_NS,
            seconds,
            columns,
        )
    }

    /// Every pair of members whose books are locked or crossed now, by the index of the member to
    /// buy from, then of the one to sell to.
    pub fn crossings<'a>(&self, book: impl Fn(usize) -> &'a Book) -> Vec<Crossing> {
        let mut found = Vec::new();
        for (buy, asks) in self.members.iter().enumerate() {
            for (sell, bids) in self.members.iter().enumerate() {
                if buy != sell && asks.is_in() && bids.is_in() {
                    found.extend(crossing::crossing(
                        (buy, book(asks.market), asks.cells.units()),
                        (sell, book(bids.market), bids.cells.units()),
                    ));
                }
            }
        }
        found
    }

    /// Bytes of the history and the buckets: all that a group ever takes.
    pub fn bytes(&self) -> usize {
        self.samples.bytes() + self.seconds.bytes() + self.members.len() * Cells::BYTES
    }
}

impl Member {
    /// Whether it takes part.
    #[inline]
    pub fn is_in(&self) -> bool {
        self.absence.is_none()
    }

    /// Adds the weighted quote value of what rests in each bucket of the window.
    fn add_values(&self, book: &Book, first: i64, values: &mut [f64; BUCKETS]) {
        let units = self.cells.units();
        for side in [Side::Bid, Side::Ask] {
            for (px, lots) in book.levels(side) {
                let offset = units.bucket(px).wrapping_sub(first);
                match usize::try_from(offset) {
                    Ok(index) if index < BUCKETS => {
                        let value = units.base_qty(px, lots) * units.px(px);
                        values[index] += self.weight * value;
                    }
                    // Bids go down and asks up: behind the window there are no more of it.
                    Ok(_) if side == Side::Ask => break,
                    Err(_) if side == Side::Bid => break,
                    _ => {}
                }
            }
        }
    }

    fn is_stale(&self, now_ns: i64, stale_ns: i64) -> bool {
        self.recv_ns
            .is_none_or(|recv| now_ns.saturating_sub(recv) > stale_ns)
    }
}

/// Keeps the higher (`sign` 1) or the lower (−1) of two prices.
#[inline]
fn better<'a>(best: &mut Option<(&'a Units, i64)>, units: &'a Units, px: i64, sign: f64) {
    let is_better = best.is_none_or(|(of, found)| sign * units.px_above(px, of, found) > 0.0);
    if is_better {
        *best = Some((units, px));
    }
}

fn absence(book: &Book) -> Option<Absence> {
    match book.doubt() {
        None => None,
        Some(Doubt::NoSnapshot) => Some(Absence::NoSnapshot),
        Some(_) => Some(Absence::Suspect),
    }
}

/// The bucket of a mid, by the rule in the module header; kept away from the ends of the numbers.
#[allow(clippy::cast_possible_truncation, reason = "saturates, then clamped")]
fn bucket_of(mid: f64, size: Step) -> i64 {
    const FAR: i64 = 1 << 61;
    let quotient = mid / size.to_f64();
    let nearest = quotient.round();
    let on_edge = (quotient - nearest).abs() <= 1e-12 * quotient.abs().max(1.0);
    let bucket = if on_edge { nearest } else { quotient.floor() };
    (bucket as i64).clamp(-FAR, FAR)
}

#[cfg(test)]
pub(crate) mod tests;
