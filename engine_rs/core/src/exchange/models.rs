//! The parts of the simulated exchange that a user may swap, behind small traits.

use crate::error::{Error, Result};

/// How long an order takes to the exchange, and an answer back.
pub trait LatencyModel: Send + Sync {
    /// From sending to the matching engine, for an order sent at `ts_local_ns`.
    fn order_entry_ns(&mut self, ts_local_ns: i64) -> i64;
    /// From the matching engine to the strategy, for an answer given at `ts_exchange_ns`.
    fn response_ns(&mut self, ts_exchange_ns: i64) -> i64;
}

/// The same latency for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstantLatency {
    order_entry_ns: i64,
    response_ns: i64,
}

impl ConstantLatency {
    /// Both latencies in ns, neither negative.
    pub fn new(order_entry_ns: i64, response_ns: i64) -> Result<Self> {
        for (name, value) in [
            ("latency.order_entry_ns", order_entry_ns),
            ("latency.response_ns", response_ns),
        ] {
            if !(0..=3_600_000_000_000).contains(&value) {
                return Err(Error::invalid(name, "0 to 3600000000000 (one hour)", value));
            }
        }
        Ok(Self {
            order_entry_ns,
            response_ns,
        })
    }
}

impl LatencyModel for ConstantLatency {
    fn order_entry_ns(&mut self, _ts_local_ns: i64) -> i64 {
        self.order_entry_ns
    }

    fn response_ns(&mut self, _ts_exchange_ns: i64) -> i64 {
        self.response_ns
    }
}

/// Where an order stands in the queue at its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// Lots ahead of the order; below 0 when that many lots have traded through it.
    pub ahead_lots: i64,
}

/// How the queue ahead of a resting order is estimated from level sizes and trades.
pub trait QueueModel: Send + Sync {
    /// The order joins a level of this size.
    fn enter(&self, level_lots: i64) -> QueuePosition;
    /// A trade at the order's price.
    fn on_trade(&self, position: &mut QueuePosition, qty_lots: i64);
    /// The level's size changed.
    fn on_depth(&self, position: &mut QueuePosition, before_lots: i64, after_lots: i64);
    /// Whether trades have reached the order.
    fn is_reached(&self, position: &QueuePosition) -> bool;
}

/// The conservative model: only trades move the order forward, and cancellations are taken to
/// happen behind it until the level is smaller than the queue ahead. The meaning is that of
/// hftbacktest's `RiskAdverseQueueModel`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RiskAverseQueue;

impl QueueModel for RiskAverseQueue {
    fn enter(&self, level_lots: i64) -> QueuePosition {
        QueuePosition {
            ahead_lots: level_lots,
        }
    }

    fn on_trade(&self, position: &mut QueuePosition, qty_lots: i64) {
        position.ahead_lots = position.ahead_lots.saturating_sub(qty_lots);
    }

    fn on_depth(&self, position: &mut QueuePosition, _before_lots: i64, after_lots: i64) {
        position.ahead_lots = position.ahead_lots.min(after_lots);
    }

    fn is_reached(&self, position: &QueuePosition) -> bool {
        position.ahead_lots < 0
    }
}
