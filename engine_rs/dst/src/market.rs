//! The markets of a seed: what venues do, what of it is received, and what goes wrong on the way.

use std::collections::BTreeMap;

use cobalt_core::event::{PX_NONE, SEQ_NONE, flags};
use cobalt_core::instrument::ContractKind;
use cobalt_core::kernel::StreamKind;
use cobalt_core::random::Random;
use cobalt_core::{Event, EventKind, Side};

use crate::plan::{Draw, Plan, other};

/// Our clock at the first message: 2024-01-01T00:00:00Z.
pub const START_NS: i64 = 1_704_067_200_000_000_000;
const MS: i64 = 1_000_000;
/// Between two messages of a book.
const STEP_NS: i64 = 20 * MS;
/// The last part of a run, in which nothing goes wrong any more.
const QUIET_MESSAGES: usize = 400;
const LEVELS: i64 = 8;
const PX_START: i64 = 1_000;

impl Plan {
    /// Our clock from which nothing goes wrong any more.
    pub fn quiet_from_ns(&self) -> i64 {
        START_NS + i64::try_from(self.messages).unwrap_or(0) * STEP_NS
    }

    /// Our clock at the end.
    pub fn end_ns(&self) -> i64 {
        self.quiet_from_ns() + i64::try_from(QUIET_MESSAGES).unwrap_or(0) * STEP_NS
    }
}

/// The streams of an instrument, in order of arrival, a message each.
pub type Streams = Vec<(StreamKind, Vec<Vec<Event>>)>;

/// A venue's book, as it is.
struct Venue {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    seq: u64,
    trades: u64,
    random: Random,
}

/// All that is received of an instrument.
pub fn streams(plan: &Plan, index: usize) -> Streams {
    let mut venue = Venue::new(plan.random(200 + index as u64));
    let mut faults = Faults::new(plan, index);
    let (mut depth, mut trades) = (Vec::new(), Vec::new());
    let mut clock = Clock::new(plan, index);
    let total = plan.messages + QUIET_MESSAGES;
    for at in 0..total {
        let is_quiet = at >= plan.messages;
        if at % 150 == 0 || (is_quiet && at == plan.messages) {
            let (event_ns, recv_ns) = clock.next(at, is_quiet);
            depth.push(stamp(venue.snapshot(), event_ns, recv_ns));
        }
        let taken = venue.trade();
        if let Some(row) = taken {
            let (event_ns, recv_ns) = clock.next(at, is_quiet);
            trades.push(stamp(vec![row], event_ns, recv_ns));
        }
        let message = venue.change(taken);
        let (event_ns, recv_ns) = clock.next(at, is_quiet);
        let message = stamp(message, event_ns, recv_ns);
        if is_quiet {
            depth.push(message);
        } else {
            faults.pass(message, &venue, &mut depth);
        }
    }
    keep_times(&mut depth);
    let mut found = vec![(StreamKind::Depth, depth), (StreamKind::Trades, trades)];
    if plan.kinds[index] != ContractKind::Spot && plan.has("marks") {
        found.extend(rates(plan, index));
    }
    found
}

/// Mark prices and fundings, near the price where the book began.
fn rates(plan: &Plan, index: usize) -> Streams {
    let mut random = plan.random(300 + index as u64);
    let (mut marks, mut fundings) = (Vec::new(), Vec::new());
    let mut px = PX_START;
    let mut at_ns = START_NS + 1_003 + i64::try_from(index).unwrap_or(0);
    while at_ns < plan.end_ns() {
        px = (px + random.between(-3, 3)).max(50);
        marks.push(rate(EventKind::Mark, at_ns, px * 10_000_000, 0));
        if random.chance(0.2) {
            let px = if random.chance(0.5) {
                PX_NONE
            } else {
                px * 10_000_000
            };
            fundings.push(rate(
                EventKind::Funding,
                at_ns + 7,
                px,
                random.between(-50_000, 50_000),
            ));
        }
        at_ns += 300 * MS;
    }
    vec![(StreamKind::Marks, marks), (StreamKind::Funding, fundings)]
}

fn rate(kind: EventKind, at_ns: i64, px: i64, rate: i64) -> Vec<Event> {
    vec![Event {
        ts_event_ns: at_ns,
        ts_recv_ns: at_ns,
        px_ticks: px,
        qty_lots: rate,
        seq: SEQ_NONE,
        prev_seq: SEQ_NONE,
        kind: kind as u8,
        flags: flags::FIRST | flags::LAST,
        ..Event::default()
    }]
}

impl Venue {
    fn new(mut random: Random) -> Self {
        let side = |sign: i64, random: &mut Random| {
            (1..=LEVELS)
                .map(|at| (PX_START + sign * at, 100 + random.between(0, 900)))
                .collect()
        };
        Self {
            bids: side(-1, &mut random),
            asks: side(1, &mut random),
            seq: 1,
            trades: 0,
            random,
        }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<i64, i64> {
        if side == Side::Bid {
            &mut self.bids
        } else {
            &mut self.asks
        }
    }

    fn best(&self, side: Side) -> Option<i64> {
        if side == Side::Bid {
            self.bids.keys().next_back().copied()
        } else {
            self.asks.keys().next().copied()
        }
    }

    fn snapshot(&self) -> Vec<Event> {
        let bids = self.bids.iter().map(|level| (Side::Bid, level));
        let asks = self.asks.iter().map(|level| (Side::Ask, level));
        bids.chain(asks)
            .map(|(side, (px, qty))| row(EventKind::Snapshot, side, *px, *qty, self.seq, SEQ_NONE))
            .collect()
    }

    /// Somebody takes from the best level.
    fn trade(&mut self) -> Option<Event> {
        if !self.random.chance(0.3) {
            return None;
        }
        let aggressor = if self.random.chance(0.5) {
            Side::Bid
        } else {
            Side::Ask
        };
        let px = self.best(other(aggressor))?;
        let there = *self.side(other(aggressor)).get(&px)?;
        let lots = self.random.between(1, there);
        self.trades += 1;
        Some(row(
            EventKind::Trade,
            aggressor,
            px,
            lots,
            self.trades,
            SEQ_NONE,
        ))
    }

    /// Levels change: what was traded goes, and others come and go around the touch.
    fn change(&mut self, traded: Option<Event>) -> Vec<Event> {
        let mut changed = BTreeMap::new();
        if let Some(trade) = traded {
            let side = if trade.side == Side::Bid as u8 {
                Side::Ask
            } else {
                Side::Bid
            };
            let left = self.side(side).get(&trade.px_ticks).copied().unwrap_or(0) - trade.qty_lots;
            self.set(side, trade.px_ticks, left.max(0));
            changed.insert((side as u8, trade.px_ticks), left.max(0));
        }
        if self.random.chance(0.03) {
            self.jump(&mut changed);
        }
        for _ in 0..self.random.between(1, 5) {
            let (Some(bid), Some(ask)) = (self.best(Side::Bid), self.best(Side::Ask)) else {
                break;
            };
            let side = self.random.of(&[Side::Bid, Side::Ask]);
            let away = self.random.between(-1, LEVELS);
            let px = if side == Side::Bid {
                bid - away
            } else {
                ask + away
            };
            let crosses = if side == Side::Bid {
                px >= ask
            } else {
                px <= bid
            };
            if crosses || px < 10 {
                continue;
            }
            let qty = if self.random.chance(0.3) {
                0
            } else {
                self.random.between(1, 1_000)
            };
            self.set(side, px, qty);
            changed.insert((side as u8, px), qty);
        }
        self.refill(changed)
    }

    /// The levels of a side up to some distance go, and the other side follows.
    fn jump(&mut self, changed: &mut BTreeMap<(u8, i64), i64>) {
        let side = self.random.of(&[Side::Bid, Side::Ask]);
        let far = self.random.between(2, 40);
        let Some(best) = self.best(side) else {
            return;
        };
        let sign = if side == Side::Bid { -1 } else { 1 };
        let gone = |px: &i64| (px - best) * sign <= far;
        let prices: Vec<i64> = self.side(side).keys().copied().filter(gone).collect();
        for px in prices {
            self.set(side, px, 0);
            changed.insert((side as u8, px), 0);
        }
        let px = best + sign * (far + 1);
        let follows = px - sign * 2;
        for (side, px) in [(side, px), (other(side), follows)] {
            if px >= 10 {
                let qty = self.random.between(1, 1_000);
                self.set(side, px, qty);
                changed.insert((side as u8, px), qty);
            }
        }
    }

    /// Fills a side that has become thin, and makes a message of what changed.
    fn refill(&mut self, mut changed: BTreeMap<(u8, i64), i64>) -> Vec<Event> {
        for side in [Side::Bid, Side::Ask] {
            while self.side(side).len() < 3 {
                let sign = if side == Side::Bid { -1 } else { 1 };
                let from = self.best(other(side)).unwrap_or(PX_START);
                let px = (from + sign * self.random.between(1, LEVELS)).max(10);
                let is_free = self
                    .best(other(side))
                    .is_none_or(|best| (px - best) * sign > 0);
                if is_free {
                    let qty = self.random.between(1, 1_000);
                    self.set(side, px, qty);
                    changed.insert((side as u8, px), qty);
                }
            }
        }
        let before = self.seq;
        self.seq += self.random.below(3) + 1;
        if changed.is_empty() {
            return vec![row(EventKind::Delta, Side::None, 0, 0, self.seq, before)];
        }
        changed
            .into_iter()
            .map(|((side, px), qty)| {
                let side = Side::from_u8(side).expect("written above");
                row(EventKind::Delta, side, px, qty, self.seq, before)
            })
            .collect()
    }

    fn set(&mut self, side: Side, px: i64, qty: i64) {
        if qty == 0 {
            self.side(side).remove(&px);
        } else {
            self.side(side).insert(px, qty);
        }
    }
}

fn row(kind: EventKind, side: Side, px: i64, qty: i64, seq: u64, prev_seq: u64) -> Event {
    Event {
        px_ticks: px,
        qty_lots: qty,
        seq,
        prev_seq,
        kind: kind as u8,
        side: side as u8,
        ..Event::default()
    }
}

fn stamp(mut rows: Vec<Event>, event_ns: i64, recv_ns: i64) -> Vec<Event> {
    let last = rows.len() - 1;
    for (at, row) in rows.iter_mut().enumerate() {
        (row.ts_event_ns, row.ts_recv_ns) = (event_ns, recv_ns);
        row.flags =
            if at == 0 { flags::FIRST } else { 0 } | if at == last { flags::LAST } else { 0 };
    }
    rows
}

/// Receive times go up, whatever was swapped and doubled.
fn keep_times(messages: &mut [Vec<Event>]) {
    let mut latest = i64::MIN;
    for message in messages {
        let recv_ns = message[0].ts_recv_ns.max(latest + 3);
        latest = recv_ns;
        for row in message {
            row.ts_recv_ns = recv_ns;
        }
    }
}

/// Both clocks. That of the venue may jump, and jumps back; no two messages of a run are received at
/// the same time.
struct Clock {
    random: Random,
    index: i64,
    skew_ns: i64,
    jumps: bool,
    latest_ns: i64,
}

impl Clock {
    fn new(plan: &Plan, index: usize) -> Self {
        Self {
            random: plan.random(400 + index as u64),
            index: i64::try_from(index).unwrap_or(0),
            skew_ns: 0,
            jumps: plan.has("clocks"),
            latest_ns: 0,
        }
    }

    fn next(&mut self, at: usize, is_quiet: bool) -> (i64, i64) {
        if is_quiet {
            self.skew_ns = 0;
        } else if self.jumps && self.random.chance(0.01) {
            self.skew_ns = self.random.between(-500, 500) * MS;
        }
        let happened = START_NS + i64::try_from(at).unwrap_or(0) * STEP_NS;
        let lag = self.random.between(1, 15) * MS;
        // Odd hundreds of ns, apart for each instrument, so that no time is met twice.
        let recv_ns = (happened + lag).max(self.latest_ns + 1_000) / 1_000 * 1_000 + 1 + self.index;
        self.latest_ns = recv_ns;
        (happened + self.skew_ns, recv_ns)
    }
}

/// What goes wrong between the venue and us.
struct Faults {
    random: Random,
    has: [bool; 7],
    /// Messages still to be lost.
    lost: usize,
    held: Option<Vec<Event>>,
}

const RATES: [(&str, f64); 7] = [
    ("gaps", 0.01),
    ("duplicates", 0.02),
    ("reorders", 0.01),
    ("snapshots", 0.004),
    ("crossings", 0.004),
    ("impossible", 0.004),
    ("disconnects", 0.002),
];

impl Faults {
    fn new(plan: &Plan, index: usize) -> Self {
        Self {
            random: plan.random(500 + index as u64),
            has: RATES.map(|(part, _)| plan.has(part)),
            lost: 0,
            held: None,
        }
    }

    /// A message comes through, or does not.
    fn pass(&mut self, mut message: Vec<Event>, venue: &Venue, out: &mut Vec<Vec<Event>>) {
        // One draw for each, so that leaving one out moves none of the others.
        let drawn = RATES.map(|(_, rate)| self.random.chance(rate));
        let amount = self.random.between(1, 60);
        let does = |fault: usize| drawn[fault] && self.has[fault];
        let (event_ns, recv_ns) = (message[0].ts_event_ns, message[0].ts_recv_ns);
        if does(6) {
            self.lost = usize::try_from(amount).unwrap_or(1);
        }
        if self.lost > 0 {
            self.lost -= 1;
            if self.lost == 0 {
                out.push(stamp(venue.snapshot(), event_ns, recv_ns));
            }
            return;
        }
        if does(0) {
            return;
        }
        if does(4) {
            // An ask far below the bids.
            let (seq, before) = (message[0].seq, message[0].prev_seq);
            message.push(row(EventKind::Delta, Side::Ask, 20, amount, seq, before));
            message = stamp(message, event_ns, recv_ns);
        }
        if does(5) {
            message[0].qty_lots = -amount;
        }
        if does(2) && self.held.is_none() {
            self.held = Some(message);
            return;
        }
        out.push(message.clone());
        if let Some(late) = self.held.take() {
            out.push(late);
        }
        if does(1) {
            out.push(message);
        }
        if does(3) {
            // A snapshot that says something else than the deltas said.
            let mut rows = venue.snapshot();
            let keep = rows.len() / 2;
            rows.retain(|row| row.px_ticks % 2 == amount % 2);
            rows.truncate(keep.max(1));
            if !rows.is_empty() {
                out.push(stamp(rows, event_ns, recv_ns));
            }
        }
    }
}
