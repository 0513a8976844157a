//! Lists of orders: one-cancels-the-other and brackets.

use super::models::{NoPartialFill, PartialFill};
use super::test_venue::*;
use super::*;
use crate::order::{Change, Role, TriggerKind};

#[test]
fn one_cancels_the_other() {
    let pair = |v: &mut Venue, list| {
        let profit = limit(Side::Ask, 103, 5);
        let stop = when(TriggerKind::Stop, 97, market(Side::Ask, 5));
        v.new_order(list, in_list(list, Role::Oco, 2, profit));
        v.new_order(list + 1, in_list(list, Role::Oco, 2, stop));
    };
    let mut v = Venue::new(NoPartialFill);
    pair(&mut v, 1);
    assert_eq!(
        v.trade(Side::Bid, 104, 1),
        ["1 filled 5@103 maker", "2 canceled LIST_ENDED"]
    );
    pair(&mut v, 3);
    assert_eq!(
        v.trade(Side::Ask, 97, 1),
        [
            "4 triggered",
            "3 canceled LIST_ENDED",
            "4 filled 5@99 taker"
        ]
    );
    v.trade(Side::Bid, 100, 1);
    pair(&mut v, 5);
    assert_eq!(
        v.send(6, Command::Cancel),
        ["6 canceled", "5 canceled LIST_ENDED"]
    );
    // Where one is refused, the other does not stay alone.
    v.new_order(9, in_list(9, Role::Oco, 2, limit(Side::Ask, 103, 5)));
    let late = when(TriggerKind::Stop, 100, market(Side::Ask, 5));
    assert_eq!(
        v.new_order(10, in_list(9, Role::Oco, 2, late)),
        ["10 rejected WOULD_TRIGGER", "9 canceled LIST_ENDED"]
    );
    // Where the first fills at once the second is never accepted.
    assert_eq!(
        v.new_order(7, in_list(7, Role::Oco, 2, limit(Side::Ask, 99, 5))),
        ["7 filled 5@99 taker"]
    );
    let stop = when(TriggerKind::Stop, 90, market(Side::Ask, 5));
    assert_eq!(
        v.new_order(8, in_list(7, Role::Oco, 2, stop)),
        ["8 canceled LIST_ENDED"]
    );
}

fn bracket(v: &mut Venue, list: u64, entry: NewOrder) -> Vec<String> {
    let stop = when(TriggerKind::Stop, 95, market(Side::Ask, entry.qty_lots));
    let profit = limit(Side::Ask, 105, entry.qty_lots);
    let mut told = v.new_order(list, in_list(list, Role::Entry, 3, entry));
    for (id, exit) in [(list + 1, stop), (list + 2, profit)] {
        told.extend(v.new_order(id, in_list(list, Role::Exit, 3, reducing(exit))));
    }
    told
}

#[test]
fn a_bracket_protects_what_its_entry_has_filled() {
    let mut v = Venue::new(PartialFill);
    assert_eq!(
        bracket(&mut v, 1, limit(Side::Bid, 99, 5)),
        ["1 rests 5@99", "2 waits 5@95", "3 waits 5@0"]
    );
    assert_eq!(
        v.trade(Side::Ask, 99, 12),
        [
            "1 filled 2@99 maker…",
            "2 waits 2@95",
            "3 triggered",
            "3 rests 2@105"
        ]
    );
    // What the profit closes, the stop protects no more.
    assert_eq!(
        v.trade(Side::Bid, 105, 1),
        ["3 filled 1@105 maker…", "2 waits 1@95"]
    );
    assert_eq!(
        v.trade(Side::Ask, 99, 3),
        ["1 filled 3@99 maker", "2 waits 4@95", "3 rests 5@105"]
    );
    assert_eq!(
        v.trade(Side::Ask, 95, 1),
        [
            "2 triggered",
            "2 filled 4@99 taker",
            "3 canceled LIST_ENDED"
        ]
    );
    assert_eq!(v.exchange.position_lots(), 0);
}

#[test]
fn a_bracket_ends_with_an_entry_that_got_nothing() {
    let mut v = Venue::new(PartialFill);
    bracket(&mut v, 1, limit(Side::Bid, 99, 5));
    assert_eq!(
        v.send(1, Command::Cancel),
        [
            "1 canceled",
            "2 canceled LIST_ENDED",
            "3 canceled LIST_ENDED"
        ]
    );
    let post_only = NewOrder {
        post_only: true,
        ..limit(Side::Bid, 101, 5)
    };
    assert_eq!(
        bracket(&mut v, 4, post_only),
        [
            "4 rejected POST_ONLY_WOULD_TAKE",
            "5 canceled LIST_ENDED",
            "6 canceled LIST_ENDED"
        ]
    );
    // An entry cancelled after a part of it stays protected.
    bracket(&mut v, 7, limit(Side::Bid, 99, 5));
    v.trade(Side::Ask, 99, 12);
    assert_eq!(v.send(7, Command::Cancel), ["7 canceled"]);
    assert_eq!(
        v.trade(Side::Ask, 95, 1),
        [
            "8 triggered",
            "8 filled 2@99 taker",
            "9 canceled LIST_ENDED"
        ]
    );
}

#[test]
fn the_prices_of_an_exit_may_be_changed_but_not_its_quantity() {
    let mut v = Venue::new(PartialFill);
    bracket(&mut v, 1, limit(Side::Bid, 99, 5));
    let to = |px_ticks, qty_lots| Change {
        px_ticks,
        qty_lots,
        ..Change::default()
    };
    assert_eq!(v.modify(3, to(None, Some(6))), ["3 refused EXIT_QTY"]);
    assert_eq!(v.modify(3, to(Some(104), None)), ["3 waits 5@0"]);
    assert_eq!(
        v.trade(Side::Ask, 98, 1),
        [
            "1 filled 5@99 maker",
            "2 waits 5@95",
            "3 triggered",
            "3 rests 5@104"
        ]
    );
}

#[test]
fn an_exit_that_closed_all_waits_for_more_of_the_entry() {
    let mut v = Venue::new(PartialFill);
    bracket(&mut v, 1, limit(Side::Bid, 99, 5));
    v.trade(Side::Ask, 99, 12);
    assert_eq!(
        v.trade(Side::Bid, 106, 1),
        ["3 filled 2@105 maker…", "3 waits 2@0", "2 waits 2@95"],
        "the entry still lives"
    );
    assert_eq!(
        v.trade(Side::Ask, 98, 1),
        [
            "1 filled 3@99 maker",
            "2 waits 3@95",
            "3 triggered",
            "3 rests 5@105"
        ]
    );
}

#[test]
fn a_stop_beyond_the_market_acts_as_soon_as_it_is_active() {
    let mut v = Venue::new(PartialFill);
    v.trade(Side::Ask, 94, 1);
    assert_eq!(
        bracket(&mut v, 1, market(Side::Bid, 5)),
        [
            "1 filled 5@101 taker",
            "2 waits 5@95",
            "2 waits 5@95",
            "2 triggered",
            "2 filled 5@99 taker",
            "3 waits 5@0",
            "3 canceled LIST_ENDED"
        ]
    );
}
