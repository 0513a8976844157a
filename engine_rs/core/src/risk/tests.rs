//! Every limit at its edge: what just fits passes, one more is refused or ends trading.

use super::*;
use crate::instrument::ContractKind;
use crate::money::tests::instrument;
use crate::order::{Trigger, TriggerBy, TriggerKind};

pub(super) const DAY: i64 = 86_400_000_000_000;

pub(super) fn usd(dollars: i64) -> Money {
    Money(i128::from(dollars) * 1_000_000_000_000)
}

/// What the tests say of the run. One lot of the linear instruments is one dollar at a tick of 1.
pub(super) struct Scene {
    pub now_ns: i64,
    pub mids_x2: Vec<Option<i64>>,
    pub rate: Option<Rate>,
    pub entry_value: Money,
    pub unrealized: Option<Money>,
    pub equity: Option<Money>,
}

impl View for Scene {
    fn now_ns(&self) -> i64 {
        self.now_ns
    }
    fn mid_px_x2(&self, instrument: usize) -> Option<i64> {
        self.mids_x2[instrument]
    }
    fn quote_usd(&self, _instrument: usize) -> Option<Rate> {
        self.rate
    }
    fn entry_value(&self, _instrument: usize) -> Money {
        self.entry_value
    }
    fn unrealized(&self, _instrument: usize) -> Option<Money> {
        self.unrealized
    }
    fn equity_usd(&self) -> Option<Money> {
        self.equity
    }
}

/// Mids of 100 and 10, and an inverse contract of 100 dollars.
pub(super) fn scene() -> Scene {
    Scene {
        now_ns: 5 * DAY,
        mids_x2: vec![Some(200), Some(20), Some(2)],
        rate: Some(Rate::ONE),
        entry_value: Money::ZERO,
        unrealized: Some(Money::ZERO),
        equity: Some(usd(1_000)),
    }
}

pub(super) fn engine(set: impl FnOnce(&mut Limits)) -> RiskEngine {
    let mut limits = Limits::none(3);
    set(&mut limits);
    RiskEngine::new(
        &[
            instrument(ContractKind::Linear, "1", "1", "1"),
            instrument(ContractKind::Linear, "1", "1", "1"),
            instrument(ContractKind::Inverse, "0.1", "1", "100"),
        ],
        limits,
    )
    .unwrap()
}

pub(super) fn bid(px: i64, qty: i64) -> NewOrder {
    NewOrder::limit(0, Side::Bid, px, qty)
}

pub(super) fn ask(px: i64, qty: i64) -> NewOrder {
    NewOrder::limit(0, Side::Ask, px, qty)
}

pub(super) fn of(instrument: u16, order: NewOrder) -> NewOrder {
    NewOrder {
        instrument,
        ..order
    }
}

pub(super) fn code(risk: &RiskEngine, order: NewOrder) -> Option<RejectCode> {
    risk.check(&order, 0, true, &scene())
}

#[test]
fn without_limits_only_the_instruments_rules_hold() {
    let risk = engine(|_| ());
    assert_eq!(code(&risk, bid(1_000_000, 1_000_000_000)), None);
    assert_eq!(code(&risk, bid(1, 0)), Some(RejectCode::QtyTooSmall));
    let large = bid(1, 1_000_000_001);
    assert_eq!(code(&risk, large), Some(RejectCode::QtyTooLarge));
    assert_eq!(code(&risk, bid(0, 1)), Some(RejectCode::PxNotPositive));
}

#[test]
fn sizes_and_notionals_of_orders() {
    let risk = engine(|limits| {
        limits.instruments[0].order_lots_max = Some(50);
        limits.instruments[0].order_notional_max = Some(usd(3_000));
        limits.instruments[2].order_notional_max = Some(usd(3_000));
    });
    assert_eq!(code(&risk, bid(60, 50)), None);
    assert_eq!(code(&risk, bid(60, 51)), Some(RejectCode::RiskOrderQty));
    assert_eq!(
        code(&risk, bid(61, 50)),
        Some(RejectCode::RiskOrderNotional)
    );
    // A market order counts at the mid of 100, a stop at its trigger.
    assert_eq!(code(&risk, NewOrder::market(0, Side::Ask, 30)), None);
    let market = NewOrder::market(0, Side::Ask, 31);
    assert_eq!(code(&risk, market), Some(RejectCode::RiskOrderNotional));
    let stop = |px_ticks| NewOrder {
        trigger: Some(Trigger {
            kind: TriggerKind::Stop,
            by: TriggerBy::Last,
            px_ticks,
        }),
        ..NewOrder::market(0, Side::Ask, 50)
    };
    assert_eq!(code(&risk, stop(60)), None);
    assert_eq!(code(&risk, stop(61)), Some(RejectCode::RiskOrderNotional));
    // 30 contracts of 100 dollars, whatever the price.
    assert_eq!(code(&risk, of(2, bid(1, 30))), None);
    let contracts = of(2, bid(7, 31));
    assert_eq!(code(&risk, contracts), Some(RejectCode::RiskOrderNotional));
}

#[test]
fn the_collar_lies_around_the_mid_or_the_trigger() {
    let risk = engine(|limits| {
        limits.instruments[0].px_through_max = Some(Share(2_000_000));
        limits.instruments[0].px_away_max = Some(Share(10_000_000));
    });
    for (order, expected) in [
        (bid(102, 1), None),
        (bid(103, 1), Some(RejectCode::RiskPxThrough)),
        (bid(90, 1), None),
        (bid(89, 1), Some(RejectCode::RiskPxAway)),
        (ask(98, 1), None),
        (ask(97, 1), Some(RejectCode::RiskPxThrough)),
        (ask(110, 1), None),
        (ask(111, 1), Some(RejectCode::RiskPxAway)),
        (NewOrder::market(0, Side::Bid, 1), None),
    ] {
        assert_eq!(code(&risk, order), expected, "{order:?}");
    }
    let stop_limit = |px| NewOrder {
        trigger: Some(Trigger {
            kind: TriggerKind::Stop,
            by: TriggerBy::Last,
            px_ticks: 200,
        }),
        ..bid(px, 1)
    };
    assert_eq!(code(&risk, stop_limit(204)), None);
    assert_eq!(
        code(&risk, stop_limit(205)),
        Some(RejectCode::RiskPxThrough)
    );
}

#[test]
fn a_window_lets_the_next_order_pass_when_the_oldest_leaves_it() {
    let mut risk = engine(|limits| {
        limits.order_rates = vec![
            OrderRate {
                orders: 2,
                interval_ns: 10,
            },
            OrderRate {
                orders: 3,
                interval_ns: 100,
            },
        ];
    });
    let sent: Vec<i64> = (0..250)
        .filter(|now_ns| {
            let at = Scene {
                now_ns: *now_ns,
                ..scene()
            };
            let passes = risk.check(&bid(1, 1), 0, true, &at).is_none();
            if passes {
                risk.on_submit(now_ns.cast_unsigned(), &bid(1, 1), *now_ns);
            }
            passes
        })
        .collect();
    assert_eq!(sent, [0, 1, 10, 100, 101, 110, 200, 201, 210]);
}

#[test]
fn orders_of_a_list_are_sent_together() {
    let mut risk = engine(|limits| {
        limits.orders_open_max = Some(4);
        limits.order_rates = vec![OrderRate {
            orders: 3,
            interval_ns: 10,
        }];
    });
    let check = |risk: &RiskEngine, ahead, now_ns| {
        let at = Scene { now_ns, ..scene() };
        risk.check(&bid(1, 1), ahead, true, &at)
    };
    assert_eq!(check(&risk, 2, 0), None);
    assert_eq!(check(&risk, 3, 0), Some(RejectCode::RiskOrderRate));
    risk.on_submit(1, &bid(1, 1), 0);
    risk.on_submit(2, &bid(1, 1), 5);
    assert_eq!(check(&risk, 0, 9), None);
    assert_eq!(check(&risk, 1, 9), Some(RejectCode::RiskOrderRate));
    assert_eq!(check(&risk, 1, 10), None);
    assert_eq!(check(&risk, 2, 10), Some(RejectCode::RiskOrderRate));
    assert_eq!(check(&risk, 2, 15), Some(RejectCode::RiskAccountOrders));
}

#[test]
fn an_answer_counts_for_a_change_unless_it_tells_something_else() {
    let mut risk = engine(|limits| limits.instruments[0].position_lots_max = Some(10));
    let (px_ticks, accepted) = (1, |qty_lots| Answer::Accepted {
        px_ticks: 1,
        qty_lots,
    });
    let room = |risk: &RiskEngine, lots| {
        assert_eq!(code(risk, bid(1, lots)), None);
        assert_eq!(code(risk, bid(1, lots + 1)), Some(RejectCode::RiskPosition));
    };
    risk.on_submit(1, &bid(1, 4), 0);
    risk.on_modify(1, 8, 0);
    // The order waits, is triggered and rests with its old quantity: the change is still to come.
    let waiting = Answer::Waiting {
        trigger_px_ticks: 1,
        px_ticks,
        qty_lots: 4,
    };
    risk.on_answer(1, Status::Submitted, &waiting);
    risk.on_answer(1, Status::Untriggered, &Answer::Triggered);
    risk.on_answer(1, Status::Open, &accepted(4));
    room(&risk, 2);
    risk.on_answer(
        1,
        Status::Open,
        &Answer::RequestRejected(RejectCode::Overloaded),
    );
    room(&risk, 2);
    risk.on_answer(1, Status::Open, &accepted(8));
    room(&risk, 2);
    risk.on_modify(1, 3, 0);
    room(&risk, 2);
    let fill = Answer::Filled {
        side: Side::Bid,
        px_ticks,
        qty_lots: 1,
        maker: true,
        complete: false,
    };
    risk.on_answer(1, Status::Open, &fill);
    room(&risk, 3);
    risk.on_answer(1, Status::PartiallyFilled, &accepted(3));
    room(&risk, 8);
    risk.on_modify(1, 9, 0);
    room(&risk, 2);
    risk.on_answer(
        1,
        Status::PartiallyFilled,
        &Answer::RequestRejected(RejectCode::BookSuspect),
    );
    room(&risk, 8);
}

#[test]
fn live_orders_are_counted_until_they_are_done() {
    let mut risk = engine(|limits| {
        limits.instruments[0].orders_open_max = Some(1);
        limits.orders_open_max = Some(2);
    });
    risk.on_submit(1, &bid(1, 1), 0);
    assert_eq!(
        code(&risk, bid(1, 1)),
        Some(RejectCode::RiskInstrumentOrders)
    );
    assert_eq!(code(&risk, of(1, bid(1, 1))), None);
    risk.on_submit(2, &of(1, bid(1, 1)), 0);
    let third = of(1, bid(1, 1));
    assert_eq!(code(&risk, third), Some(RejectCode::RiskAccountOrders));
    // A change is no further order.
    assert_eq!(risk.check_modify(1, &bid(2, 1), true, &scene()), None);
    risk.on_done(1);
    risk.on_done(1);
    assert_eq!(code(&risk, third), None);
}

#[test]
fn a_position_counts_with_the_open_orders_that_extend_it() {
    let mut risk = engine(|limits| limits.instruments[0].position_lots_max = Some(10));
    risk.on_position(0, 4, Money::ZERO);
    risk.on_submit(1, &bid(1, 3), 0);
    assert_eq!(code(&risk, bid(1, 3)), None);
    assert_eq!(code(&risk, bid(1, 4)), Some(RejectCode::RiskPosition));
    // A sale of 14 takes the 4 to −10.
    assert_eq!(code(&risk, ask(1, 14)), None);
    assert_eq!(code(&risk, ask(1, 15)), Some(RejectCode::RiskPosition));
    // Half of the bid fills: the sum stays, until the rest is gone.
    risk.on_fill(1, 2);
    risk.on_position(0, 6, Money::ZERO);
    assert_eq!(code(&risk, bid(1, 4)), Some(RejectCode::RiskPosition));
    risk.on_done(1);
    assert_eq!(code(&risk, bid(1, 4)), None);
    // A sale of 16 takes the 6 to −10; but not where a reduce-only sale has sold 2 of the 6 before.
    assert_eq!(code(&risk, ask(1, 16)), None);
    let far = |qty| NewOrder {
        reduce_only: true,
        ..ask(1, qty)
    };
    assert_eq!(code(&risk, far(1_000)), None);
    risk.on_submit(2, &far(2), 0);
    assert_eq!(code(&risk, ask(1, 14)), None);
    assert_eq!(code(&risk, ask(1, 15)), Some(RejectCode::RiskPosition));
    // It cannot take the position further than flat.
    risk.on_submit(3, &far(1_000), 0);
    assert_eq!(code(&risk, ask(1, 10)), None);
    assert_eq!(code(&risk, ask(1, 11)), Some(RejectCode::RiskPosition));
    assert_eq!(code(&risk, bid(1, 4)), None);
    assert_eq!(code(&risk, bid(1, 5)), Some(RejectCode::RiskPosition));
}

#[test]
fn what_only_reduces_passes_beyond_every_limit() {
    let mut risk = engine(|limits| {
        limits.instruments[0].position_lots_max = Some(1);
        limits.instruments[0].exposure_max = Some(usd(1));
        limits.gross_max = Some(usd(1));
        limits.net_max = Some(usd(1));
        limits.concentration = Some(Concentration {
            share: Share(1),
            floor: Money::ZERO,
        });
    });
    risk.on_position(0, 20, Money::ZERO);
    assert_eq!(code(&risk, ask(100, 20)), None);
    risk.on_submit(1, &ask(100, 15), 0);
    assert_eq!(code(&risk, ask(100, 5)), None);
    assert_eq!(code(&risk, ask(100, 7)), Some(RejectCode::RiskPosition));
    assert_eq!(code(&risk, bid(100, 1)), Some(RejectCode::RiskPosition));
}

#[test]
fn changes_under_way_count_with_the_largest_quantity() {
    let mut risk = engine(|limits| limits.instruments[0].position_lots_max = Some(10));
    let modify = |risk: &RiskEngine, qty| risk.check_modify(1, &bid(1, qty), true, &scene());
    risk.on_submit(1, &bid(1, 4), 0);
    assert_eq!(modify(&risk, 10), None);
    assert_eq!(modify(&risk, 11), Some(RejectCode::RiskPosition));
    risk.on_modify(1, 8, 0);
    risk.on_modify(1, 2, 0);
    assert_eq!(code(&risk, bid(1, 2)), None);
    assert_eq!(code(&risk, bid(1, 3)), Some(RejectCode::RiskPosition));
    // The first is refused, the second takes it down to 2.
    risk.on_modify_answer(1, None);
    assert_eq!(code(&risk, bid(1, 3)), Some(RejectCode::RiskPosition));
    risk.on_modify_answer(1, Some(2));
    assert_eq!(code(&risk, bid(1, 8)), None);
    // Of 9 with 5 filled 4 remain.
    risk.on_fill(1, 5);
    risk.on_position(0, 5, Money::ZERO);
    assert_eq!(modify(&risk, 10), None);
    assert_eq!(modify(&risk, 11), Some(RejectCode::RiskPosition));
    assert_eq!(risk.check_modify(9, &bid(1, 99), true, &scene()), None);
}

#[test]
fn of_orders_that_cancel_one_another_the_largest_counts() {
    let mut risk = engine(|limits| limits.instruments[0].position_lots_max = Some(10));
    let leg = |qty| NewOrder {
        link: Some(Link {
            list: 1,
            role: Role::Oco,
            of: 2,
        }),
        ..bid(1, qty)
    };
    risk.on_submit(1, &leg(6), 0);
    assert_eq!(code(&risk, leg(10)), None);
    assert_eq!(code(&risk, leg(11)), Some(RejectCode::RiskPosition));
    risk.on_submit(2, &leg(8), 0);
    assert_eq!(code(&risk, bid(1, 2)), None);
    assert_eq!(code(&risk, bid(1, 3)), Some(RejectCode::RiskPosition));
    risk.on_done(2);
    assert_eq!(code(&risk, bid(1, 4)), None);
    assert_eq!(code(&risk, bid(1, 5)), Some(RejectCode::RiskPosition));
    risk.on_done(1);
    assert_eq!(code(&risk, bid(1, 10)), None);
}

#[test]
fn exposures_of_instrument_group_and_account() {
    let mut risk = engine(|limits| {
        limits.instruments[0].exposure_max = Some(usd(1_000));
        limits.groups = vec![GroupLimits {
            members: vec![0, 1],
            gross_max: Some(usd(1_500)),
            net_max: Some(usd(1_200)),
        }];
        limits.gross_max = Some(usd(2_500));
        limits.net_max = Some(usd(1_500));
    });
    // Counted at the mid of 100, not at the price of the order.
    assert_eq!(code(&risk, bid(1, 10)), None);
    assert_eq!(code(&risk, bid(1, 11)), Some(RejectCode::RiskExposure));
    risk.on_position(0, 10, Money::ZERO);
    let other = |order| of(1, order);
    assert_eq!(code(&risk, other(bid(1, 20))), None);
    assert_eq!(
        code(&risk, other(bid(1, 21))),
        Some(RejectCode::RiskGroupNet)
    );
    assert_eq!(code(&risk, other(ask(1, 50))), None);
    assert_eq!(
        code(&risk, other(ask(1, 51))),
        Some(RejectCode::RiskGroupGross)
    );
    // The inverse instrument is in no group: 5 contracts of 100 dollars to a net of 1,500.
    let inverse = |order| of(2, order);
    assert_eq!(code(&risk, inverse(bid(1, 5))), None);
    assert_eq!(
        code(&risk, inverse(bid(1, 6))),
        Some(RejectCode::RiskAccountNet)
    );
    assert_eq!(code(&risk, inverse(ask(1, 15))), None);
    assert_eq!(
        code(&risk, inverse(ask(1, 16))),
        Some(RejectCode::RiskAccountGross)
    );
}

#[test]
fn a_gross_sum_takes_the_worse_side_of_each_instrument() {
    let mut risk = engine(|limits| limits.gross_max = Some(usd(1_000)));
    risk.on_submit(1, &bid(1, 6), 0);
    // A sale that stays within the 6 of the other side raises nothing.
    assert_eq!(code(&risk, ask(1, 10)), None);
    risk.on_submit(2, &of(1, ask(1, 40)), 0);
    assert_eq!(code(&risk, ask(1, 6)), None);
    assert_eq!(code(&risk, ask(1, 7)), Some(RejectCode::RiskAccountGross));
}

#[test]
fn concentration_counts_from_its_floor() {
    let mut risk = engine(|limits| {
        limits.concentration = Some(Concentration {
            share: Share(50_000_000),
            floor: usd(1_000),
        });
    });
    assert_eq!(code(&risk, bid(1, 5)), None);
    assert_eq!(code(&risk, bid(1, 6)), Some(RejectCode::RiskConcentration));
    risk.on_position(1, 90, Money::ZERO);
    assert_eq!(code(&risk, bid(1, 9)), None);
    assert_eq!(code(&risk, bid(1, 10)), Some(RejectCode::RiskConcentration));
}

#[test]
fn a_limit_in_money_needs_prices() {
    let risk = engine(|limits| limits.gross_max = Some(usd(1_000)));
    let unpriced = Scene {
        mids_x2: vec![None; 3],
        ..scene()
    };
    let missing = Some(RejectCode::RiskPriceMissing);
    assert_eq!(risk.check(&bid(1, 1), 0, true, &unpriced), missing);
    assert_eq!(risk.check(&of(2, bid(1, 1)), 0, true, &unpriced), None);
    let unknown = Scene {
        rate: None,
        ..scene()
    };
    assert_eq!(risk.check(&of(2, bid(1, 1)), 0, true, &unknown), missing);
    // Three quarters of a dollar each.
    let cheap = Scene {
        rate: Some(Rate(750_000_000)),
        ..scene()
    };
    assert_eq!(risk.check(&bid(1, 13), 0, true, &cheap), None);
    let refused = risk.check(&bid(1, 14), 0, true, &cheap);
    assert_eq!(refused, Some(RejectCode::RiskAccountGross));
}

#[test]
fn funds_are_the_callers_to_tell() {
    let risk = engine(|_| ());
    assert_eq!(risk.check(&bid(1, 1), 0, true, &scene()), None);
    let short = risk.check(&bid(1, 1), 0, false, &scene());
    assert_eq!(short, Some(RejectCode::RiskFunds));
}

#[test]
fn sums_of_huge_orders_do_not_wrap() {
    let mut risk = engine(|limits| limits.instruments[0].position_lots_max = Some(i64::MAX - 1));
    risk.on_position(0, i64::MAX - 1, Money::ZERO);
    for id in 1..4 {
        risk.on_submit(id, &bid(1, i64::MAX), 0);
    }
    assert_eq!(code(&risk, bid(1, 1)), Some(RejectCode::RiskPosition));
    for id in 1..4 {
        risk.on_done(id);
    }
    assert_eq!(code(&risk, ask(1, 1)), None);
}

#[test]
fn limits_that_do_not_fit_the_run_are_told() {
    let instruments = [instrument(ContractKind::Linear, "1", "1", "1")];
    let told = |limits| {
        RiskEngine::new(&instruments, limits)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(told(Limits::none(2)).contains("limits of 1 instruments, found 2"));
    let group = GroupLimits {
        members: vec![1],
        ..GroupLimits::default()
    };
    let groups = Limits {
        groups: vec![group],
        ..Limits::none(1)
    };
    assert!(told(groups).contains("indices below 1, found 1"));
    let rate = OrderRate {
        orders: 0,
        interval_ns: 1,
    };
    let rates = Limits {
        order_rates: vec![rate],
        ..Limits::none(1)
    };
    assert!(told(rates).contains("at least one order in a positive time, found 0 in 1 ns"));
}
