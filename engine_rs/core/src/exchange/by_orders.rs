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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind::{self, OrderAdd, OrderAmend, OrderChange, OrderDelete};
    use crate::event::tests::row;
    use crate::exchange::models::{BookWalk, FillModel, L3Fifo, NoPartialFill, PartialFill};
    use crate::exchange::test_venue::{TS, Venue, limit, told};
    use crate::exchange::{Change, Command, NewOrder, Rules};

    /// Bids 99 × 10 (orders 1 × 6, 2 × 4) and 98 × 20, asks 101 × 10 and 102 × 20.
    fn venue(fill: impl FillModel + 'static) -> Venue {
        let mut venue = Venue::of(Box::new(L3Fifo), fill, Rules::default());
        orders(&mut venue, &[(OrderAdd, 1, 99, 6), (OrderAdd, 2, 99, 4)]);
        venue
    }

    /// Rows about bids of the venue: kind, id, price, lots.
    fn orders(venue: &mut Venue, rows: &[(EventKind, u64, i64, i64)]) -> Vec<String> {
        let mut out = Vec::new();
        for &(kind, id, px, qty) in rows {
            let rows = [row(kind, Side::Bid, px, qty, id)];
            venue.exchange.on_orders(&rows, TS, &mut out);
        }
        told(&out)
    }

    #[test]
    fn ours_is_filled_when_an_order_behind_it_is_executed() {
        let mut venue = venue(NoPartialFill);
        venue.new_order(7, limit(Side::Bid, 99, 5));
        assert!(orders(&mut venue, &[(OrderAdd, 3, 99, 8)]).is_empty());
        let left = [
            (OrderDelete, 1, 99, 0),
            (OrderAmend, 3, 99, 7),
            (OrderDelete, 2, 99, 4),
        ];
        assert!(
            orders(&mut venue, &left).is_empty(),
            "nothing behind traded"
        );
        // What the levels and trades alone would make of it does not matter.
        assert!(venue.depth(&[(Side::Bid, 99, 1)]).is_empty());
        assert!(venue.trade(Side::Ask, 99, 6).is_empty());
        let executed = orders(&mut venue, &[(OrderChange, 3, 99, 6)]);
        assert_eq!(executed, ["7 filled 5@99 maker"]);
        assert!(orders(&mut venue, &[(OrderDelete, 3, 99, 0)]).is_empty());
    }

    #[test]
    fn partial_fills_are_what_was_executed_behind_and_are_not_told_twice() {
        let mut venue = venue(PartialFill);
        venue.new_order(7, limit(Side::Bid, 99, 5));
        orders(&mut venue, &[(OrderAdd, 3, 99, 8)]);
        assert!(venue.trade(Side::Ask, 99, 10).is_empty(), "all of it ahead");
        let rows = [(OrderDelete, 1, 99, 0), (OrderDelete, 2, 99, 0)];
        assert!(orders(&mut venue, &rows).is_empty());
        let executed = orders(&mut venue, &[(OrderChange, 3, 99, 6)]);
        assert_eq!(executed, ["7 filled 2@99 maker…"]);
        assert!(venue.trade(Side::Ask, 99, 2).is_empty(), "the same again");
        // The trade comes first, the order's row after it.
        let traded = venue.trade(Side::Ask, 99, 1);
        assert_eq!(traded, ["7 filled 1@99 maker…"]);
        assert!(orders(&mut venue, &[(OrderChange, 3, 99, 5)]).is_empty());
        // Through the price: whole, whatever the queue says.
        assert_eq!(venue.trade(Side::Ask, 98, 1), ["7 filled 2@99 maker"]);
    }

    #[test]
    fn our_orders_share_what_was_executed_behind_them() {
        let mut venue = venue(BookWalk::default());
        venue.new_order(7, limit(Side::Bid, 99, 2));
        venue.new_order(8, limit(Side::Bid, 99, 5));
        let rows = [
            (OrderAdd, 3, 99, 8),
            (OrderDelete, 1, 99, 0),
            (OrderDelete, 2, 99, 0),
            (OrderChange, 3, 99, 5),
        ];
        let told = orders(&mut venue, &rows);
        assert_eq!(told, ["7 filled 2@99 maker", "8 filled 1@99 maker…"]);
    }

    #[test]
    fn a_lost_place_is_behind_all_and_a_kept_one_stays() {
        let mut venue = venue(PartialFill);
        venue.new_order(7, limit(Side::Bid, 99, 5));
        orders(&mut venue, &[(OrderAdd, 3, 99, 8)]);
        let smaller = Change {
            qty_lots: Some(4),
            ..Change::default()
        };
        venue.modify(7, smaller);
        let rows = [(OrderDelete, 1, 99, 0), (OrderDelete, 2, 99, 0)];
        orders(&mut venue, &rows);
        let executed = orders(&mut venue, &[(OrderChange, 3, 99, 7)]);
        assert_eq!(executed, ["7 filled 1@99 maker…"], "its place was kept");
        let anew = Change {
            replace: true,
            ..Change::default()
        };
        venue.modify(7, anew);
        assert!(orders(&mut venue, &[(OrderChange, 3, 99, 6)]).is_empty());
        venue.send(7, Command::Cancel);
        let rows = [
            (OrderDelete, 3, 99, 0),
            (OrderAdd, 4, 99, 1),
            (OrderDelete, 4, 99, 0),
        ];
        assert!(orders(&mut venue, &rows).is_empty(), "it is gone");
    }

    #[test]
    fn an_iceberg_queues_anew_with_each_slice() {
        let mut venue = venue(PartialFill);
        let iceberg = NewOrder {
            display_lots: Some(2),
            ..limit(Side::Bid, 99, 5)
        };
        venue.new_order(7, iceberg);
        let rows = [
            (OrderDelete, 1, 99, 6),
            (OrderDelete, 2, 99, 4),
            (OrderAdd, 3, 99, 8),
            (OrderChange, 3, 99, 6),
        ];
        assert_eq!(orders(&mut venue, &rows), ["7 filled 2@99 maker…"]);
        let rows = [(OrderAdd, 4, 99, 3), (OrderDelete, 3, 99, 0)];
        assert!(orders(&mut venue, &rows).is_empty(), "the slice is behind");
        let executed = orders(&mut venue, &[(OrderChange, 4, 99, 2)]);
        assert_eq!(executed, ["7 filled 1@99 maker…"]);
    }

    #[test]
    fn other_queue_models_are_told_nothing() {
        let mut venue = Venue::new(NoPartialFill);
        venue.new_order(7, limit(Side::Bid, 99, 5));
        let rows = [(OrderAdd, 3, 99, 8), (OrderDelete, 3, 99, 0)];
        assert!(orders(&mut venue, &rows).is_empty());
    }
}
