//! A sliding window over the times of orders.

use std::collections::VecDeque;

use super::limits::OrderRate;

/// The times of the latest orders, as many as may be sent within one interval. An order leaves the
/// window one interval after it was sent.
#[derive(Clone, Debug)]
pub struct Window {
    rate: OrderRate,
    times_ns: VecDeque<i64>,
}

impl Window {
    /// A window that holds nothing yet; its memory is taken now.
    pub fn new(rate: OrderRate) -> Self {
        Self {
            rate,
            times_ns: VecDeque::with_capacity(rate.orders),
        }
    }

    /// Whether one more order would be too many.
    pub fn is_full(&self, now_ns: i64) -> bool {
        self.times_ns.len() == self.rate.orders
            && self
                .times_ns
                .front()
                .is_some_and(|oldest| now_ns - oldest < self.rate.interval_ns)
    }

    /// Notes an order.
    pub fn add(&mut self, now_ns: i64) {
        if self.times_ns.len() == self.rate.orders {
            self.times_ns.pop_front();
        }
        self.times_ns.push_back(now_ns);
    }
}
