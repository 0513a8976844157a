//! Each rule of the module header, on books made by hand.

use super::*;
use crate::event::EventKind;
use crate::event::tests::row;
use crate::exchange::models::{NoPartialFill, RiskAverseQueue};
use crate::order::TimeInForce;

fn exchange() -> SimExchange {
    of(Box::new(NoPartialFill), Rules::default())
}

/// Bids 99 × 10 and 98 × 20, asks 101 × 10 and 102 × 20.
pub(super) fn of(fill: Box<dyn FillModel>, rules: Rules) -> SimExchange {
    let mut exchange = SimExchange::new(Box::new(RiskAverseQueue), fill, rules, 0);
    let snapshot: Vec<Event> = [
        (Side::Bid, 99, 10),
        (Side::Bid, 98, 20),
        (Side::Ask, 101, 10),
        (Side::Ask, 102, 20),
    ]
    .map(|(side, px, qty)| row(EventKind::Snapshot, side, px, qty, 1))
    .to_vec();
    exchange.on_depth(&snapshot, 0, &mut Vec::new());
    exchange
}

pub(super) fn limit(side: Side, px: i64) -> NewOrder {
    NewOrder::limit(0, side, px, 5)
}

fn send(exchange: &mut SimExchange, id: u64, command: Command) -> Answer {
    let mut out = Vec::new();
    exchange.on_command(id, command, 7, &mut out);
    assert!(out.iter().all(|r| (r.order, r.ts_exchange_ns) == (id, 7)));
    out.last().unwrap().answer
}

fn change(px_ticks: i64, qty_lots: i64) -> Command {
    Command::Modify(Change {
        px_ticks: Some(px_ticks),
        qty_lots: Some(qty_lots),
        ..Change::default()
    })
}

fn depth(exchange: &mut SimExchange, seq: u64, rows: &[(Side, i64, i64)]) -> Vec<u64> {
    let rows: Vec<Event> = rows
        .iter()
        .map(|&(side, px, qty)| row(EventKind::Delta, side, px, qty, seq))
        .collect();
    let mut out = Vec::new();
    exchange.on_depth(&rows, 9, &mut out);
    ids(&out)
}

fn trade(exchange: &mut SimExchange, aggressor: Side, px: i64, qty: i64) -> Vec<u64> {
    let mut out = Vec::new();
    exchange.on_trade(&row(EventKind::Trade, aggressor, px, qty, 5), 9, &mut out);
    ids(&out)
}

fn ids(reports: &[Report]) -> Vec<u64> {
    for report in reports {
        assert!(matches!(
            report.answer,
            Answer::Filled {
                maker: true,
                qty_lots: 5,
                ..
            }
        ));
    }
    reports.iter().map(|report| report.order).collect()
}

#[test]
fn taking_orders_fill_at_the_opposite_best() {
    let mut e = exchange();
    let fill = |side, px_ticks| Answer::Filled {
        side,
        px_ticks,
        qty_lots: 5,
        maker: false,
        complete: true,
    };
    assert_eq!(
        send(&mut e, 1, Command::New(limit(Side::Bid, 103))),
        fill(Side::Bid, 101)
    );
    assert_eq!(
        send(&mut e, 2, Command::New(limit(Side::Ask, 99))),
        fill(Side::Ask, 99)
    );
    let market = NewOrder::market(0, Side::Ask, 5);
    assert_eq!(send(&mut e, 3, Command::New(market)), fill(Side::Ask, 99));
    let post_only = NewOrder {
        post_only: true,
        ..limit(Side::Bid, 101)
    };
    let refused = Answer::Rejected(RejectCode::PostOnlyWouldTake);
    assert_eq!(send(&mut e, 4, Command::New(post_only)), refused);
    let ioc = NewOrder {
        tif: TimeInForce::Ioc,
        ..limit(Side::Bid, 100)
    };
    assert_eq!(send(&mut e, 5, Command::New(ioc)), Answer::Expired(None));
    depth(&mut e, 2, &[(Side::Bid, 99, 0), (Side::Bid, 98, 0)]);
    assert_eq!(
        send(&mut e, 6, Command::New(market)),
        Answer::Rejected(RejectCode::NoLiquidity)
    );
}

#[test]
fn the_queue_moves_with_trades_and_shrinking_levels() {
    let mut e = exchange();
    assert_eq!(
        send(&mut e, 1, Command::New(limit(Side::Bid, 99))),
        Answer::Accepted {
            px_ticks: 99,
            qty_lots: 5
        }
    );
    assert!(
        trade(&mut e, Side::Ask, 99, 4).is_empty(),
        "6 lots are ahead"
    );
    assert!(
        depth(&mut e, 2, &[(Side::Bid, 99, 12)]).is_empty(),
        "growth happens behind us"
    );
    assert!(
        depth(&mut e, 3, &[(Side::Bid, 99, 3)]).is_empty(),
        "now at most 3 are ahead"
    );
    assert!(
        trade(&mut e, Side::Ask, 99, 3).is_empty(),
        "exactly the queue ahead traded"
    );
    assert!(
        trade(&mut e, Side::Bid, 99, 50).is_empty(),
        "a buyer does not hit our bid"
    );
    assert_eq!(trade(&mut e, Side::Ask, 99, 1), [1]);
}

#[test]
fn going_through_the_price_fills() {
    let mut e = exchange();
    for (id, side, px) in [(1, Side::Bid, 98), (2, Side::Bid, 99), (3, Side::Ask, 102)] {
        send(&mut e, id, Command::New(limit(side, px)));
    }
    assert_eq!(trade(&mut e, Side::Ask, 97, 1), [2, 1], "best price first");
    // The best bid rises to our ask's price.
    assert_eq!(
        depth(
            &mut e,
            2,
            &[
                (Side::Ask, 101, 0),
                (Side::Ask, 102, 0),
                (Side::Bid, 102, 1)
            ]
        ),
        [3]
    );
    assert_eq!(
        send(&mut e, 1, Command::Cancel),
        Answer::RequestRejected(RejectCode::OrderNotOpen)
    );
}

#[test]
fn a_message_is_judged_as_a_whole() {
    let mut e = exchange();
    send(&mut e, 1, Command::New(limit(Side::Ask, 101)));
    // The new bid is above the old ask for one row only.
    let message = [
        (Side::Bid, 100, 1),
        (Side::Ask, 101, 0),
        (Side::Ask, 100, 0),
    ];
    assert!(depth(&mut e, 2, &message).is_empty());
}

#[test]
fn cancel_and_modify() {
    let mut e = exchange();
    send(&mut e, 1, Command::New(limit(Side::Bid, 99)));
    let moved = send(&mut e, 1, change(98, 6));
    assert_eq!(
        moved,
        Answer::Accepted {
            px_ticks: 98,
            qty_lots: 6
        }
    );
    assert!(
        trade(&mut e, Side::Ask, 98, 20).is_empty(),
        "it queues anew behind 20 lots"
    );
    let taken = send(&mut e, 1, change(101, 6));
    assert!(matches!(
        taken,
        Answer::Filled {
            px_ticks: 101,
            qty_lots: 6,
            maker: false,
            ..
        }
    ));
    let maker = NewOrder {
        post_only: true,
        ..limit(Side::Ask, 102)
    };
    send(&mut e, 2, Command::New(maker));
    let crossed = send(&mut e, 2, change(99, 5));
    assert_eq!(
        crossed,
        Answer::Expired(Some(RejectCode::PostOnlyWouldTake))
    );
    send(&mut e, 3, Command::New(limit(Side::Ask, 102)));
    assert_eq!(send(&mut e, 3, Command::Cancel), Answer::Canceled(None));
    assert_eq!(
        send(&mut e, 3, Command::Cancel),
        Answer::RequestRejected(RejectCode::OrderNotOpen)
    );
}

#[test]
fn only_a_smaller_quantity_at_the_same_price_keeps_the_place() {
    for (px_ticks, qty_lots, fills_at_once) in
        [(99, 4, true), (99, 5, true), (99, 6, false), (98, 4, false)]
    {
        let mut e = exchange();
        send(&mut e, 1, Command::New(limit(Side::Bid, 99)));
        trade(&mut e, Side::Ask, 99, 10);
        let answer = send(&mut e, 1, change(px_ticks, qty_lots));
        assert_eq!(answer, Answer::Accepted { px_ticks, qty_lots });
        let mut out = Vec::new();
        let next = row(EventKind::Trade, Side::Ask, px_ticks, 1, 5);
        e.on_trade(&next, 9, &mut out);
        assert_eq!(!out.is_empty(), fills_at_once, "{px_ticks} × {qty_lots}");
        for report in out {
            assert!(
                matches!(report.answer, Answer::Filled { qty_lots: lots, .. } if lots == qty_lots)
            );
        }
    }
}

#[test]
fn a_suspect_book_takes_no_orders_and_fills_none() {
    let mut e = exchange();
    send(&mut e, 1, Command::New(limit(Side::Ask, 102)));
    assert!(
        depth(&mut e, 9, &[(Side::Bid, 102, 1), (Side::Ask, 101, 0)]).is_empty(),
        "a gap"
    );
    let order = Command::New(limit(Side::Bid, 99));
    assert_eq!(
        send(&mut e, 2, order),
        Answer::Rejected(RejectCode::BookSuspect)
    );
    let modify = change(103, 5);
    assert_eq!(
        send(&mut e, 1, modify),
        Answer::RequestRejected(RejectCode::BookSuspect)
    );
    assert_eq!(
        trade(&mut e, Side::Bid, 103, 1),
        [1],
        "a trade through the price did happen"
    );
}
