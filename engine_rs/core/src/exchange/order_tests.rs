//! Order types and fill models on books made by hand.

use super::models::{BookWalk, NoPartialFill, PartialFill};
use super::test_venue::*;
use super::*;
use crate::event::EventKind;
use crate::instrument::PxBand;
use crate::order::{Change, OrderKind, TimeInForce, Trail, Trigger, TriggerBy, TriggerKind};

#[test]
fn partial_fills_take_levels_and_the_rest_at_the_limit() {
    let mut v = Venue::new(PartialFill);
    assert_eq!(
        v.new_order(1, limit(Side::Bid, 102, 15)),
        ["1 filled 10@101 taker…", "1 filled 5@102 taker"]
    );
    // Nothing was used up; what the limit cannot get is filled at it.
    assert_eq!(
        v.new_order(2, limit(Side::Bid, 102, 40)),
        ["2 filled 10@101 taker…", "2 filled 30@102 taker"]
    );
    assert_eq!(
        v.new_order(3, tif(TimeInForce::Ioc, limit(Side::Ask, 99, 15))),
        ["3 filled 10@99 taker…", "3 expired"]
    );
    assert_eq!(
        v.new_order(4, tif(TimeInForce::Fok, limit(Side::Ask, 99, 11))),
        ["4 expired"]
    );
    assert_eq!(
        v.new_order(5, tif(TimeInForce::Fok, limit(Side::Ask, 98, 11))),
        ["5 filled 10@99 taker…", "5 filled 1@98 taker"]
    );
    assert_eq!(
        v.new_order(6, market(Side::Bid, 31)),
        [
            "6 filled 10@101 taker…",
            "6 filled 20@102 taker…",
            "6 expired NO_LIQUIDITY"
        ]
    );
}

#[test]
fn a_trade_gives_what_is_beyond_the_queue() {
    let mut v = Venue::new(PartialFill);
    v.new_order(1, limit(Side::Bid, 99, 5));
    v.new_order(2, limit(Side::Bid, 99, 5));
    assert_eq!(
        v.trade(Side::Ask, 99, 12),
        ["1 filled 2@99 maker…", "2 filled 2@99 maker…"]
    );
    // At the front now, each for itself.
    assert_eq!(
        v.trade(Side::Ask, 99, 3),
        ["1 filled 3@99 maker", "2 filled 3@99 maker"]
    );
    v.new_order(3, limit(Side::Bid, 98, 5));
    assert_eq!(v.trade(Side::Ask, 97, 1), ["3 filled 5@98 maker"]);
}

#[test]
fn walking_the_book_uses_it_up_until_it_is_sent_anew() {
    let mut v = Venue::new(BookWalk::default());
    assert_eq!(
        v.new_order(1, limit(Side::Bid, 101, 15)),
        ["1 filled 10@101 taker…", "1 rests 15@101"]
    );
    assert_eq!(
        v.new_order(2, market(Side::Bid, 5)),
        ["2 filled 5@102 taker"],
        "the best level is gone"
    );
    assert!(
        v.depth(&[(Side::Ask, 102, 20)]).is_empty(),
        "another level is no reason to fill the one at 101"
    );
    assert_eq!(
        v.depth(&[(Side::Ask, 101, 3)]),
        ["1 filled 3@101 maker…"],
        "new liquidity at its price, and no more of it than there is"
    );
    assert_eq!(
        v.new_order(3, tif(TimeInForce::Fok, limit(Side::Bid, 102, 21))),
        ["3 expired"],
        "20 are left of 23"
    );
    assert_eq!(
        v.new_order(4, tif(TimeInForce::Fok, limit(Side::Bid, 102, 20))),
        ["4 filled 20@102 taker"]
    );
}

#[test]
fn our_orders_share_a_trade_where_liquidity_counts() {
    let mut v = Venue::new(BookWalk::default());
    v.new_order(1, limit(Side::Bid, 99, 5));
    v.new_order(2, limit(Side::Bid, 98, 5));
    assert_eq!(
        v.trade(Side::Ask, 97, 7),
        ["1 filled 5@99 maker", "2 filled 2@98 maker…"]
    );
}

#[test]
fn stops_and_take_profits_wait_for_their_price() {
    let mut v = Venue::new(NoPartialFill);
    v.trade(Side::Bid, 101, 1);
    let stop = |px, order| when(TriggerKind::Stop, px, order);
    let profit = |px, order| when(TriggerKind::TakeProfit, px, order);
    let at_once = [
        stop(101, market(Side::Bid, 1)),
        stop(101, market(Side::Ask, 1)),
        profit(101, market(Side::Bid, 1)),
        profit(101, market(Side::Ask, 1)),
    ];
    for (id, order) in (1..).zip(at_once) {
        assert_eq!(
            v.new_order(id, order),
            [format!("{id} rejected WOULD_TRIGGER")]
        );
    }
    v.new_order(5, stop(103, market(Side::Bid, 1)));
    v.new_order(6, profit(103, limit(Side::Ask, 104, 2)));
    v.new_order(7, stop(100, limit(Side::Ask, 99, 3)));
    assert_eq!(
        v.new_order(8, profit(100, market(Side::Bid, 4))),
        ["8 waits 4@100"]
    );
    assert!(v.trade(Side::Bid, 102, 1).is_empty());
    assert_eq!(
        v.trade(Side::Bid, 103, 1),
        [
            "5 triggered",
            "5 filled 1@101 taker",
            "6 triggered",
            "6 rests 2@104"
        ]
    );
    assert_eq!(
        v.trade(Side::Ask, 100, 1),
        [
            "7 triggered",
            "7 filled 3@99 taker",
            "8 triggered",
            "8 filled 4@101 taker"
        ]
    );
}

#[test]
fn triggers_watch_what_they_are_told_to() {
    let mut v = Venue::new(NoPartialFill);
    for (id, by) in [
        (1, TriggerBy::Last),
        (2, TriggerBy::BidAsk),
        (3, TriggerBy::Mark),
    ] {
        let kind = TriggerKind::Stop;
        let px_ticks = 98;
        let trigger = Some(Trigger { kind, by, px_ticks });
        v.new_order(
            id,
            NewOrder {
                trigger,
                ..market(Side::Ask, 1)
            },
        );
    }
    assert_eq!(
        v.depth(&[(Side::Bid, 99, 0)]),
        ["2 triggered", "2 filled 1@98 taker"],
        "a sale looks at the bid; the mid is 99.5"
    );
    let mut out = Vec::new();
    v.exchange.on_mark(196, TS, &mut out);
    assert_eq!(told(&out), ["3 triggered", "3 filled 1@98 taker"]);
    assert_eq!(
        v.trade(Side::Bid, 98, 1),
        ["1 triggered", "1 filled 1@98 taker"]
    );
}

#[test]
fn trailing_stops_follow_the_best_price() {
    let mut v = Venue::new(NoPartialFill);
    let trail = |trail, begin, order| when(TriggerKind::Trailing(trail), begin, order);
    v.new_order(1, trail(Trail::Ticks(3), 0, market(Side::Ask, 1)));
    // Two percent of 104 is 2.08, to the nearest tick 2.
    v.new_order(2, trail(Trail::Rate(2_000_000), 0, market(Side::Ask, 2)));
    v.new_order(3, trail(Trail::Ticks(1), 95, market(Side::Bid, 3)));
    for px in [100, 104, 103] {
        assert!(v.trade(Side::Bid, px, 1).is_empty(), "{px}");
    }
    assert_eq!(
        v.trade(Side::Bid, 102, 1),
        ["2 triggered", "2 filled 2@99 taker"]
    );
    assert_eq!(
        v.trade(Side::Bid, 101, 1),
        ["1 triggered", "1 filled 1@99 taker"]
    );
    // The buy begins to follow at 95 or below.
    for px in [96, 97, 94, 93] {
        assert!(v.trade(Side::Ask, px, 1).is_empty(), "{px}");
    }
    assert_eq!(
        v.trade(Side::Bid, 94, 1),
        ["3 triggered", "3 filled 3@101 taker"]
    );
    // One that would begin at once is refused, as venues do.
    let begun = trail(Trail::Ticks(1), 94, market(Side::Ask, 1));
    assert_eq!(v.new_order(4, begun), ["4 rejected WOULD_TRIGGER"]);
}

#[test]
fn a_trail_is_kept_when_only_the_quantity_changes() {
    let mut v = Venue::new(NoPartialFill);
    v.trade(Side::Bid, 104, 1);
    let order = when(
        TriggerKind::Trailing(Trail::Ticks(3)),
        0,
        market(Side::Ask, 2),
    );
    v.new_order(1, order);
    v.trade(Side::Bid, 102, 1);
    let change = Change {
        qty_lots: Some(1),
        ..Change::default()
    };
    assert_eq!(v.modify(1, change), ["1 waits 1@0"]);
    assert_eq!(
        v.trade(Side::Bid, 101, 1),
        ["1 triggered", "1 filled 1@99 taker"]
    );
}

#[test]
fn nothing_is_triggered_while_the_book_is_suspect() {
    let mut v = Venue::new(NoPartialFill);
    v.new_order(1, when(TriggerKind::Stop, 98, market(Side::Ask, 1)));
    v.seq += 5;
    v.depth(&[(Side::Bid, 97, 1)]);
    assert!(!v.exchange.book().is_trusted(), "a gap");
    assert!(v.trade(Side::Ask, 97, 1).is_empty());
    assert_eq!(
        v.message(
            EventKind::Snapshot,
            &[(Side::Bid, 96, 1), (Side::Ask, 97, 1)]
        ),
        ["1 triggered", "1 filled 1@96 taker"]
    );
}

#[test]
fn an_iceberg_queues_anew_with_each_slice() {
    let mut v = Venue::new(PartialFill);
    let iceberg = NewOrder {
        display_lots: Some(2),
        ..limit(Side::Bid, 99, 5)
    };
    assert_eq!(v.new_order(1, iceberg), ["1 rests 5@99"]);
    assert_eq!(v.trade(Side::Ask, 99, 20), ["1 filled 2@99 maker…"]);
    assert!(
        v.trade(Side::Ask, 99, 10).is_empty(),
        "the next slice stands behind the 10 of its level"
    );
    assert_eq!(v.trade(Side::Ask, 99, 1), ["1 filled 1@99 maker…"]);
    assert_eq!(v.trade(Side::Ask, 98, 1), ["1 filled 2@99 maker"]);
}

#[test]
fn good_till_date_orders_expire_at_their_time() {
    let mut v = Venue::new(NoPartialFill);
    let until = |expire_ns, order| NewOrder {
        expire_ns: Some(expire_ns),
        ..tif(TimeInForce::Gtd, order)
    };
    assert_eq!(
        v.new_order(1, until(TS, limit(Side::Bid, 98, 1))),
        ["1 rejected TIME_EXPIRED"]
    );
    v.new_order(2, until(90, limit(Side::Bid, 98, 1)));
    v.new_order(3, until(80, limit(Side::Bid, 98, 1)));
    v.new_order(4, until(80, limit(Side::Bid, 98, 1)));
    v.send(4, Command::Cancel);
    assert_eq!(v.exchange.next_expiry_ns(), 80);
    let mut out = Vec::new();
    v.exchange.on_expiry(80, &mut out);
    assert_eq!(told(&out), ["3 expired TIME_EXPIRED"]);
    assert_eq!(v.exchange.next_expiry_ns(), 90);
}

#[test]
fn reduce_only_orders_never_open_a_position() {
    let mut v = Venue::new(NoPartialFill);
    assert_eq!(
        v.new_order(1, reducing(limit(Side::Ask, 103, 5))),
        ["1 rejected REDUCE_ONLY"]
    );
    v.new_order(2, market(Side::Bid, 5));
    assert_eq!(
        v.new_order(3, reducing(market(Side::Bid, 5))),
        ["3 rejected REDUCE_ONLY"]
    );
    assert_eq!(
        v.new_order(4, reducing(limit(Side::Ask, 103, 9))),
        ["4 rests 5@103"],
        "cut to the position"
    );
    assert_eq!(
        v.new_order(5, market(Side::Ask, 2)),
        ["5 filled 2@99 taker", "4 rests 3@103"]
    );
    assert_eq!(
        v.new_order(6, reducing(market(Side::Ask, 7))),
        ["6 filled 3@99 taker", "4 expired REDUCE_ONLY"]
    );
    assert_eq!(v.exchange.position_lots(), 0);
}

#[test]
fn own_orders_are_kept_apart_as_the_venue_says() {
    let run = |self_trade, order| {
        let mut v = Venue::with(
            BookWalk::default(),
            Rules {
                self_trade,
                ..Rules::default()
            },
        );
        v.new_order(1, limit(Side::Ask, 102, 5));
        v.new_order(2, order)
    };
    let taker = limit(Side::Bid, 103, 12);
    assert_eq!(
        run(SelfTrade::Allow, taker),
        ["2 filled 10@101 taker…", "2 filled 2@102 taker"]
    );
    assert_eq!(
        run(SelfTrade::ExpireTaker, taker),
        ["2 filled 10@101 taker…", "2 expired SELF_TRADE"]
    );
    assert_eq!(
        run(SelfTrade::ExpireMaker, taker),
        [
            "1 expired SELF_TRADE",
            "2 filled 10@101 taker…",
            "2 filled 2@102 taker"
        ]
    );
    assert_eq!(
        run(SelfTrade::ExpireBoth, taker),
        [
            "1 expired SELF_TRADE",
            "2 filled 10@101 taker…",
            "2 expired SELF_TRADE"
        ]
    );
    // A market order that does not get as far as the own order does not meet it.
    assert_eq!(
        run(SelfTrade::ExpireTaker, market(Side::Bid, 10)),
        ["2 filled 10@101 taker"]
    );
    assert_eq!(
        run(SelfTrade::ExpireTaker, market(Side::Bid, 11)),
        ["2 filled 10@101 taker…", "2 expired SELF_TRADE"]
    );
}

#[test]
fn prices_outside_the_band_are_refused() {
    let px_band = Some(PxBand::parse("1.05", "0.98").unwrap());
    let mut v = Venue::with(
        NoPartialFill,
        Rules {
            px_band,
            ..Rules::default()
        },
    );
    // The mid is 100.
    for (id, side, px, accepted) in [
        (1, Side::Bid, 105, true),
        (2, Side::Bid, 106, false),
        (3, Side::Bid, 50, true),
        (4, Side::Ask, 98, true),
        (5, Side::Ask, 97, false),
        (6, Side::Ask, 150, true),
    ] {
        let told = v.new_order(id, limit(side, px, 1));
        let refused = told == [format!("{id} rejected PX_OUT_OF_BAND")];
        assert_eq!(refused, !accepted, "{told:?}");
    }
}

#[test]
fn a_modification_that_crosses_a_partial_fill_counts_what_is_filled() {
    let modified = |change| {
        let mut v = Venue::new(PartialFill);
        v.new_order(1, limit(Side::Bid, 99, 5));
        v.trade(Side::Ask, 99, 12);
        v.modify(1, change)
    };
    let qty = |qty_lots| Change {
        qty_lots: Some(qty_lots),
        ..Change::default()
    };
    assert_eq!(modified(qty(4)), ["1 rests 4@99"]);
    assert_eq!(modified(qty(2)), ["1 canceled QTY_BELOW_FILLED"]);
    let to_market = Change {
        px_ticks: Some(101),
        ..qty(5)
    };
    assert_eq!(
        modified(to_market),
        ["1 rests 5@101", "1 filled 3@101 taker"]
    );
    let replaced = Change {
        replace: true,
        ..Change::default()
    };
    let mut v = Venue::new(PartialFill);
    v.new_order(1, limit(Side::Bid, 99, 5));
    v.trade(Side::Ask, 99, 12);
    assert_eq!(v.modify(1, replaced), ["1 rests 5@99"]);
    assert!(
        v.trade(Side::Ask, 99, 10).is_empty(),
        "a replacement queues anew"
    );
}

#[test]
fn waiting_orders_can_be_changed_and_cancelled() {
    let mut v = Venue::new(NoPartialFill);
    v.trade(Side::Bid, 101, 1);
    v.new_order(1, when(TriggerKind::Stop, 95, market(Side::Ask, 5)));
    let to = |px| Change {
        trigger_px_ticks: Some(px),
        ..Change::default()
    };
    assert_eq!(v.modify(1, to(101)), ["1 refused WOULD_TRIGGER"]);
    assert_eq!(v.modify(1, to(97)), ["1 waits 5@97"]);
    v.new_order(2, when(TriggerKind::Stop, 97, limit(Side::Ask, 97, 5)));
    assert_eq!(v.send(1, Command::Cancel), ["1 canceled"]);
    assert_eq!(
        v.trade(Side::Ask, 97, 1),
        ["2 triggered", "2 filled 5@99 taker"]
    );
    assert_eq!(v.send(2, Command::Cancel), ["2 refused ORDER_NOT_OPEN"]);
    v.new_order(3, limit(Side::Bid, 98, 5));
    assert_eq!(v.modify(3, to(97)), ["3 refused ORDER_NOT_OPEN"]);
    v.new_order(4, when(TriggerKind::Stop, 90, market(Side::Ask, 1)));
    assert_eq!(
        v.send(0, Command::CancelAll),
        ["3 canceled", "4 canceled"],
        "whatever lives"
    );
}

#[test]
fn a_market_order_becomes_what_its_kind_says() {
    let mut v = Venue::new(BookWalk::default());
    let order = when(TriggerKind::Stop, 98, market(Side::Ask, 31));
    v.new_order(1, order);
    assert_eq!(order.kind, OrderKind::Market);
    assert_eq!(
        v.trade(Side::Ask, 98, 1),
        [
            "1 triggered",
            "1 filled 10@99 taker…",
            "1 filled 20@98 taker…",
            "1 expired NO_LIQUIDITY"
        ]
    );
}
