//! Our place among single orders, held against a naive matching in which our order really stands.

use cobalt_core::event::{Event, EventKind, Side};
use cobalt_core::exchange::L3Queue;
use proptest::prelude::*;

/// What happens at the venue; prices are counted so that a higher one is the better bid.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A new order: whether it sells, price, lots.
    New(bool, i64, i64),
    /// The owner of the order with this number takes it back.
    Cancel(usize),
    /// The owner of the order with this number makes it a lot smaller.
    Amend(usize),
    /// Our bid joins at this price.
    Join(i64),
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    number: usize,
    sells: bool,
    px: i64,
    qty: i64,
}

/// A match: number of the resting order, its price, lots, what is left of it.
type Match = (usize, i64, i64, i64);

/// The number of our own order.
const OURS: usize = usize::MAX;
const OURS_QTY: i64 = 3;

/// Price-time matching by looking at all orders; they stand in the order of arrival.
#[derive(Clone, Default)]
struct Naive {
    orders: Vec<Resting>,
}

impl Naive {
    /// Matches a new order and rests what is left.
    fn new_order(&mut self, number: usize, sells: bool, px: i64, mut qty: i64) -> Vec<Match> {
        let mut matches = Vec::new();
        while qty > 0 {
            let better = |order: &Resting| if sells { order.px } else { -order.px };
            let others = self.orders.iter_mut().filter(|order| order.sells != sells);
            let reachable = others.filter(|order| {
                if sells {
                    order.px >= px
                } else {
                    order.px <= px
                }
            });
            // The first of the best: later ones replace an earlier one only if they are better.
            let best = reachable.reduce(|a, b| if better(b) > better(a) { b } else { a });
            let Some(maker) = best else {
                break;
            };
            let lots = maker.qty.min(qty);
            maker.qty -= lots;
            qty -= lots;
            matches.push((maker.number, maker.px, lots, maker.qty));
            self.orders.retain(|order| order.qty > 0);
        }
        if qty > 0 {
            self.orders.push(Resting {
                number,
                sells,
                px,
                qty,
            });
        }
        matches
    }

    fn find(&self, number: usize) -> Option<Resting> {
        let mut orders = self.orders.iter();
        orders.find(|order| order.number == number).copied()
    }

    fn remove(&mut self, number: usize) -> Option<Resting> {
        let found = self.find(number);
        self.orders.retain(|order| order.number != number);
        found
    }

    fn shrink(&mut self, number: usize) -> Option<Resting> {
        let order = self
            .orders
            .iter_mut()
            .find(|order| order.number == number)?;
        (order.qty > 1).then(|| {
            order.qty -= 1;
            *order
        })
    }

    fn best_ask(&self) -> Option<i64> {
        let asks = self.orders.iter().filter(|order| order.sells);
        asks.map(|order| order.px).min()
    }
}

/// In which order, and whether, a feed tells of a match.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a manner of its own")]
struct Manner {
    trades_first: bool,
    by_match: bool,
    with_trades: bool,
    /// Of orders behind ours only trades tell that they were executed.
    hides_behind: bool,
    /// The taker is told before it takes.
    announced: bool,
    /// Asks for bids.
    mirrored: bool,
}

fn manners() -> Vec<Manner> {
    (0..64)
        .map(|bits: u8| Manner {
            trades_first: bits & 1 != 0,
            by_match: bits & 2 != 0,
            with_trades: bits & 4 != 0,
            announced: bits & 8 != 0,
            mirrored: bits & 16 != 0,
            hides_behind: bits & 32 != 0,
        })
        .filter(|manner| {
            let of_trades = manner.trades_first || manner.by_match || manner.hides_behind;
            manner.with_trades || !of_trades
        })
        .collect()
}

/// The queue under test, fed by what the venue would have published.
struct Fed {
    queue: L3Queue,
    /// The venue's id of the order with number 0; ids are never used twice.
    first_id: u64,
    reached: Vec<(u64, i64)>,
    /// Our price and the number of the first order behind ours.
    ours: Option<(i64, usize)>,
    hidden: Vec<Resting>,
}

const OUR_ID: u64 = 7;

impl Fed {
    fn new() -> Self {
        Self {
            queue: L3Queue::default(),
            first_id: 1,
            reached: Vec::new(),
            ours: None,
            hidden: Vec::new(),
        }
    }

    fn order(&mut self, kind: EventKind, order: Resting, manner: Manner) {
        let row = Event {
            kind: kind as u8,
            seq: self.first_id + order.number as u64,
            side: side(order.sells, manner) as u8,
            px_ticks: px(order.px, manner),
            qty_lots: order.qty,
            ..Event::default()
        };
        self.queue.on_order(&row, &mut self.reached);
    }

    fn trade(&mut self, taker_sells: bool, (_, at, lots, _): Match, manner: Manner) {
        let side = side(!taker_sells, manner);
        self.queue
            .on_trade(side, px(at, manner), lots, &mut self.reached);
    }

    /// What the feed tells of a new order.
    fn new_order(&mut self, order: Resting, left: i64, matches: &[Match], manner: Manner) {
        if manner.announced {
            self.order(EventKind::OrderAdd, order, manner);
        }
        let executed = |fed: &mut Self, &(number, px, _, qty): &Match| {
            let kind = if qty == 0 {
                EventKind::OrderDelete
            } else {
                EventKind::OrderChange
            };
            let maker = Resting {
                number,
                sells: !order.sells,
                px,
                qty,
            };
            let behind = fed
                .ours
                .is_some_and(|(at, first)| at == px && number >= first);
            if manner.hides_behind && behind {
                fed.hidden.push(maker);
            } else {
                fed.order(kind, maker, manner);
            }
        };
        let groups: Vec<&[Match]> = if manner.by_match {
            matches.chunks(1).collect()
        } else {
            vec![matches]
        };
        for group in groups {
            let trades = if manner.with_trades { group } else { &[] };
            let (first, last) = if manner.trades_first {
                (trades, &[][..])
            } else {
                (&[][..], trades)
            };
            for item in first {
                self.trade(order.sells, *item, manner);
            }
            for item in group {
                executed(self, item);
            }
            for item in last {
                self.trade(order.sells, *item, manner);
            }
        }
        let rest = Resting { qty: left, ..order };
        if !manner.announced {
            if left > 0 {
                self.order(EventKind::OrderAdd, rest, manner);
            }
        } else if left == 0 {
            self.order(EventKind::OrderDelete, rest, manner);
        } else if !matches.is_empty() {
            self.order(EventKind::OrderChange, rest, manner);
            self.order(EventKind::OrderRest, rest, manner);
        }
    }

    fn take(&mut self) -> i64 {
        self.reached.drain(..).map(|(_, lots)| lots).sum()
    }
}

fn side(sells: bool, manner: Manner) -> Side {
    if sells == manner.mirrored {
        Side::Bid
    } else {
        Side::Ask
    }
}

fn px(px: i64, manner: Manner) -> i64 {
    if manner.mirrored { -px } else { px }
}

/// Lots that our order got by each step, at most what it asks for: from the queue under test and
/// from the matching in which it stands. Stops after the first step in which an order of the venue
/// comes to rest at our price, on the other side, because ours was not there: from then on the two
/// venues are different ones.
fn replay(fed: &mut Fed, ops: &[Op], manner: Manner) -> (Vec<i64>, Vec<i64>) {
    let (mut published, mut real) = (Naive::default(), Naive::default());
    let (mut modelled, mut matched) = (Vec::new(), Vec::new());
    let mut our_px = None;
    let mut is_done = false;
    for (number, &op) in ops.iter().enumerate() {
        let (mut reached, mut got) = (0, 0);
        match op {
            Op::New(sells, at, qty) => {
                let fills = published.new_order(number, sells, at, qty);
                let rested = published.find(number).map_or(0, |order| order.qty);
                let order = Resting {
                    number,
                    sells,
                    px: at,
                    qty,
                };
                fed.new_order(order, rested, &fills, manner);
                reached += fed.take();
                if let Some(ours) = our_px.filter(|_| sells) {
                    // The exchange's part: trades through our price, and orders that reach it.
                    let through = fills.iter().filter(|item| item.1 < ours);
                    reached += through.map(|item| item.2).sum::<i64>();
                    if at <= ours && rested > 0 {
                        reached += rested;
                        is_done = true;
                    }
                }
                let fills = real.new_order(number, sells, at, qty);
                let ours = fills.iter().filter(|item| item.0 == OURS);
                got += ours.map(|item| item.2).sum::<i64>();
            }
            Op::Cancel(which) => {
                if let Some(order) = published.remove(which) {
                    fed.order(EventKind::OrderDelete, order, manner);
                }
                real.remove(which);
            }
            Op::Amend(which) => {
                if let Some(order) = published.shrink(which) {
                    fed.order(EventKind::OrderAmend, order, manner);
                }
                real.shrink(which);
            }
            Op::Join(at) => {
                our_px = Some(at);
                fed.ours = Some((at, number));
                fed.queue.join(OUR_ID, side(false, manner), px(at, manner));
                real.new_order(OURS, false, at, OURS_QTY);
            }
        }
        reached += fed.take();
        let so_far: i64 = modelled.iter().sum();
        modelled.push(reached.min(OURS_QTY - so_far));
        matched.push(got);
        if is_done {
            break;
        }
    }
    if let Some(at) = our_px {
        fed.queue.leave(OUR_ID, side(false, manner), px(at, manner));
    }
    let hidden = std::mem::take(&mut fed.hidden);
    for order in published.orders.into_iter().chain(hidden) {
        fed.order(EventKind::OrderDelete, order, manner);
    }
    fed.take();
    fed.ours = None;
    fed.first_id += ops.len() as u64;
    (modelled, matched)
}

/// All that can happen next where `ops` happened; ours joins once, where it does not cross.
fn next_ops(ops: &[Op], venue: &Naive) -> Vec<Op> {
    let mut next = Vec::new();
    for px in [0, 1] {
        next.extend([1, 2].map(|qty| Op::New(false, px, qty)));
        next.extend([1, 3].map(|qty| Op::New(true, px, qty)));
        let is_joined = ops.iter().any(|op| matches!(op, Op::Join(_)));
        if !is_joined && venue.best_ask().is_none_or(|ask| ask > px) {
            next.push(Op::Join(px));
        }
    }
    for order in &venue.orders {
        next.push(Op::Cancel(order.number));
        if order.qty > 1 {
            next.push(Op::Amend(order.number));
        }
    }
    next
}

fn visit(ops: &mut Vec<Op>, venue: &Naive, depth: usize, check: &mut impl FnMut(&[Op])) {
    if depth == 0 {
        if ops.iter().any(|op| matches!(op, Op::Join(_))) {
            check(ops);
        }
        return;
    }
    for op in next_ops(ops, venue) {
        let mut after = venue.clone();
        let number = ops.len();
        match op {
            Op::New(sells, px, qty) => _ = after.new_order(number, sells, px, qty),
            Op::Cancel(which) => _ = after.remove(which),
            Op::Amend(which) => _ = after.shrink(which),
            Op::Join(_) => {}
        }
        ops.push(op);
        visit(ops, &after, depth - 1, check);
        ops.pop();
    }
}

/// Every sequence of five things that can happen, told in every manner.
#[test]
fn equals_the_matching_in_which_our_order_stands() {
    let manners = manners();
    let mut fed = Fed::new();
    let (mut sequences, mut with_fills) = (0, 0);
    visit(&mut Vec::new(), &Naive::default(), 5, &mut |ops| {
        sequences += 1;
        for &manner in &manners {
            let (modelled, matched) = replay(&mut fed, ops, manner);
            assert_eq!(modelled, matched, "{ops:?} {manner:?}");
            with_fills += u32::from(matched.iter().sum::<i64>() > 0);
        }
    });
    assert!(fed.queue.book().is_empty());
    println!(
        "{sequences} sequences, {with_fills} fills in {} manners",
        manners.len()
    );
}

proptest! {
    /// Longer stories, drawn at random.
    #[test]
    fn equals_it_in_long_stories(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        manner in prop::sample::select(manners()),
    ) {
        let mut venue = Naive::default();
        let mut ops = Vec::new();
        for choice in choices {
            let next = next_ops(&ops, &venue);
            let op = next[choice.index(next.len())];
            match op {
                Op::New(sells, px, qty) => _ = venue.new_order(ops.len(), sells, px, qty),
                Op::Cancel(which) => _ = venue.remove(which),
                Op::Amend(which) => _ = venue.shrink(which),
                Op::Join(_) => {}
            }
            ops.push(op);
        }
        let (modelled, matched) = replay(&mut Fed::new(), &ops, manner);
        prop_assert_eq!(modelled, matched);
    }
}

proptest! {
    /// Whatever comes in whatever order: what stands ahead of ours is what of the level came before.
    #[test]
    fn lots_ahead_are_those_that_came_before(
        before in prop::collection::vec(rows(), 0..60),
        after in prop::collection::vec((rows(), 0i64..3), 0..120),
        is_ask in any::<bool>(),
        px in 98i64..103,
    ) {
        let side = if is_ask { Side::Ask } else { Side::Bid };
        let mut queue = L3Queue::default();
        let mut reached = Vec::new();
        for row in &before {
            queue.on_order(row, &mut reached);
        }
        // Orders that come later have higher tickets than all that rest now.
        let resting = (0..24).filter_map(|id| queue.book().ticket(id)).max();
        let mut last = resting.unwrap_or(0);
        queue.join(OUR_ID, side, px);
        for (row, traded) in &after {
            queue.on_order(row, &mut reached);
            queue.on_trade(side, px, *traded, &mut reached);
            if row.kind == EventKind::OrderClear as u8 {
                last = u64::MAX;
            }
            let book = queue.book();
            let older = book.queue(side, px).filter(|order| book.ticket(order.id) <= Some(last));
            let lots = book.unnamed(side, px) + older.map(|order| order.qty_lots).sum::<i64>();
            prop_assert_eq!(queue.ahead(OUR_ID, side, px), Some(lots));
            prop_assert!(reached.iter().all(|item| item.0 == OUR_ID && item.1 > 0));
        }
    }
}

fn rows() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        1 => Just(EventKind::OrderClear as u8),
        60 => (EventKind::OrderAdd as u8)..=(EventKind::OrderAmend as u8),
    ];
    let row = (kind, 0u64..24, any::<bool>(), 98i64..103, -1i64..6);
    row.prop_map(|(kind, seq, is_ask, px_ticks, qty_lots)| Event {
        kind,
        seq,
        side: if is_ask { Side::Ask } else { Side::Bid } as u8,
        px_ticks,
        qty_lots,
        ..Event::default()
    })
}

/// A row about an order of the venue: a bid at price 100 unless changed.
fn row(kind: EventKind, id: u64, qty_lots: i64) -> Event {
    Event {
        kind: kind as u8,
        seq: id,
        side: Side::Bid as u8,
        px_ticks: 100,
        qty_lots,
        ..Event::default()
    }
}

/// Which of our orders rows reach, and by how many lots.
fn told(queue: &mut L3Queue, rows: &[Event]) -> Vec<(u64, i64)> {
    let mut reached = Vec::new();
    for row in rows {
        queue.on_order(row, &mut reached);
    }
    reached
}

#[test]
fn each_of_our_orders_has_a_place_of_its_own() {
    use EventKind::{OrderAdd, OrderChange, OrderDelete};
    let mut queue = L3Queue::default();
    told(&mut queue, &[row(OrderAdd, 1, 5)]);
    queue.join(1, Side::Bid, 100);
    told(&mut queue, &[row(OrderAdd, 2, 3)]);
    queue.join(2, Side::Bid, 100);
    queue.join(3, Side::Bid, 99);
    told(&mut queue, &[row(OrderAdd, 3, 4)]);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(5));
    assert_eq!(queue.ahead(2, Side::Bid, 100), Some(8));
    assert_eq!(queue.ahead(3, Side::Bid, 99), Some(0));
    assert_eq!(queue.ahead(1, Side::Ask, 100), None);
    assert_eq!(told(&mut queue, &[row(OrderDelete, 1, 0)]), []);
    assert_eq!(told(&mut queue, &[row(OrderChange, 2, 1)]), [(1, 2)]);
    let rest = [row(OrderDelete, 2, 0), row(OrderDelete, 3, 1)];
    assert_eq!(told(&mut queue, &rest), [(1, 1), (1, 3), (2, 3)]);
    assert!(queue.leave(1, Side::Bid, 100) && !queue.leave(1, Side::Bid, 100));
}

#[test]
fn lots_without_an_id_stand_ahead_and_explain_a_trade() {
    use EventKind::{OrderAdd, OrderChange, OrderUnnamed};
    let mut queue = L3Queue::default();
    told(&mut queue, &[row(OrderUnnamed, 0, 6), row(OrderAdd, 1, 2)]);
    queue.join(1, Side::Bid, 100);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(8));
    // One of them gets a name: a change of an unknown order, then its size off the level's.
    told(&mut queue, &[row(OrderChange, 9, 4)]);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(12));
    told(&mut queue, &[row(OrderUnnamed, 0, 2)]);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(8));
    // The trade with the rest of them is told before and after the level shows it.
    let mut reached = Vec::new();
    queue.on_trade(Side::Bid, 100, 1, &mut reached);
    told(&mut queue, &[row(OrderUnnamed, 0, 0)]);
    queue.on_trade(Side::Bid, 100, 1, &mut reached);
    assert_eq!((reached, queue.ahead(1, Side::Bid, 100)), (vec![], Some(6)));
}

#[test]
fn an_order_that_loses_its_place_goes_behind_ours() {
    use EventKind::{OrderAdd, OrderChange};
    let mut queue = L3Queue::default();
    told(&mut queue, &[row(OrderAdd, 1, 5), row(OrderAdd, 2, 5)]);
    queue.join(1, Side::Bid, 100);
    told(&mut queue, &[row(OrderChange, 1, 6)]);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(5));
    let moved = Event {
        px_ticks: 99,
        ..row(OrderChange, 2, 3)
    };
    assert_eq!(
        told(&mut queue, &[moved]),
        [],
        "a new price is no execution"
    );
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(0));
    assert_eq!(told(&mut queue, &[row(OrderChange, 1, 4)]), [(1, 2)]);
}

#[test]
fn where_the_book_begins_anew_ours_are_last() {
    use EventKind::{OrderAdd, OrderClear, OrderDelete};
    let mut queue = L3Queue::default();
    queue.join(1, Side::Bid, 100);
    let begin = [
        row(OrderClear, 0, 0),
        row(OrderAdd, 1, 5),
        row(OrderAdd, 2, 5),
    ];
    assert_eq!(told(&mut queue, &begin), []);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(10));
    queue.join(2, Side::Bid, 100);
    let rows = [
        row(OrderAdd, 3, 1),
        row(OrderDelete, 1, 0),
        row(OrderDelete, 2, 0),
    ];
    assert_eq!(told(&mut queue, &rows), []);
    assert_eq!(queue.ahead(1, Side::Bid, 100), Some(1));
    assert_eq!(queue.ahead(2, Side::Bid, 100), Some(0));
    assert_eq!(told(&mut queue, &[row(OrderDelete, 3, 0)]), [(2, 1)]);
}

#[test]
fn remains_that_an_order_rests_over_are_no_longer_ahead() {
    use EventKind::{OrderAdd, OrderRestOver};
    let mut queue = L3Queue::default();
    told(&mut queue, &[row(OrderAdd, 1, 5)]);
    queue.join(1, Side::Bid, 100);
    let mut reached = Vec::new();
    queue.on_trade(Side::Bid, 100, 5, &mut reached);
    let ask = Event {
        side: Side::Ask as u8,
        ..row(OrderAdd, 2, 7)
    };
    told(&mut queue, &[ask]);
    let over = Event {
        kind: OrderRestOver as u8,
        ..ask
    };
    assert_eq!(told(&mut queue, &[over]), []);
    assert_eq!((reached, queue.ahead(1, Side::Bid, 100)), (vec![], Some(0)));
    assert_eq!(queue.book().best(Side::Ask), Some((100, 7, 1)));
}
