//! What a venue publishes: depth messages, trades and best prices, on both clocks.
//!
//! Invariants:
//! - Each action that changes the book takes the next update id. A depth message carries the absolute
//!   sizes of all levels touched since the message before, `seq` is the last update id it covers and
//!   `prev_seq` the last one of the message before; the first continues from the snapshot.
//! - A message is one group of rows. An interval in which nothing changed has no depth message; the
//!   snapshot of an empty book is one row of no side.
//! - A quote is published whenever the best bid or ask changes in price or size, with the update id
//!   of the change; while a side is empty there is no quote.
//! - Single orders are published where they are asked for: the whole book at the snapshot, then an action
//!   at a time what it left of the orders that it met, and the order that it brought or took. An
//!   aggressor is seen only by what rests of it. They change no other stream.
//! - Venue times have the resolution of a millisecond. The receive time is the venue's unrounded
//!   time plus a random latency, is never below the venue time and never decreases in a stream.

use super::matching::{Fill, MatchingEngine, OrderId, Resting};
use crate::event::{Event, EventKind, SEQ_NONE, Side, flags};
use crate::random::Random;

const NS_PER_MS: i64 = 1_000_000;

/// Kinds of data that are stored and delivered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// Snapshots and deltas of the whole book.
    Depth = 0,
    /// Trades, one row a fill.
    Trades = 1,
    /// Best bid and ask.
    Quotes = 2,
    /// Orders one by one, a row each.
    Orders = 3,
}

impl StreamKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Depth, Self::Trades, Self::Quotes, Self::Orders];

    /// The name of the kind in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Trades => "trades",
            Self::Quotes => "quotes",
            Self::Orders => "orders",
        }
    }
}

/// The way from the venue to us: a constant part, exponential jitter and rare long delays.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The least there is, in ns.
    pub least_ns: i64,
    /// Mean of the jitter, in ns.
    pub jitter_ns: f64,
}

/// One message in this many is delayed by `DELAY_FACTOR` times the usual jitter.
const DELAY_CHANCE: f64 = 1.0 / 2000.0;
const DELAY_FACTOR: f64 = 30.0;

/// Rows of one kind that wait to be fetched.
#[derive(Clone, Debug)]
struct Stream {
    rows: Vec<Event>,
    random: Random,
    recv_ns_last: i64,
}

impl Stream {
    fn receive(&mut self, now_ns: i64, latency: Latency) -> i64 {
        let mut jitter = self.random.exponential() * latency.jitter_ns;
        if self.random.chance(DELAY_CHANCE) {
            jitter *= DELAY_FACTOR;
        }
        #[allow(clippy::cast_possible_truncation, reason = "seconds at the very most")]
        let recv_ns = now_ns + latency.least_ns + jitter as i64;
        self.recv_ns_last = self.recv_ns_last.max(recv_ns);
        self.recv_ns_last
    }
}

/// Best bid and ask as (price, size), where a side has any.
type Touch = [Option<(i64, i64)>; 2];

/// The publishing side of one venue.
#[derive(Clone, Debug)]
pub struct Feed {
    instrument: u16,
    latency: Latency,
    streams: [Stream; 4],
    publishes_orders: bool,
    /// Levels touched since the last depth message, with repetitions.
    touched: Vec<(u8, i64)>,
    touch: Touch,
    update_id: u64,
    update_id_published: u64,
    trade_id: u64,
}

impl Feed {
    /// A feed that has published nothing; `random` gives the source for each stream.
    pub fn new(
        instrument: u16,
        latency: Latency,
        publishes_orders: bool,
        random: impl Fn(StreamKind) -> Random,
    ) -> Self {
        let stream = |kind| Stream {
            rows: Vec::new(),
            random: random(kind),
            recv_ns_last: i64::MIN,
        };
        Self {
            instrument,
            latency,
            streams: StreamKind::ALL.map(stream),
            publishes_orders,
            touched: Vec::new(),
            touch: [None; 2],
            update_id: 1,
            update_id_published: 1,
            trade_id: 0,
        }
    }

    /// Publishes the whole book; nothing that happened before it is ever published.
    pub fn publish_snapshot(&mut self, book: &MatchingEngine, now_ns: i64) {
        self.touched.clear();
        self.touch = [book.best(Side::Bid), book.best(Side::Ask)];
        let levels: Vec<_> = [Side::Bid, Side::Ask]
            .into_iter()
            .flat_map(|side| {
                book.levels(side)
                    .map(move |(px, qty)| (side as u8, px, qty))
            })
            .collect();
        self.update_id_published = self.update_id;
        let ids = (self.update_id, SEQ_NONE);
        self.push(EventKind::Snapshot, now_ns, ids, levels);
        if self.publishes_orders {
            let ids = (0, SEQ_NONE);
            self.push(EventKind::OrderClear, now_ns, ids, []);
            for side in [Side::Bid, Side::Ask] {
                for (id, open) in book.queue(side) {
                    self.publish_order(EventKind::OrderAdd, now_ns, id, open);
                }
            }
        }
    }

    /// Publishes what an action did to single orders, in the order in which it did: `fills` against
    /// resting orders, by an aggressor of `side`, and the order that came or went.
    pub fn publish_orders(
        &mut self,
        book: &MatchingEngine,
        now_ns: i64,
        side: Side,
        fills: &[Fill],
        own: Option<(EventKind, OrderId, Resting)>,
    ) {
        if !self.publishes_orders {
            return;
        }
        for fill in fills {
            let left = Resting {
                side: super::matching::opposite(side),
                px_ticks: fill.px_ticks,
                qty_lots: book.resting(fill.maker).map_or(0, |open| open.qty_lots),
            };
            let kind = if left.qty_lots == 0 {
                EventKind::OrderDelete
            } else {
                EventKind::OrderChange
            };
            self.publish_order(kind, now_ns, fill.maker, left);
        }
        if let Some((kind, id, open)) = own {
            self.publish_order(kind, now_ns, id, open);
        }
    }

    fn publish_order(&mut self, kind: EventKind, now_ns: i64, id: OrderId, open: Resting) {
        let level = (open.side as u8, open.px_ticks, open.qty_lots);
        self.push(kind, now_ns, (id.number(), SEQ_NONE), [level]);
    }

    /// Publishes the levels touched since the last depth message, if there are any.
    pub fn publish_depth(&mut self, book: &MatchingEngine, now_ns: i64) {
        if self.touched.is_empty() {
            return;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let ids = (self.update_id, self.update_id_published);
        self.update_id_published = self.update_id;
        let levels = touched.iter().map(|&(side, px)| {
            let qty = book.qty_at(if side == 1 { Side::Bid } else { Side::Ask }, px);
            (side, px, qty)
        });
        self.push(EventKind::Delta, now_ns, ids, levels);
        touched.clear();
        self.touched = touched;
    }

    /// Takes note of an action that changed the book: `fills` against resting orders, by an
    /// aggressor of `side`, and the level of `side` at `px_own` if an order came or went there.
    pub fn on_action(
        &mut self,
        book: &MatchingEngine,
        now_ns: i64,
        side: Side,
        fills: &[Fill],
        px_own: Option<i64>,
    ) {
        self.update_id += 1;
        for fill in fills {
            self.touched
                .push((super::matching::opposite(side) as u8, fill.px_ticks));
            self.trade_id += 1;
            let ids = (self.trade_id, SEQ_NONE);
            let level = (side as u8, fill.px_ticks, fill.qty_lots);
            self.push(EventKind::Trade, now_ns, ids, [level]);
        }
        self.touched.extend(px_own.map(|px| (side as u8, px)));
        self.publish_quote(book, now_ns);
    }

    fn publish_quote(&mut self, book: &MatchingEngine, now_ns: i64) {
        let touch = [book.best(Side::Bid), book.best(Side::Ask)];
        if touch == self.touch {
            return;
        }
        self.touch = touch;
        if let [Some((bid, bid_qty)), Some((ask, ask_qty))] = touch {
            let levels = [
                (Side::Bid as u8, bid, bid_qty),
                (Side::Ask as u8, ask, ask_qty),
            ];
            let ids = (self.update_id, SEQ_NONE);
            self.push(EventKind::Quote, now_ns, ids, levels);
        }
    }

    /// The number of rows waiting in the fullest stream.
    pub fn rows_waiting(&self) -> usize {
        self.streams.iter().map(|s| s.rows.len()).max().unwrap_or(0)
    }

    /// The rows of a stream that wait, in order of receipt.
    pub fn waiting(&self, kind: StreamKind) -> &[Event] {
        &self.streams[kind as usize].rows
    }

    /// Hands the rows of a stream out.
    pub fn take(&mut self, kind: StreamKind) -> Vec<Event> {
        let rows = &mut self.streams[kind as usize].rows;
        let capacity = rows.len();
        std::mem::replace(rows, Vec::with_capacity(capacity))
    }

    /// Appends one message.
    fn push(
        &mut self,
        kind: EventKind,
        now_ns: i64,
        (seq, prev_seq): (u64, u64),
        levels: impl IntoIterator<Item = (u8, i64, i64)>,
    ) {
        let stream = match kind {
            EventKind::Delta | EventKind::Snapshot => StreamKind::Depth,
            EventKind::Quote => StreamKind::Quotes,
            EventKind::Trade | EventKind::OffBookTrade => StreamKind::Trades,
            _ => StreamKind::Orders,
        };
        let stream = &mut self.streams[stream as usize];
        let row = Event {
            ts_event_ns: now_ns - now_ns.rem_euclid(NS_PER_MS),
            ts_recv_ns: stream.receive(now_ns, self.latency),
            px_ticks: 0,
            qty_lots: 0,
            seq,
            prev_seq,
            instrument: self.instrument,
            kind: kind as u8,
            side: Side::None as u8,
            flags: 0,
            reserved: 0,
        };
        let first = stream.rows.len();
        let rows = levels.into_iter().map(|(side, px_ticks, qty_lots)| Event {
            px_ticks,
            qty_lots,
            side,
            ..row
        });
        stream.rows.extend(rows);
        if stream.rows.len() == first {
            stream.rows.push(row);
        }
        stream.rows[first].flags |= flags::FIRST;
        if let Some(last) = stream.rows.last_mut() {
            last.flags |= flags::LAST;
        }
    }
}
