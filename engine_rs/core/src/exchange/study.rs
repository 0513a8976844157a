//! Queue models held against the truth: what each makes of orders whose place in the queue is known.
//!
//! A feed of single orders is replayed. Beside it stand *ghosts*, orders that leave no trace: one
//! directly ahead of each order of the venue that comes to rest, and some that join a level at a time
//! planned beforehand. Each ghost is followed three ways at once, on the same rows:
//!
//! - the *truth*, [`L3Queue`], which sees the orders;
//! - each [`QueueModel`], which sees the sizes of levels and the trades alone;
//! - the *fate* of the venue's order behind the ghost: when it was first executed.
//!
//! A ghost counts as filled with its first lot: when its queue is used up, when a trade goes through
//! its price, or when the other side's best price reaches it. It ends when the order behind it is
//! cancelled or moved; once that one was executed, or without one, after a given time.
//!
//! Invariants: the rows decide everything; ghosts do not see each other. Sizes of levels change
//! between two rows of different times, as a venue would publish them.
//!
//! Known limits: nobody reacts to a ghost, and a taker that would have been used up by it goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::l3_queue::{L3Queue, executed};
use super::models::{QueueModel, QueuePosition};
use crate::event::{Event, EventKind, Side};
use crate::l3::OrderBook;
use crate::ladder::Ladder;

/// An execution of a resting order that a row of single orders shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Index of the row.
    pub row: usize,
    /// Side of the order.
    pub side: Side,
    /// Price of the order in ticks.
    pub px_ticks: i64,
    /// Lots executed.
    pub qty_lots: i64,
    /// Lots that stood before it in its queue.
    pub ahead_lots: i64,
}

/// The executions of resting orders that rows of single orders show.
pub fn executions(rows: &[Event]) -> Vec<Execution> {
    let mut book = OrderBook::without_changes();
    let mut found = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let resting = book.order(row.seq).filter(|order| !order.is_in_flight);
        let qty_lots = resting.map_or(0, |order| executed(&order, row));
        if let Some(order) = resting.filter(|_| qty_lots > 0) {
            found.push(Execution {
                row: index,
                side: order.side,
                px_ticks: order.px_ticks,
                qty_lots,
                ahead_lots: book.ahead(order.id).unwrap_or(0),
            });
        }
        book.apply(row);
    }
    found
}

/// A time that never came.
pub const NEVER: i64 = i64::MIN;

/// A ghost to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When it joins, in ns.
    pub ts_ns: i64,
    /// Bid or ask.
    pub side: Side,
    /// Which level it joins, the best one being 0; where there is none it never comes.
    pub level: usize,
}

/// Why a ghost ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// The rows ended first.
    Open = 0,
    /// Its time was over.
    Expired = 1,
    /// The order behind it was cancelled, or went elsewhere, before it was executed at all.
    Withdrawn = 2,
}

/// A ghost and what became of it; times in ns of the rows' clock, [`NEVER`] where something did not
/// happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Ghost {
    /// The venue's order behind it, if there is one.
    pub order: Option<u64>,
    /// Bid or ask.
    pub side: Side,
    /// Its price in ticks.
    pub px_ticks: i64,
    /// When it joined.
    pub joined_ns: i64,
    /// Lots ahead of it then.
    pub ahead_lots: i64,
    /// When and why it ended.
    pub ended_ns: i64,
    /// See [`End`].
    pub end: End,
    /// When the order behind it was first executed.
    pub fate_ns: i64,
    /// When it was filled in truth.
    pub truth_ns: i64,
    /// Whether that was because its queue was used up.
    pub truth_in_queue: bool,
    /// When each model filled it.
    pub models_ns: Vec<i64>,
    /// Whether that was because the model took its queue for used up.
    pub models_in_queue: Vec<bool>,
    /// Lots truly ahead when it ended, 0 if it was filled.
    pub truth_ahead_lots: i64,
    /// Lots ahead when it ended by each model, 0 if the model filled it.
    pub models_ahead_lots: Vec<f64>,
}

/// A ghost on its way.
struct Live {
    ghost: Ghost,
    positions: Vec<QueuePosition>,
    expires_ns: i64,
}

impl Live {
    /// The market came to the price, or went through it: everybody sees that.
    fn fill(&mut self, ts_ns: i64) {
        if self.ghost.truth_ns == NEVER {
            self.ghost.truth_ns = ts_ns;
        }
        for filled in &mut self.ghost.models_ns {
            if *filled == NEVER {
                *filled = ts_ns;
            }
        }
    }

    /// The venue's orders show that the queue is used up.
    fn fill_truth(&mut self, ts_ns: i64) {
        if self.ghost.truth_ns == NEVER {
            self.ghost.truth_ns = ts_ns;
            self.ghost.truth_in_queue = true;
        }
    }

    /// Tells each model that has not filled the ghost; `tell` says whether it does so now.
    fn tell(
        &mut self,
        models: &[Box<dyn QueueModel>],
        ts_ns: i64,
        tell: impl Fn(&dyn QueueModel, &mut QueuePosition) -> bool,
    ) {
        for (index, model) in models.iter().enumerate() {
            if self.ghost.models_ns[index] != NEVER {
                continue;
            }
            if tell(&**model, &mut self.positions[index]) {
                self.ghost.models_ns[index] = ts_ns;
                self.ghost.models_in_queue[index] = true;
            }
        }
    }
}

/// The replay.
pub struct QueueStudy {
    models: Vec<Box<dyn QueueModel>>,
    begin_ns: i64,
    lifetime_ns: i64,
    plans: VecDeque<Plan>,
    queue: L3Queue,
    /// The venue's orders once more, for the sizes of their levels.
    book: OrderBook,
    /// Sizes as published, by (is ask, price).
    sizes: BTreeMap<(bool, i64), i64>,
    /// Ghosts by number.
    live: BTreeMap<u64, Live>,
    /// (is ask, key of the price, number) of each of them, for the ghosts at a price.
    by_px: BTreeSet<(bool, i64, u64)>,
    /// Numbers by the venue's order.
    by_order: BTreeMap<u64, u64>,
    /// (end, number) of those that end by themselves.
    by_end: BTreeSet<(i64, u64)>,
    joined: u64,
    now_ns: i64,
    reached: Vec<(u64, i64)>,
    done: Vec<Ghost>,
}

impl QueueStudy {
    /// A replay in which ghosts join from `begin_ns` on and live for `lifetime_ns` unless their order
    /// ends them; `plans` are in the order of time.
    pub fn new(
        models: Vec<Box<dyn QueueModel>>,
        begin_ns: i64,
        lifetime_ns: i64,
        plans: Vec<Plan>,
    ) -> Self {
        Self {
            models,
            begin_ns,
            lifetime_ns,
            plans: plans.into(),
            queue: L3Queue::default(),
            book: OrderBook::new(),
            sizes: BTreeMap::new(),
            live: BTreeMap::new(),
            by_px: BTreeSet::new(),
            by_order: BTreeMap::new(),
            by_end: BTreeSet::new(),
            joined: 0,
            now_ns: NEVER,
            reached: Vec::new(),
            done: Vec::new(),
        }
    }

    /// The next row, of single orders or a trade, in the order of time.
    pub fn take(&mut self, row: &Event) {
        self.advance(row.venue_time_ns().max(self.now_ns));
        if row.kind == EventKind::Trade as u8 {
            self.publish();
            self.on_trade(row);
        } else {
            self.on_order(row);
        }
    }

    /// Ends the replay; the ghosts in the order in which they ended.
    pub fn finish(mut self) -> Vec<Ghost> {
        self.publish();
        let open: Vec<u64> = self.live.keys().copied().collect();
        for number in open {
            self.end(number, self.now_ns, End::Open);
        }
        self.done
    }

    /// Lets time pass: what was changed is published, ghosts end and planned ones join.
    fn advance(&mut self, ts_ns: i64) {
        if ts_ns == self.now_ns {
            return;
        }
        self.publish();
        self.now_ns = ts_ns;
        while let Some(&(end_ns, number)) = self.by_end.first()
            && end_ns <= ts_ns
        {
            self.end(number, end_ns, End::Expired);
        }
        while let Some(plan) = self
            .plans
            .front()
            .copied()
            .filter(|plan| plan.ts_ns <= ts_ns)
        {
            self.plans.pop_front();
            let level = self.book.levels(plan.side).nth(plan.level);
            if let Some((px_ticks, ..)) = level {
                self.join(plan.side, px_ticks, plan.ts_ns, None);
            }
        }
    }

    fn on_order(&mut self, row: &Event) {
        let id = row.seq;
        let side = Side::from_u8(row.side).unwrap_or(Side::None);
        let kind = EventKind::from_u8(row.kind);
        let before = self.book.order(id).filter(|order| !order.is_in_flight);
        let ticket = self.book.ticket(id);
        // A ghost goes ahead of the order, so it joins first; if the order does not rest it goes.
        let place = match kind {
            Some(EventKind::OrderAdd) if ticket.is_none() => Some((side, row.px_ticks)),
            Some(EventKind::OrderRest | EventKind::OrderRestOver) => self
                .book
                .order(id)
                .filter(|order| order.is_in_flight)
                .map(|order| (order.side, order.px_ticks)),
            _ => None,
        };
        let mut ghost = None;
        if let Some((side, px_ticks)) = place.filter(|_| self.now_ns >= self.begin_ns) {
            self.publish();
            if side != Side::None {
                ghost = Some(self.join(side, px_ticks, self.now_ns, Some(id)));
            }
        }
        self.book.apply(row);
        self.queue.on_order(row, &mut self.reached);
        self.tell_truth();
        let after = self.book.ticket(id);
        if let Some(number) = ghost.filter(|_| after.is_none()) {
            self.leave(number);
        }
        let (Some(order), Some(&number)) = (before, self.by_order.get(&id)) else {
            return;
        };
        let Some(live) = self.live.get_mut(&number) else {
            return;
        };
        if executed(&order, row) > 0 && live.ghost.fate_ns == NEVER {
            live.ghost.fate_ns = self.now_ns;
            live.expires_ns = self.now_ns.saturating_add(self.lifetime_ns);
            self.by_end.insert((live.expires_ns, number));
        } else if after != ticket && live.ghost.fate_ns == NEVER {
            self.end(number, self.now_ns, End::Withdrawn);
        }
    }

    fn on_trade(&mut self, row: &Event) {
        let side = match Side::from_u8(row.side) {
            Some(Side::Bid) => Side::Ask,
            Some(Side::Ask) => Side::Bid,
            _ => return,
        };
        let key = Ladder::key(side, row.px_ticks);
        self.fill_from(side, key.saturating_add(1));
        self.queue
            .on_trade(side, row.px_ticks, row.qty_lots, &mut self.reached);
        self.tell_truth();
        for number in self.at(side, key) {
            let live = self.live.get_mut(&number).expect("listed ghosts live");
            live.tell(&self.models, self.now_ns, |model, position| {
                model.on_trade(position, row.qty_lots);
                model.take_reached(position) > 0
            });
        }
    }

    /// Shows the models the levels that changed, and everybody where the market now is.
    fn publish(&mut self) {
        let changes = self.book.take_changes();
        for (side, px_ticks, size) in &changes {
            let level = (*side == Side::Ask, *px_ticks);
            let before = self.sizes.insert(level, *size).unwrap_or(0);
            for number in self.at(*side, Ladder::key(*side, *px_ticks)) {
                let live = self.live.get_mut(&number).expect("listed ghosts live");
                live.tell(&self.models, self.now_ns, |model, position| {
                    model.on_depth(position, before, *size);
                    false
                });
            }
        }
        if changes.is_empty() {
            return;
        }
        for (side, other) in [(Side::Bid, Side::Ask), (Side::Ask, Side::Bid)] {
            if let Some((px_ticks, ..)) = self.book.best(other) {
                self.fill_from(side, Ladder::key(side, px_ticks));
            }
        }
    }

    /// The market is at `key`: fills the ghosts of a side there and at better prices.
    fn fill_from(&mut self, side: Side, key: i64) {
        let is_ask = side == Side::Ask;
        let reached = self
            .by_px
            .range((is_ask, key, 0)..=(is_ask, i64::MAX, u64::MAX));
        for (.., number) in reached {
            let live = self.live.get_mut(number).expect("listed ghosts live");
            live.fill(self.now_ns);
        }
    }

    fn at(&self, side: Side, key: i64) -> Vec<u64> {
        let is_ask = side == Side::Ask;
        let here = self.by_px.range((is_ask, key, 0)..=(is_ask, key, u64::MAX));
        here.map(|(.., number)| *number).collect()
    }

    fn tell_truth(&mut self) {
        for (number, _) in self.reached.drain(..) {
            if let Some(live) = self.live.get_mut(&number) {
                live.fill_truth(self.now_ns);
            }
        }
    }

    fn join(&mut self, side: Side, px_ticks: i64, ts_ns: i64, order: Option<u64>) -> u64 {
        let number = self.joined;
        self.joined += 1;
        self.queue.join(number, side, px_ticks);
        let ahead_lots = self.book.qty_at(side, px_ticks);
        let expires_ns = ts_ns.saturating_add(self.lifetime_ns);
        let live = Live {
            ghost: Ghost {
                order,
                side,
                px_ticks,
                joined_ns: ts_ns,
                ahead_lots,
                ended_ns: NEVER,
                end: End::Open,
                fate_ns: NEVER,
                truth_ns: NEVER,
                truth_in_queue: false,
                models_ns: vec![NEVER; self.models.len()],
                models_in_queue: vec![false; self.models.len()],
                truth_ahead_lots: 0,
                models_ahead_lots: Vec::new(),
            },
            positions: self
                .models
                .iter()
                .map(|model| model.enter(ahead_lots))
                .collect(),
            expires_ns,
        };
        self.live.insert(number, live);
        self.by_px
            .insert((side == Side::Ask, Ladder::key(side, px_ticks), number));
        match order {
            Some(id) => _ = self.by_order.insert(id, number),
            None => _ = self.by_end.insert((expires_ns, number)),
        }
        number
    }

    fn end(&mut self, number: u64, ts_ns: i64, end: End) {
        let Some(place) = self.live.get(&number).map(|live| &live.ghost) else {
            return;
        };
        let ahead = self.queue.ahead(number, place.side, place.px_ticks);
        let Some(Live {
            mut ghost,
            positions,
            ..
        }) = self.leave(number)
        else {
            return;
        };
        let ahead = ahead.unwrap_or(0);
        ghost.truth_ahead_lots = if ghost.truth_ns == NEVER { ahead } else { 0 };
        let ahead = positions.iter().zip(&self.models).map(|(position, model)| {
            // Models count in units of their own.
            position.ahead.max(0.0) / model.enter(1).ahead
        });
        ghost.models_ahead_lots = ahead
            .zip(&ghost.models_ns)
            .map(|(lots, filled)| if *filled == NEVER { lots } else { 0.0 })
            .collect();
        (ghost.ended_ns, ghost.end) = (ts_ns, end);
        self.done.push(ghost);
    }

    /// Takes a ghost out of everything.
    fn leave(&mut self, number: u64) -> Option<Live> {
        let live = self.live.remove(&number)?;
        let (side, px_ticks) = (live.ghost.side, live.ghost.px_ticks);
        self.queue.leave(number, side, px_ticks);
        self.by_px
            .remove(&(side == Side::Ask, Ladder::key(side, px_ticks), number));
        self.by_end.remove(&(live.expires_ns, number));
        if let Some(id) = live.ghost.order {
            self.by_order.remove(&id);
        }
        Some(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind::{OrderAdd, OrderChange, OrderDelete, OrderRest, Trade};
    use crate::exchange::models::RiskAverseQueue;

    const BEGIN: i64 = 10;
    const LIFETIME: i64 = 100;

    fn row(ts: i64, kind: EventKind, id: u64, side: Side, px_ticks: i64, qty_lots: i64) -> Event {
        Event {
            ts_event_ns: ts,
            px_ticks,
            qty_lots,
            ..crate::event::tests::row(kind, side, px_ticks, qty_lots, id)
        }
    }

    fn bid(ts: i64, kind: EventKind, id: u64, qty_lots: i64) -> Event {
        row(ts, kind, id, Side::Bid, 99, qty_lots)
    }

    /// The ghosts of rows, in the order in which they joined.
    fn ghosts(plans: &[Plan], rows: &[Event]) -> Vec<Ghost> {
        let models: Vec<Box<dyn QueueModel>> = vec![Box::new(RiskAverseQueue)];
        let mut study = QueueStudy::new(models, BEGIN, LIFETIME, plans.to_vec());
        for row in rows {
            study.take(row);
        }
        let mut ghosts = study.finish();
        ghosts.sort_by_key(|ghost| (ghost.joined_ns, ghost.order));
        ghosts
    }

    fn times(ghost: &Ghost) -> (i64, i64, i64) {
        (ghost.fate_ns, ghost.truth_ns, ghost.models_ns[0])
    }

    #[test]
    fn a_ghost_shares_the_fate_of_the_order_behind_it() {
        // Order 1 is older than the study, order 2 is executed once 1 is, order 3 is withdrawn.
        let rows = [
            bid(5, OrderAdd, 1, 4),
            bid(10, OrderAdd, 2, 3),
            bid(11, OrderAdd, 3, 2),
            bid(20, OrderDelete, 1, 4),
            row(30, Trade, 0, Side::Ask, 99, 1),
            bid(30, OrderChange, 2, 2),
            bid(40, OrderDelete, 3, 2),
            row(60, Trade, 0, Side::Ask, 99, 2),
            bid(60, OrderDelete, 2, 0),
            bid(500, OrderAdd, 9, 1),
        ];
        let found = ghosts(&[], &rows);
        assert_eq!(found.len(), 3);
        let (second, third) = (&found[0], &found[1]);
        assert_eq!((second.order, second.ahead_lots), (Some(2), 4));
        // Risk-averse: 4 ahead, the level shrinks to 5 with the cancel; trades of 1 and 2 end short.
        assert_eq!(times(second), (30, 30, NEVER));
        assert_eq!((second.end, second.ended_ns), (End::Expired, 30 + LIFETIME));
        assert!(second.truth_in_queue);
        assert_eq!((third.order, third.ahead_lots), (Some(3), 7));
        assert_eq!(times(third), (NEVER, NEVER, NEVER));
        assert_eq!((third.end, third.ended_ns), (End::Withdrawn, 40));
        assert_eq!(third.truth_ahead_lots, 2);
        assert!(
            (third.models_ahead_lots[0] - 4.0).abs() < 1e-9,
            "at most the level"
        );
        assert_eq!(found[2].end, End::Open);
    }

    #[test]
    fn a_price_that_moves_fills_everybody() {
        let rows = [
            bid(5, OrderAdd, 1, 4),
            bid(10, OrderAdd, 2, 3),
            row(20, Trade, 0, Side::Ask, 98, 1),
            row(30, OrderAdd, 3, Side::Ask, 105, 1),
            row(30, OrderAdd, 4, Side::Ask, 104, 1),
            row(40, Trade, 0, Side::Bid, 106, 1),
        ];
        let found = ghosts(&[], &rows);
        for (ghost, ts_ns) in found.iter().zip([20, 40, 40]) {
            assert_eq!(times(ghost), (NEVER, ts_ns, ts_ns));
            assert!(!ghost.truth_in_queue && !ghost.models_in_queue[0]);
        }
    }

    #[test]
    fn planned_ghosts_join_a_level_and_stay_for_their_time() {
        let plan = |ts_ns, level| Plan {
            ts_ns,
            side: Side::Bid,
            level,
        };
        let rows = [
            bid(5, OrderAdd, 1, 4),
            row(6, OrderAdd, 2, Side::Bid, 98, 7),
            bid(50, OrderDelete, 1, 0),
            bid(300, OrderAdd, 3, 1),
        ];
        let found = ghosts(&[plan(20, 0), plan(20, 1), plan(21, 2)], &rows);
        let planned: Vec<_> = found.iter().filter(|ghost| ghost.order.is_none()).collect();
        let places: Vec<_> = planned.iter().map(|g| (g.px_ticks, g.ahead_lots)).collect();
        assert_eq!(places, [(99, 4), (98, 7)], "there is no third level");
        for ghost in planned {
            assert_eq!((ghost.end, ghost.ended_ns), (End::Expired, 20 + LIFETIME));
            assert_eq!(times(ghost), (NEVER, NEVER, NEVER), "what was ahead traded");
        }
    }

    #[test]
    fn takers_have_a_ghost_once_they_rest() {
        let rows = [
            row(5, OrderAdd, 1, Side::Ask, 99, 4),
            bid(10, OrderAdd, 2, 6),
            row(11, OrderDelete, 1, Side::Ask, 99, 0),
            bid(11, OrderChange, 2, 2),
            bid(12, OrderRest, 2, 0),
            bid(20, OrderDelete, 2, 0),
        ];
        let found = ghosts(&[], &rows);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].joined_ns, found[0].fate_ns), (12, 20));
        let shown: Vec<_> = executions(&rows)
            .iter()
            .map(|found| (found.row, found.side, found.qty_lots, found.ahead_lots))
            .collect();
        assert_eq!(shown, [(2, Side::Ask, 4, 0), (5, Side::Bid, 2, 0)]);
    }
}
