//! The matching engine against a plain list of orders that is searched from end to end.

use cobalt_core::Side;
use cobalt_core::testnet::matching::{
    Fill, MatchingEngine, OrderId, PX_TICKS_MAX, QTY_LOTS_MAX, Resting, Totals, opposite,
};
use proptest::prelude::*;

/// Price-time priority in its plainest form: all resting orders in order of arrival.
#[derive(Default)]
struct Plain {
    orders: Vec<(OrderId, Resting)>,
    totals: Totals,
}

impl Plain {
    fn best(&self, side: Side) -> Option<i64> {
        let prices = self
            .orders
            .iter()
            .filter(|o| o.1.side == side)
            .map(|o| o.1.px_ticks);
        if side == Side::Bid {
            prices.max()
        } else {
            prices.min()
        }
    }

    fn qty_at(&self, side: Side, px: i64) -> i64 {
        self.orders
            .iter()
            .filter(|o| o.1.side == side && o.1.px_ticks == px)
            .map(|o| o.1.qty_lots)
            .sum()
    }

    fn trade(&mut self, side: Side, bound: Option<i64>, mut qty: i64) -> (i64, Vec<Fill>) {
        self.totals.submitted += qty;
        let maker_side = opposite(side);
        let mut fills = Vec::new();
        while qty > 0 {
            let within = |px: i64| match (bound, side) {
                (None, _) => true,
                (Some(bound), Side::Bid) => px <= bound,
                (Some(bound), _) => px >= bound,
            };
            let Some(px_ticks) = self.best(maker_side).filter(|&px| within(px)) else {
                break;
            };
            let at = |o: &(OrderId, Resting)| o.1.side == maker_side && o.1.px_ticks == px_ticks;
            let oldest = self.orders.iter().position(at).unwrap();
            let (maker, open) = &mut self.orders[oldest];
            let qty_lots = qty.min(open.qty_lots);
            fills.push(Fill {
                maker: *maker,
                px_ticks,
                qty_lots,
            });
            qty -= qty_lots;
            open.qty_lots -= qty_lots;
            self.totals.filled += 2 * qty_lots;
            self.orders.retain(|o| o.1.qty_lots > 0);
        }
        (qty, fills)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Limit(Side, i64, i64),
    Market(Side, i64, Option<i64>),
    /// Cancels the order with this index among all ids ever given, alive or not.
    Cancel(prop::sample::Index),
}

fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Bid), Just(Side::Ask)]
}

fn prices() -> impl Strategy<Value = i64> {
    prop_oneof![
        20 => 95i64..106,
        2 => 1i64..200_000,
        1 => prop_oneof![Just(1i64), Just(PX_TICKS_MAX)],
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (sides(), prices(), 1i64..30).prop_map(|(s, p, q)| Step::Limit(s, p, q)),
        2 => (sides(), 1i64..60, prop::option::of(prices())).prop_map(|(s, q, p)| Step::Market(s, q, p)),
        4 => any::<prop::sample::Index>().prop_map(Step::Cancel),
    ]
}

fn compare(engine: &MatchingEngine, plain: &Plain) {
    let mut resting = 0;
    for side in [Side::Bid, Side::Ask] {
        let mut prices: Vec<_> = plain
            .orders
            .iter()
            .filter(|o| o.1.side == side)
            .map(|o| o.1.px_ticks)
            .collect();
        prices.sort_unstable();
        prices.dedup();
        if side == Side::Bid {
            prices.reverse();
        }
        let levels: Vec<_> = prices
            .iter()
            .map(|&px| (px, plain.qty_at(side, px)))
            .collect();
        assert_eq!(engine.levels(side).collect::<Vec<_>>(), levels);
        assert_eq!(engine.best(side), levels.first().copied());
        resting += levels.iter().map(|level| level.1).sum::<i64>();
        let front = plain
            .orders
            .iter()
            .find(|o| o.1.side == side && Some(o.1.px_ticks) == plain.best(side));
        assert_eq!(engine.front(side), front.map(|o| o.0));
    }
    let mut listed: Vec<_> = (0..engine.order_count())
        .map(|i| engine.order_at(i))
        .collect();
    let mut expected: Vec<_> = plain.orders.iter().map(|o| o.0).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let totals = engine.totals();
    assert_eq!(totals, plain.totals);
    assert_eq!(totals.submitted, resting + totals.filled + totals.cancelled);
    if let (Some((bid, _)), Some((ask, _))) = (engine.best(Side::Bid), engine.best(Side::Ask)) {
        assert!(bid < ask, "crossed: {bid} {ask}");
    }
}

proptest! {
    #[test]
    fn equals_a_searched_list(steps in prop::collection::vec(steps(), 0..200)) {
        let mut engine = MatchingEngine::default();
        let mut plain = Plain::default();
        let mut ids: Vec<OrderId> = Vec::new();
        for step in steps {
            let mut fills = Vec::new();
            match step {
                Step::Limit(side, px_ticks, qty) => {
                    let id = engine.limit(side, px_ticks, qty, &mut fills).unwrap();
                    let (qty_lots, expected) = plain.trade(side, Some(px_ticks), qty);
                    prop_assert_eq!(fills, expected);
                    prop_assert_eq!(id.is_some(), qty_lots > 0);
                    if let Some(id) = id {
                        prop_assert!(!ids.contains(&id), "an id came back");
                        ids.push(id);
                        plain.orders.push((id, Resting { side, px_ticks, qty_lots }));
                    }
                }
                Step::Market(side, qty, px_worst) => {
                    let taken = engine.market(side, qty, px_worst, &mut fills).unwrap();
                    let (left, expected) = plain.trade(side, px_worst, qty);
                    plain.totals.cancelled += left;
                    prop_assert_eq!(fills, expected);
                    prop_assert_eq!(taken, qty - left);
                }
                Step::Cancel(index) if !ids.is_empty() => {
                    let id = *index.get(&ids);
                    let place = plain.orders.iter().position(|o| o.0 == id);
                    let expected = place.map(|place| plain.orders.remove(place).1);
                    plain.totals.cancelled += expected.map_or(0, |open| open.qty_lots);
                    prop_assert_eq!(engine.resting(id), expected);
                    prop_assert_eq!(engine.cancel(id), expected);
                }
                Step::Cancel(_) => (),
            }
            compare(&engine, &plain);
        }
    }
}

#[test]
fn the_oldest_order_trades_first_and_keeps_its_place() {
    let mut engine = MatchingEngine::default();
    let mut fills = Vec::new();
    let mut ask = |engine: &mut MatchingEngine, px, qty| {
        engine
            .limit(Side::Ask, px, qty, &mut fills)
            .unwrap()
            .unwrap()
    };
    let first = ask(&mut engine, 100, 5);
    let second = ask(&mut engine, 100, 7);
    let better = ask(&mut engine, 99, 1);
    let makers = |engine: &mut MatchingEngine, qty| {
        let mut fills = Vec::new();
        engine.market(Side::Bid, qty, None, &mut fills).unwrap();
        fills
            .iter()
            .map(|f| (f.maker, f.px_ticks, f.qty_lots))
            .collect::<Vec<_>>()
    };
    assert_eq!(makers(&mut engine, 3), [(better, 99, 1), (first, 100, 2)]);
    // Filled in part, the first order still stands before the second.
    assert_eq!(makers(&mut engine, 4), [(first, 100, 3), (second, 100, 1)]);
    assert_eq!(engine.resting(first), None);
    assert_eq!(engine.resting(second).unwrap().qty_lots, 6);
    assert_eq!(makers(&mut engine, 100), [(second, 100, 6)]);
    assert_eq!(engine.totals().cancelled, 94);
}

#[test]
fn impossible_orders_are_refused_and_change_nothing() {
    let mut engine = MatchingEngine::default();
    let mut fills = Vec::new();
    for px in [0, -5, i64::MIN, PX_TICKS_MAX + 1, i64::MAX] {
        assert!(engine.limit(Side::Bid, px, 1, &mut fills).is_err());
        assert!(engine.market(Side::Ask, 1, Some(px), &mut fills).is_err());
    }
    for qty in [0, -1, i64::MIN, QTY_LOTS_MAX + 1, i64::MAX] {
        assert!(engine.limit(Side::Bid, 1, qty, &mut fills).is_err());
        assert!(engine.market(Side::Ask, qty, None, &mut fills).is_err());
    }
    let message = engine
        .limit(Side::Bid, 0, 1, &mut fills)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "px_ticks: expected a whole number from 1 to 1152921504606846976, found 0"
    );
    assert_eq!(engine.totals(), Totals::default());
    assert!(fills.is_empty() && engine.best(Side::Bid).is_none());
}
