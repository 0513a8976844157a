//! The exchange where the venue's orders are known one by one.

use super::SimExchange;
use super::resting::Hit;
use crate::event::{Event, Side};
use crate::order::Report;

impl SimExchange {
    /// A message of the venue's single orders; answers go to `out`. Nothing happens where the queue
    /// model does without them.
    #[inline]
    pub fn on_orders(&mut self, rows: &[Event], ts_ns: i64, out: &mut Vec<Report>) {
        for row in rows {
            let Some(l3) = &mut self.l3 else {
                return;
            };
            l3.on_order(row, &mut self.reached);
            if !self.reached.is_empty() {
                self.fill_executed(ts_ns, out);
            }
        }
    }

    /// Fills what the execution of the venue's orders behind ours shows to have been reached.
    fn fill_executed(&mut self, ts_ns: i64, out: &mut Vec<Report>) {
        let mut hits = std::mem::take(&mut self.hits);
        // Our orders at a price share what was executed behind them all.
        let executed = self.reached.iter().map(|(_, lots)| *lots).max();
        self.find_reached(&mut hits);
        self.fill_hits(&mut hits, executed.unwrap_or(0), ts_ns, out);
        self.hits = hits;
    }

    /// Turns what was reached in the queue of the venue's orders into hits.
    pub(super) fn find_reached(&mut self, hits: &mut Vec<Hit>) {
        for (id, lots) in self.reached.drain(..) {
            let Some(live) = self.live.get(&id) else {
                continue;
            };
            let own = match live.request.side {
                Side::Ask => &self.asks,
                _ => &self.bids,
            };
            hits.extend(own.get(live.key(), id).map(|order| Hit {
                id,
                at_price: Some(lots),
                shown_lots: order.shown_lots,
            }));
        }
    }
}
