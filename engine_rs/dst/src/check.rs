//! What must be so after every step, whatever happened: a second, plain account of the run.

use std::collections::{BTreeMap, VecDeque};

use cobalt_core::event::SEQ_NONE;
use cobalt_core::kernel::{Kernel, Step, StreamKind};
use cobalt_core::money::Money;
use cobalt_core::order::{Order, Role, Status};
use cobalt_core::{Event, EventKind, Side};

use crate::market::Streams;
use crate::plan::{Plan, RATE_NS};

/// Most things under way at any time.
const UNDER_WAY_MAX: usize = 20_000;
/// Levels are compared this often, the best ones always.
const LEVELS_EVERY: u64 = 16;
const PX_TICKS_MAX: i64 = 1 << 60;

/// A book by its definition.
#[derive(Default)]
struct Book {
    messages: VecDeque<Vec<Event>>,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    seq: Option<u64>,
    trusted: bool,
}

/// What is known of an order.
#[derive(Clone, Copy)]
struct Known {
    status: Status,
    filled_lots: i64,
    /// Σ of the fills that were told.
    told_lots: i64,
}

/// The second account.
pub struct Checker {
    books: Vec<Book>,
    orders: BTreeMap<u64, Known>,
    positions: Vec<i64>,
    balances: BTreeMap<String, Money>,
    currencies: Vec<String>,
    newest: u64,
    sent_ns: VecDeque<i64>,
    orders_max: Option<(usize, usize)>,
    position_max: Option<i64>,
    steps: u64,
}

impl Checker {
    /// The account of a run before it begins.
    pub fn new(plan: &Plan, streams: &[Streams], kernel: &Kernel) -> Self {
        let depth = |streams: &Streams| {
            let found = streams.iter().find(|(kind, _)| *kind == StreamKind::Depth);
            found.map(|(_, messages)| messages.iter().cloned().collect())
        };
        let currencies = (0..plan.kinds.len())
            .map(|at| kernel.currency(kernel.ledger().currency(at)).to_owned());
        let wallets = kernel.wallets().iter();
        Self {
            books: streams
                .iter()
                .map(|one| Book {
                    messages: depth(one).unwrap_or_default(),
                    ..Book::default()
                })
                .collect(),
            orders: BTreeMap::new(),
            positions: vec![0; plan.kinds.len()],
            balances: wallets
                .map(|one| (one.currency.clone(), one.initial))
                .collect(),
            currencies: currencies.collect(),
            newest: 0,
            sent_ns: VecDeque::new(),
            orders_max: plan.orders_max,
            position_max: plan.position_max,
            steps: 0,
        }
    }

    /// Holds a step, and the kernel after the strategies acted on it, against what must be.
    pub fn check(&mut self, kernel: &Kernel, step: &Step) -> Result<(), String> {
        self.steps += 1;
        match step {
            Step::Order(order) => self.on_order(order)?,
            Step::Fill(fill) => {
                let at = usize::from(fill.instrument);
                self.positions[at] += fill.side.signed(fill.qty_lots);
                same(
                    "position after a fill",
                    self.positions[at],
                    fill.position_lots,
                )?;
                let order = self
                    .orders
                    .get_mut(&fill.order)
                    .ok_or("a fill of no order")?;
                order.told_lots += fill.qty_lots;
                if order.told_lots > order.filled_lots {
                    return Err(format!(
                        "order {}: more was filled than it says",
                        fill.order
                    ));
                }
                self.book(at, fill.realized - fill.fee);
            }
            Step::Funding(told) => self.book(usize::from(told.instrument), told.amount),
            Step::Liquidation(told) => {
                self.book(usize::from(told.instrument), told.insurance - told.fee);
            }
            _ => {}
        }
        self.check_books(kernel, step)?;
        self.check_limits(kernel)?;
        let under_way = kernel.under_way();
        if under_way > UNDER_WAY_MAX {
            return Err(format!("{under_way} things are under way"));
        }
        Ok(())
    }

    /// What must be so when nothing has gone wrong for a while and the data has ended.
    pub fn check_end(&mut self, kernel: &Kernel) -> Result<(), String> {
        for wallet in kernel.wallets() {
            let expected = self.balances.get(&wallet.currency).copied();
            same(&wallet.currency, expected, Some(wallet.balance))?;
        }
        for (at, market) in kernel.markets.iter().enumerate() {
            let ours = kernel.ledger().account(at).position().qty_lots;
            same("position by the fills told", self.positions[at], ours)?;
            same(
                "position at the venue",
                market.position_at_exchange_lots(),
                ours,
            )?;
            if !market.book.is_trusted() {
                return Err(format!("the book of {at} never came back"));
            }
        }
        let live = kernel.live_orders().count();
        same("live orders at the end", 0, live)?;
        let open = |order: &&Known| order.told_lots != order.filled_lots;
        same(
            "orders whose fills do not add up",
            0,
            self.orders.values().filter(open).count(),
        )
    }

    fn book(&mut self, instrument: usize, amount: Money) {
        let currency = &self.currencies[instrument];
        if let Some(balance) = self.balances.get_mut(currency) {
            *balance += amount;
        }
    }

    fn on_order(&mut self, order: &Order) -> Result<(), String> {
        let known = self.orders.get(&order.id).copied();
        let before = known.map_or(Status::Submitted, |known| known.status);
        if !may_follow(before, order) {
            return Err(format!(
                "order {}: {:?} after {before:?}",
                order.id, order.status
            ));
        }
        let filled = known.map_or(0, |known| known.filled_lots);
        if order.filled_lots < filled || order.filled_lots > order.request.qty_lots {
            return Err(format!(
                "order {}: {} lots filled",
                order.id, order.filled_lots
            ));
        }
        self.orders.insert(
            order.id,
            Known {
                status: order.status,
                filled_lots: order.filled_lots,
                told_lots: known.map_or(0, |known| known.told_lots),
            },
        );
        Ok(())
    }

    fn check_books(&mut self, kernel: &Kernel, step: &Step) -> Result<(), String> {
        let now_ns = kernel.now_ns();
        let thorough = self.steps.is_multiple_of(LEVELS_EVERY);
        for (at, book) in self.books.iter_mut().enumerate() {
            let is_tied = book.advance(now_ns);
            let found = &kernel.markets[at].book;
            if let (Some(bid), Some(ask)) = (found.best_bid_px(), found.best_ask_px())
                && found.is_trusted()
                && bid >= ask
            {
                return Err(format!("the trusted book of {at} is crossed: {bid}, {ask}"));
            }
            if is_tied || matches!(step, Step::Start) {
                continue;
            }
            same(
                "whether a book is trusted",
                book.trusted,
                found.is_trusted(),
            )?;
            if !book.trusted {
                continue;
            }
            same(
                "best bid",
                book.bids.keys().next_back().copied(),
                found.best_bid_px(),
            )?;
            same(
                "best ask",
                book.asks.keys().next().copied(),
                found.best_ask_px(),
            )?;
            if thorough {
                let bids = book.bids.iter().rev().map(|(px, qty)| (*px, *qty));
                let asks = book.asks.iter().map(|(px, qty)| (*px, *qty));
                if !bids.eq(found.levels(Side::Bid)) || !asks.eq(found.levels(Side::Ask)) {
                    return Err(format!("the levels of {at} differ"));
                }
            }
        }
        Ok(())
    }

    fn check_limits(&mut self, kernel: &Kernel) -> Result<(), String> {
        let now_ns = kernel.now_ns();
        let before = self.newest;
        let mut open = vec![0; self.positions.len()];
        for order in kernel.live_orders() {
            open[usize::from(order.request.instrument)] += 1;
            if order.id > before {
                self.newest = self.newest.max(order.id);
                self.sent_ns.push_back(order.ts_submit_ns);
            }
        }
        while self
            .sent_ns
            .front()
            .is_some_and(|sent| *sent <= now_ns - RATE_NS)
        {
            self.sent_ns.pop_front();
        }
        if kernel.killed().is_some() {
            // What closes positions then passes every limit.
            return Ok(());
        }
        if let Some((open_max, rate_max)) = self.orders_max {
            if let Some(most) = open.iter().find(|open| **open > open_max) {
                return Err(format!("{most} live orders, {open_max} at most"));
            }
            let sent = self.sent_ns.len();
            if sent > rate_max {
                return Err(format!("{sent} orders in 100 ms, {rate_max} at most"));
            }
        }
        if let Some(most) = self.position_max {
            for (at, market) in kernel.markets.iter().enumerate() {
                let held = market.position_at_exchange_lots();
                if held.abs() > most {
                    return Err(format!("a position of {held} in {at}, {most} at most"));
                }
            }
        }
        Ok(())
    }
}

impl Book {
    /// Takes what has been received by now; whether something is received at this very time, which
    /// may have happened or be about to.
    fn advance(&mut self, now_ns: i64) -> bool {
        while let Some(message) = self.messages.front() {
            match message[0].ts_recv_ns {
                recv if recv < now_ns => {
                    let message = self.messages.pop_front().unwrap_or_default();
                    self.apply(&message);
                }
                recv => return recv == now_ns,
            }
        }
        false
    }

    fn apply(&mut self, rows: &[Event]) {
        let head = &rows[0];
        if head.kind == EventKind::Snapshot as u8 {
            self.bids.clear();
            self.asks.clear();
            self.trusted = true;
        } else {
            let Some(seq) = self.seq else {
                return;
            };
            if head.seq <= seq {
                return;
            }
            if head.prev_seq != SEQ_NONE && head.prev_seq > seq {
                self.trusted = false;
            }
        }
        self.seq = Some(head.seq);
        for row in rows {
            if row.qty_lots < 0 || row.px_ticks.abs() > PX_TICKS_MAX {
                self.trusted = false;
                continue;
            }
            let side = match Side::from_u8(row.side) {
                Some(Side::Bid) => &mut self.bids,
                Some(Side::Ask) => &mut self.asks,
                _ => continue,
            };
            if row.qty_lots == 0 {
                side.remove(&row.px_ticks);
            } else {
                side.insert(row.px_ticks, row.qty_lots);
            }
        }
        let bid = self.bids.keys().next_back();
        let ask = self.asks.keys().next();
        if bid.zip(ask).is_some_and(|(bid, ask)| bid >= ask) {
            self.trusted = false;
        }
    }
}

/// The life of an order, as `docs/exchange.md` has it.
fn may_follow(before: Status, order: &Order) -> bool {
    use Status::{
        Canceled, Expired, Filled, Open, PartiallyFilled, Rejected, Submitted, Untriggered,
    };
    let ends = matches!(order.status, Canceled | Expired);
    let is_exit = order
        .request
        .link
        .is_some_and(|link| link.role == Role::Exit);
    ends && !before.is_done()
        || match before {
            Submitted => true,
            Untriggered => matches!(order.status, Untriggered | Open),
            Open | PartiallyFilled => match order.status {
                Open => before == Open || is_exit,
                PartiallyFilled | Filled => true,
                // An exit that has nothing to close waits again.
                Untriggered => is_exit,
                _ => false,
            },
            Filled | Canceled | Expired | Rejected => false,
        }
}

#[allow(clippy::needless_pass_by_value, reason = "numbers, most of them")]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, found {found:?}"))
    }
}
