//! Conditional orders that wait for their trigger.

use crate::event::Side;
use crate::money::div_round;
use crate::order::{Trail, Trigger, TriggerBy, TriggerKind};

const RATE_UNITS: i128 = 100_000_000;

/// The prices that triggers watch, in ticks; `None` where there is none yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    pub last: Option<i64>,
    pub bid: Option<i64>,
    pub ask: Option<i64>,
    /// Twice the mark price, which may be a mid.
    pub mark_x2: Option<i64>,
}

impl Watched {
    /// Twice the price that a trigger of this side watches.
    fn px_x2(&self, by: TriggerBy, side: Side) -> Option<i64> {
        match by {
            TriggerBy::Last => self.last.map(|px| px * 2),
            TriggerBy::BidAsk if side == Side::Bid => self.ask.map(|px| px * 2),
            TriggerBy::BidAsk => self.bid.map(|px| px * 2),
            TriggerBy::Mark => self.mark_x2,
        }
    }
}

/// One order that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: u64,
    side: Side,
    by: TriggerBy,
    condition: Condition,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    /// At this price or above.
    Above(i64),
    /// At this price or below.
    Below(i64),
    /// A trailing stop that has not begun: its activation price and distance.
    Sleeping(i64, Trail),
    /// A trailing stop: distance, and twice the best price so far (`None` before the first).
    Following(Trail, Option<i64>),
}

/// The orders of one instrument that wait, in order of arrival.
#[derive(Debug, Default)]
pub struct WaitingOrders {
    orders: Vec<Waiting>,
}

impl WaitingOrders {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Whether an order would trigger, or begin to trail from its activation price, at once; `None`
    /// where the price it watches is not known.
    pub fn would_trigger(side: Side, trigger: &Trigger, watched: &Watched) -> Option<bool> {
        let px_x2 = watched.px_x2(trigger.by, side)?;
        Some(match condition(side, trigger) {
            Condition::Above(px) => px_x2 >= px * 2,
            Condition::Below(px) => px_x2 <= px * 2,
            // Like a take-profit: a buy begins below, a sale above.
            Condition::Sleeping(px, _) => {
                px_x2 == px * 2 || (px_x2 > px * 2) == (side != Side::Bid)
            }
            Condition::Following(..) => false,
        })
    }

    pub fn insert(&mut self, id: u64, side: Side, trigger: &Trigger, watched: &Watched) {
        let mut order = Waiting {
            id,
            side,
            by: trigger.by,
            condition: condition(side, trigger),
        };
        order.follow(watched);
        self.orders.push(order);
    }

    pub fn remove(&mut self, id: u64) -> bool {
        let found = self.orders.iter().position(|order| order.id == id);
        found.map(|at| self.orders.remove(at)).is_some()
    }

    /// Takes out the orders whose trigger is reached, in order of arrival, and moves trailing stops.
    pub fn take_triggered(&mut self, watched: &Watched, triggered: &mut Vec<u64>) {
        self.orders.retain_mut(|order| {
            let is_reached = order.is_reached(watched);
            if is_reached {
                triggered.push(order.id);
            } else {
                order.follow(watched);
            }
            !is_reached
        });
    }
}

impl Waiting {
    fn is_reached(&self, watched: &Watched) -> bool {
        let Some(px_x2) = watched.px_x2(self.by, self.side) else {
            return false;
        };
        match self.condition {
            Condition::Above(px) => px_x2 >= px * 2,
            Condition::Below(px) => px_x2 <= px * 2,
            Condition::Sleeping(..) | Condition::Following(_, None) => false,
            Condition::Following(trail, Some(best_x2)) => {
                let distance_x2 = distance_x2(trail, best_x2);
                if self.side == Side::Bid {
                    px_x2 >= best_x2 + distance_x2
                } else {
                    px_x2 <= best_x2 - distance_x2
                }
            }
        }
    }

    /// Moves a trailing stop to the best price so far.
    fn follow(&mut self, watched: &Watched) {
        let Some(px_x2) = watched.px_x2(self.by, self.side) else {
            return;
        };
        let buys = self.side == Side::Bid;
        match self.condition {
            // A buy follows a falling price, so it begins at its activation price or below.
            Condition::Sleeping(begin, trail)
                if (buys && px_x2 <= begin * 2) || (!buys && px_x2 >= begin * 2) =>
            {
                self.condition = Condition::Following(trail, Some(px_x2));
            }
            Condition::Following(trail, best) => {
                let best = best.unwrap_or(px_x2);
                let better = if buys {
                    best.min(px_x2)
                } else {
                    best.max(px_x2)
                };
                self.condition = Condition::Following(trail, Some(better));
            }
            _ => {}
        }
    }
}

fn condition(side: Side, trigger: &Trigger) -> Condition {
    let px = trigger.px_ticks;
    match (trigger.kind, side) {
        (TriggerKind::Stop, Side::Bid) => Condition::Above(px),
        (TriggerKind::Stop, _) | (TriggerKind::TakeProfit, Side::Bid) => Condition::Below(px),
        (TriggerKind::TakeProfit, _) => Condition::Above(px),
        (TriggerKind::Trailing(trail), _) if px == 0 => Condition::Following(trail, None),
        (TriggerKind::Trailing(trail), _) => Condition::Sleeping(px, trail),
    }
}

/// Twice the distance of a trailing stop, at least one tick.
fn distance_x2(trail: Trail, best_x2: i64) -> i64 {
    match trail {
        Trail::Ticks(ticks) => ticks * 2,
        Trail::Rate(rate) => {
            let ticks = div_round(i128::from(best_x2) * i128::from(rate), RATE_UNITS * 2);
            i64::try_from(ticks).unwrap_or(i64::MAX / 4).max(1) * 2
        }
    }
}
