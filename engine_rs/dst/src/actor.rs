//! Strategies: several, each of another temper, drawn from the seed.

use cobalt_core::Side;
use cobalt_core::cob::Group;
use cobalt_core::kernel::{Kernel, Step};
use cobalt_core::order::{
    Change, NewOrder, OrderKind, Role, TimeInForce, Trail, Trigger, TriggerBy, TriggerKind,
};
use cobalt_core::random::Random;
use cobalt_core::risk::Cause;

use crate::plan::{Draw, Plan, other};

const MS: i64 = 1_000_000;

/// One strategy.
pub struct Actor {
    random: Random,
    /// How often it acts when it is called.
    zeal: f64,
    /// How often what it gives is a list, and how often a change.
    lists: f64,
    changes: f64,
    kills: bool,
    reduces: bool,
    looks: bool,
    markets: usize,
    quiet_from_ns: i64,
}

impl Actor {
    /// The strategies of a seed.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let count = 1 + plan.random(600).below(3);
        (0..count).map(|at| Self::new(plan, 601 + at)).collect()
    }

    fn new(plan: &Plan, purpose: u64) -> Self {
        let mut random = plan.random(purpose);
        Self {
            zeal: [0.02, 0.1, 0.4][usize::try_from(random.below(3)).unwrap_or(0)],
            lists: if plan.has("lists") { 0.15 } else { 0.0 },
            changes: if plan.has("modifies") { 0.5 } else { 0.0 },
            kills: plan.has("kill") && random.chance(0.1),
            // A reduce-only order may use up a position that others counted on (docs/risk.md).
            reduces: plan.position_max.is_none(),
            looks: random.chance(0.5),
            markets: plan.kinds.len(),
            quiet_from_ns: plan.quiet_from_ns(),
            random,
        }
    }

    /// The first of all steps: what it wants to be shown.
    pub fn start(&mut self, kernel: &mut Kernel) -> cobalt_core::Result<()> {
        for market in 0..self.markets {
            let every = self.random.of(&[None, Some(50 * MS), Some(170 * MS)]);
            kernel.subscribe_book(market, every)?;
            kernel.subscribe_trades(market);
            if self.looks {
                let chart = kernel.add_chart(market, 1_000 * MS)?;
                kernel.subscribe_bars(market, chart);
                kernel.subscribe_pivots(market, chart, 2, 2)?;
                kernel.subscribe_sweeps(market, 1)?;
                kernel.keep_ticks(market);
            }
        }
        if self.looks && self.markets > 1 {
            let cob = kernel.add_cob(Group {
                name: format!("all {}", self.random.below(1_000)),
                members: (0..self.markets.min(2))
                    .map(|market| (market, 1.0))
                    .collect(),
                size: cobalt_core::decimal::Step::parse("1").expect("a plain step"),
                stale_ns: 900 * MS,
            });
            // A group of contracts that have no unit in common is refused.
            if let Ok(cob) = cob {
                kernel.subscribe_cob(cob, Some(100 * MS))?;
            }
        }
        let every = self.random.of(&[13 * MS, 37 * MS, 110 * MS]);
        kernel.set_timer(kernel.now_ns() + every, Some(every))?;
        Ok(())
    }

    /// Does something, or nothing.
    pub fn act(&mut self, kernel: &mut Kernel, step: &Step) {
        if kernel.now_ns() >= self.quiet_from_ns {
            if matches!(step, Step::Timer(_)) {
                (0..self.markets).for_each(|market| {
                    kernel.cancel_all(market);
                });
            }
            return;
        }
        // What has ended by itself is no reason to give another, or they would never end.
        let is_over = matches!(step, Step::Order(order) if order.status.is_done());
        if is_over || !self.random.chance(self.zeal) {
            return;
        }
        let market = usize::try_from(self.random.below(self.markets as u64)).unwrap_or(0);
        let live: Vec<u64> = kernel.live_orders().map(|order| order.id).collect();
        let drawn = self.random.uniform();
        if !live.is_empty() && drawn < self.changes {
            let id = self.random.of(&live);
            self.change(kernel, id);
        } else if drawn < self.changes + 0.03 {
            kernel.cancel_all(market);
        } else if self.kills && self.random.chance(0.002) {
            let flattens = self.random.chance(0.5);
            kernel.kill(Cause::Strategy, "enough", flattens);
        } else if self.random.chance(self.lists) {
            self.list(kernel, market);
        } else {
            let order = self.order(kernel, market);
            let name = format!("{}", self.random.below(400));
            let name = self.random.chance(0.1).then_some(name);
            kernel.submit_named(order, name.as_deref(), None);
        }
    }

    fn touch(kernel: &Kernel, market: usize) -> (i64, i64) {
        let book = &kernel.markets[market].book;
        let (bid, ask) = (book.best_bid_px(), book.best_ask_px());
        (bid.unwrap_or(999), ask.unwrap_or(1_001))
    }

    fn lots(&mut self, kernel: &Kernel, market: usize) -> i64 {
        let one = kernel.markets[market].instrument.lot.to_f64();
        let most = if one >= 1.0 { 40 } else { 4_000 };
        self.random.between(1, most)
    }

    fn order(&mut self, kernel: &Kernel, market: usize) -> NewOrder {
        let (bid, ask) = Self::touch(kernel, market);
        let side = self.random.of(&[Side::Bid, Side::Ask]);
        let (near, sign) = if side == Side::Bid {
            (bid, 1)
        } else {
            (ask, -1)
        };
        let px = (near + sign * self.random.between(-6, 4)).max(1);
        let lots = self.lots(kernel, market);
        let instrument = u16::try_from(market).unwrap_or(0);
        let mut order = NewOrder::limit(instrument, side, px, lots);
        match self.random.below(10) {
            0 | 1 => {
                order.kind = OrderKind::Market;
                order.px_ticks = 0;
            }
            2 => order.post_only = true,
            3 => order.tif = self.random.of(&[TimeInForce::Ioc, TimeInForce::Fok]),
            4 => {
                order.tif = TimeInForce::Gtd;
                order.expire_ns = Some(kernel.now_ns() + self.random.between(-5, 900) * MS);
            }
            5 => order.display_lots = Some(self.random.between(1, lots)),
            6 | 7 => {
                let kinds = [
                    TriggerKind::Stop,
                    TriggerKind::TakeProfit,
                    TriggerKind::Trailing(Trail::Ticks(self.random.between(1, 9))),
                ];
                let kind = self.random.of(&kinds);
                let by = self
                    .random
                    .of(&[TriggerBy::Last, TriggerBy::BidAsk, TriggerBy::Mark]);
                let trails = matches!(kind, TriggerKind::Trailing(_));
                if trails || self.random.chance(0.5) {
                    order.kind = OrderKind::Market;
                    order.px_ticks = 0;
                }
                let px_ticks = (near + self.random.between(-9, 9)).max(1);
                order.trigger = Some(Trigger { kind, by, px_ticks });
            }
            _ => {}
        }
        order.reduce_only = self.reduces && self.random.chance(0.15);
        order
    }

    fn list(&mut self, kernel: &mut Kernel, market: usize) {
        let (bid, ask) = Self::touch(kernel, market);
        let side = self.random.of(&[Side::Bid, Side::Ask]);
        let lots = self.lots(kernel, market);
        let instrument = u16::try_from(market).unwrap_or(0);
        let stop = |side: Side, px_ticks: i64| NewOrder {
            trigger: Some(Trigger {
                kind: TriggerKind::Stop,
                by: TriggerBy::Last,
                px_ticks: px_ticks.max(1),
            }),
            ..NewOrder::market(instrument, side, lots)
        };
        let (near, far) = if side == Side::Bid {
            (bid, ask)
        } else {
            (ask, bid)
        };
        let away = self.random.between(1, 8) * if side == Side::Bid { 1 } else { -1 };
        let limit = NewOrder::limit(instrument, side, (near - away).max(1), lots);
        let orders = if self.random.chance(0.5) {
            vec![(limit, Role::Oco), (stop(side, far + away), Role::Oco)]
        } else {
            let close = other(side);
            let take = NewOrder {
                reduce_only: true,
                ..NewOrder::limit(instrument, close, (far + 2 * away).max(1), lots)
            };
            let cut = NewOrder {
                reduce_only: true,
                ..stop(close, near - 2 * away)
            };
            let entry = if self.random.chance(0.5) {
                limit
            } else {
                NewOrder::market(instrument, side, lots)
            };
            vec![(entry, Role::Entry), (take, Role::Exit), (cut, Role::Exit)]
        };
        kernel.submit_list(&orders, None);
    }

    fn change(&mut self, kernel: &mut Kernel, id: u64) {
        if self.random.chance(0.4) {
            kernel.cancel(id);
            return;
        }
        let Some(order) = kernel.order(id).copied() else {
            return;
        };
        let mut change = Change {
            replace: self.random.chance(0.2),
            ..Change::default()
        };
        if self.random.chance(0.6) && order.request.kind == OrderKind::Limit {
            let px = order.request.px_ticks + self.random.between(-4, 4);
            change.px_ticks = Some(px.max(1));
        }
        if self.random.chance(0.6) || change.px_ticks.is_none() {
            change.qty_lots = Some(self.random.between(1, order.request.qty_lots * 2));
        }
        kernel.modify(id, change);
    }
}
