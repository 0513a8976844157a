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

    /// Whether one more order would be too many, behind `ahead` others that are sent with it.
    pub fn is_full(&self, ahead: usize, now_ns: i64) -> bool {
        let Some(free) = self.rate.orders.checked_sub(ahead).filter(|free| *free > 0) else {
            return true;
        };
        // The order that must have left the window for this one to fit.
        let oldest = self.times_ns.len().checked_sub(free);
        oldest.is_some_and(|at| now_ns - self.times_ns[at] < self.rate.interval_ns)
    }

    /// Notes an order.
    pub fn add(&mut self, now_ns: i64) {
        if self.times_ns.len() == self.rate.orders {
            self.times_ns.pop_front();
        }
        self.times_ns.push_back(now_ns);
    }
}
