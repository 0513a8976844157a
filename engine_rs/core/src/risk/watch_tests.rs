//! The account over time, and the end of trading.

use super::tests::{DAY, Scene, ask, bid, code, engine, of, scene, usd};
use super::*;

fn actions(risk: &mut RiskEngine, scene: &Scene) -> Vec<Action> {
    let mut found = Vec::new();
    risk.evaluate(scene, &mut found);
    found
}

#[test]
fn after_the_end_of_trading_only_reductions_pass() {
    let mut risk = engine(|_| ());
    risk.on_position(0, 5, Money::ZERO);
    assert!(risk.end_trading(Cause::Operator, "lunch".into(), false, 7));
    assert!(!risk.end_trading(Cause::Strategy, "again".into(), true, 9));
    let kill = risk.kill().unwrap();
    assert_eq!(
        (kill.cause, kill.ts_ns, kill.flattens),
        (Cause::Operator, 7, true)
    );
    assert_eq!(code(&risk, bid(1, 1)), Some(RejectCode::RiskKilled));
    assert_eq!(code(&risk, ask(1, 6)), Some(RejectCode::RiskKilled));
    assert_eq!(code(&risk, ask(1, 5)), None);
    let far = NewOrder {
        reduce_only: true,
        ..ask(1, 99)
    };
    assert_eq!(code(&risk, far), None);
    assert_eq!(actions(&mut risk, &scene()), [Action::Close(0)]);
    risk.on_position(0, 0, Money::ZERO);
    assert_eq!(actions(&mut risk, &scene()), []);
}

#[test]
fn drawdown_is_taken_from_the_peak() {
    let mut risk = engine(|limits| {
        limits.drawdown_max = Some(usd(100));
        limits.drawdown_share_max = Some(Share(20_000_000));
    });
    let at = |dollars| Scene {
        equity: Some(usd(dollars)),
        ..scene()
    };
    for dollars in [300, 450, 361] {
        assert_eq!(actions(&mut risk, &at(dollars)), []);
    }
    let breach = |found, limit| {
        [Action::Kill(Breach {
            cause: Cause::Drawdown,
            instrument: None,
            found: usd(found),
            limit: usd(limit),
        })]
    };
    assert_eq!(actions(&mut risk, &at(360)), breach(90, 90));
    assert_eq!(actions(&mut risk, &at(0)), [], "told once");
    let text = "drawdown of 90.00 USD reached the limit of 90.00 USD";
    assert_eq!(risk.kill().unwrap().reason, text);
    let mut risk = engine(|limits| limits.drawdown_max = Some(usd(100)));
    assert_eq!(actions(&mut risk, &at(450)), []);
    assert_eq!(actions(&mut risk, &at(350)), breach(100, 100));
}

#[test]
fn a_day_begins_with_the_equity_before_midnight() {
    let mut risk = engine(|limits| limits.daily_loss_max = Some(usd(50)));
    let at = |now_ns, dollars| Scene {
        now_ns,
        equity: Some(usd(dollars)),
        ..scene()
    };
    assert_eq!(actions(&mut risk, &at(-1, 1_000)), []);
    assert_eq!(actions(&mut risk, &at(0, 960)), []);
    assert_eq!(actions(&mut risk, &at(DAY - 1, 951)), []);
    assert_eq!(actions(&mut risk, &at(DAY, 940)), []);
    let unvalued = Scene {
        equity: None,
        ..at(DAY, 0)
    };
    assert_eq!(actions(&mut risk, &unvalued), []);
    assert_eq!(actions(&mut risk, &at(2 * DAY - 1, 902)), []);
    let last = actions(&mut risk, &at(2 * DAY - 1, 901));
    assert!(matches!(
        last[..],
        [Action::Kill(Breach {
            cause: Cause::DailyLoss,
            ..
        })]
    ));
}

#[test]
fn losing_round_trips_in_a_row_end_trading() {
    let mut risk = engine(|limits| limits.losses_max = Some(2));
    let mut trip = |open, close, net| {
        risk.on_position(0, open, usd(net));
        risk.on_position(0, close, usd(net));
        actions(&mut risk, &scene()).len()
    };
    assert_eq!(trip(5, 0, -1), 0, "one");
    assert_eq!(trip(5, 2, -3), 0, "not closed yet");
    assert_eq!(trip(4, 0, -1), 0, "closed without profit or loss");
    assert_eq!(trip(4, -4, -2), 0, "turned round at a loss");
    assert_eq!(trip(-5, 0, -3), 1, "and closed at another");
}

#[test]
fn a_stop_loss_closes_the_position_until_it_is_gone() {
    let mut risk = engine(|limits| {
        limits.instruments[0].stop_loss = Some(usd(100));
        limits.instruments[0].stop_loss_share = Some(Share(5_000_000));
    });
    risk.on_position(0, 10, Money::ZERO);
    let at = |dollars: i64| Scene {
        entry_value: usd(1_000),
        unrealized: Some(usd(dollars)),
        ..scene()
    };
    assert_eq!(actions(&mut risk, &at(-49)), []);
    let stop = Action::Stop(Breach {
        cause: Cause::StopLoss,
        instrument: Some(0),
        found: usd(50),
        limit: usd(50),
    });
    assert_eq!(actions(&mut risk, &at(-50)), [stop, Action::Close(0)]);
    assert_eq!(actions(&mut risk, &at(-10)), [Action::Close(0)]);
    assert_eq!(code(&risk, bid(1, 1)), Some(RejectCode::RiskStopped));
    assert_eq!(code(&risk, ask(1, 10)), None);
    assert_eq!(code(&risk, of(1, bid(1, 1))), None);
    risk.on_position(0, 0, Money::ZERO);
    assert_eq!(actions(&mut risk, &at(-50)), []);
    assert_eq!(code(&risk, bid(1, 1)), None);
}

#[test]
fn a_stop_loss_of_an_inverse_contract_is_in_dollars_at_the_mid() {
    let mut risk = engine(|limits| limits.instruments[2].stop_loss = Some(usd(100)));
    risk.on_position(2, 10, Money::ZERO);
    // 0.002 of the base asset at 50,000.0 and at 49,999.9.
    let at = |mid_x2| Scene {
        mids_x2: vec![None, None, Some(mid_x2)],
        unrealized: Some(Money(-2_000_000_000)),
        ..scene()
    };
    assert_eq!(actions(&mut risk, &at(999_998)), []);
    assert_eq!(actions(&mut risk, &at(1_000_000)).len(), 2);
}
