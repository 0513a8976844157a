//! Where a resting order stands in the queue at its price.

use crate::decimal::Step;
use crate::error::{Error, Result};
use std::fmt;

/// Where an order stands in the queue at its price, as far as its model can tell. The unit is the
/// model's: lots, or units of quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueuePosition {
    /// What is ahead of the order; below 0 when so much has traded beyond it.
    pub ahead: f64,
    /// What traded at the price since its level last changed.
    pub traded: f64,
}

/// How the queue ahead of a resting order is estimated from level sizes and trades.
pub trait QueueModel: fmt::Debug + Send + Sync {
    /// The order joins a level of this size.
    fn enter(&self, level_lots: i64) -> QueuePosition;
    /// A trade at the order's price.
    fn on_trade(&self, position: &mut QueuePosition, qty_lots: i64);
    /// The level's size changed.
    fn on_depth(&self, position: &mut QueuePosition, before_lots: i64, after_lots: i64);
    /// Lots of the trades so far that went beyond the queue ahead; taken out of the position, so
    /// that none is given twice. An order is reached by a half lot or more.
    fn take_reached(&self, position: &mut QueuePosition) -> i64;
    /// Whether places come from the venue's single orders (see [`crate::exchange::L3Queue`]) instead
    /// of from this model.
    fn uses_orders(&self) -> bool {
        false
    }
}

/// First come, first served among the venue's single orders: nothing is estimated, and it needs a
/// stream of those.
#[derive(Clone, Copy, Debug, Default)]
pub struct L3Fifo;

impl QueueModel for L3Fifo {
    fn enter(&self, _level_lots: i64) -> QueuePosition {
        QueuePosition::default()
    }

    fn on_trade(&self, _position: &mut QueuePosition, _qty_lots: i64) {}

    fn on_depth(&self, _position: &mut QueuePosition, _before_lots: i64, _after_lots: i64) {}

    fn take_reached(&self, _position: &mut QueuePosition) -> i64 {
        0
    }

    fn uses_orders(&self) -> bool {
        true
    }
}

/// The conservative model: only trades move the order forward, and cancellations are taken to
/// happen behind it until the level is smaller than the queue ahead. The meaning is that of
/// hftbacktest's `RiskAdverseQueueModel`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RiskAverseQueue;

impl QueueModel for RiskAverseQueue {
    fn enter(&self, level_lots: i64) -> QueuePosition {
        joined(as_float(level_lots))
    }

    fn on_trade(&self, position: &mut QueuePosition, qty_lots: i64) {
        position.ahead -= as_float(qty_lots);
    }

    fn on_depth(&self, position: &mut QueuePosition, _before_lots: i64, after_lots: i64) {
        position.ahead = position.ahead.min(as_float(after_lots));
    }

    fn take_reached(&self, position: &mut QueuePosition) -> i64 {
        take_beyond(position, 1.0)
    }
}

/// How likely a cancellation at the price was behind the order, from the quantities ahead of it and
/// behind it. The families are those that hftbacktest documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Probability {
    /// `f(back) / (f(back) + f(front))` with `f(x) = xⁿ`.
    Power(f64),
    /// `f(back) / f(back + front)` with `f(x) = xⁿ`.
    Power2(f64),
    /// `1 − f(front / (front + back))` with `f(x) = xⁿ`.
    Power3(f64),
    /// `f(back) / (f(back) + f(front))` with `f(x) = ln(1 + x)`, x in units of quantity.
    Log,
    /// `f(back) / f(back + front)` with `f(x) = ln(1 + x)`, x in units of quantity.
    Log2,
}

/// The order moves forward with trades, and with its share of what is cancelled at its price: a
/// cancellation was behind it with a probability that depends on the quantities ahead and behind
/// (after R. Cont's question and E. Rigtorp's answer, "Estimating order queue position"). Trades
/// since the level's last change are not counted again when the change arrives. The meaning is that
/// of hftbacktest's `ProbQueueModel`, and so are the units of quantity that it counts in and the
/// order of its operations: ties at half a lot do happen, and are to fall on the same side.
#[derive(Clone, Copy, Debug)]
pub struct ProbabilityQueue {
    probability: Probability,
    lot: Step,
}

impl ProbabilityQueue {
    /// The model for an instrument with this lot. The exponent of a power must be above 0.
    pub fn new(probability: Probability, lot: Step) -> Result<Self> {
        if let Probability::Power(n) | Probability::Power2(n) | Probability::Power3(n) = probability
            && !(n > 0.0 && n <= 100.0)
        {
            return Err(Error::invalid(
                "exchange.queue_power",
                "above 0, up to 100",
                n,
            ));
        }
        Ok(Self { probability, lot })
    }

    fn qty(&self, lots: i64) -> f64 {
        self.lot.value(as_float(lots))
    }

    fn behind(&self, front: f64, back: f64) -> f64 {
        // Software functions, because the platform's may differ from one machine to the next.
        let log = |qty: f64| libm::log(1.0 + qty);
        match self.probability {
            Probability::Power(n) => {
                libm::pow(back, n) / (libm::pow(back, n) + libm::pow(front, n))
            }
            Probability::Power2(n) => libm::pow(back, n) / libm::pow(back + front, n),
            Probability::Power3(n) => 1.0 - libm::pow(front / (front + back), n),
            Probability::Log => log(back) / (log(back) + log(front)),
            Probability::Log2 => log(back) / log(back + front),
        }
    }
}

impl QueueModel for ProbabilityQueue {
    fn enter(&self, level_lots: i64) -> QueuePosition {
        joined(self.qty(level_lots))
    }

    fn on_trade(&self, position: &mut QueuePosition, qty_lots: i64) {
        position.ahead -= self.qty(qty_lots);
        position.traded += self.qty(qty_lots);
    }

    fn on_depth(&self, position: &mut QueuePosition, before_lots: i64, after_lots: i64) {
        let (before, after) = (self.qty(before_lots), self.qty(after_lots));
        let gone = before - after - position.traded;
        position.traded = 0.0;
        let front = position.ahead;
        if gone < 0.0 {
            position.ahead = front.min(after);
            return;
        }
        let back = before - front;
        let mut behind = self.behind(front, back);
        if behind.is_infinite() {
            behind = 1.0;
        }
        // What could not have been behind, because there is no more there, was ahead as well.
        let estimate = front - (1.0 - behind) * gone + (back - behind * gone).min(0.0);
        // Nothing ahead and nothing behind leave no probability; `min` then takes the level's size.
        position.ahead = estimate.min(after);
    }

    fn take_reached(&self, position: &mut QueuePosition) -> i64 {
        take_beyond(position, self.lot.to_f64())
    }
}

fn joined(ahead: f64) -> QueuePosition {
    QueuePosition { ahead, traded: 0.0 }
}

/// Takes whole lots below 0 out of the position; halves away from zero, as hftbacktest rounds.
fn take_beyond(position: &mut QueuePosition, lot: f64) -> i64 {
    let reached = (-position.ahead / lot).round();
    if reached < 1.0 {
        return 0;
    }
    position.ahead = 0.0;
    #[allow(clippy::cast_possible_truncation, reason = "saturates; lots are whole")]
    let lots = reached as i64;
    lots
}

#[allow(
    clippy::cast_precision_loss,
    reason = "quantities that a book accepts are below 2^53 lots"
)]
fn as_float(lots: i64) -> f64 {
    lots as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lot() -> Step {
        Step::parse("0.001").unwrap()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    #[test]
    fn the_risk_averse_order_waits_for_trades() {
        let model = RiskAverseQueue;
        let mut position = model.enter(10);
        model.on_depth(&mut position, 10, 30);
        model.on_depth(&mut position, 30, 12);
        assert!(close(position.ahead, 10.0), "cancels were behind");
        model.on_depth(&mut position, 12, 7);
        assert!(close(position.ahead, 7.0), "no more than the level holds");
        model.on_trade(&mut position, 7);
        assert_eq!(model.take_reached(&mut position), 0);
        model.on_trade(&mut position, 3);
        assert_eq!(model.take_reached(&mut position), 3);
        assert_eq!(model.take_reached(&mut position), 0, "given once");
    }

    #[test]
    fn cancellations_are_shared_by_probability() {
        // 30 ahead, 10 behind, 8 cancelled.
        for (probability, expected) in [
            // 10² / (10² + 30²) = 0.1 behind, so 7.2 ahead.
            (Probability::Power(2.0), 30.0 - 7.2),
            // 10 / 40 = 0.25 behind.
            (Probability::Power2(1.0), 30.0 - 6.0),
            // 1 − (30 / 40)² = 0.4375 behind.
            (Probability::Power3(2.0), 30.0 - 4.5),
            // ln 1.01 / (ln 1.01 + ln 1.03) with lots of 0.001.
            (
                Probability::Log,
                30.0 - 8.0 * (1.03f64.ln() / (1.01f64.ln() + 1.03f64.ln())),
            ),
            (
                Probability::Log2,
                30.0 - 8.0 * (1.0 - 1.01f64.ln() / 1.04f64.ln()),
            ),
        ] {
            let model = ProbabilityQueue::new(probability, lot()).unwrap();
            let mut position = model.enter(30);
            model.on_depth(&mut position, 30, 40);
            model.on_depth(&mut position, 40, 32);
            let error = (position.ahead * 1_000.0 - expected).abs();
            assert!(error < 1e-12, "{probability:?} {position:?} {expected}");
        }
    }

    #[test]
    fn a_trade_is_not_counted_again_when_its_level_changes() {
        let model = ProbabilityQueue::new(Probability::Power(1.0), lot()).unwrap();
        let mut position = model.enter(30);
        model.on_trade(&mut position, 5);
        model.on_depth(&mut position, 30, 25);
        assert!(close(position.ahead, 0.025));
    }

    #[test]
    fn exponents_that_cannot_be_are_refused() {
        for n in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = ProbabilityQueue::new(Probability::Power2(n), lot()).unwrap_err();
            assert!(error.to_string().starts_with("exchange.queue_power"));
        }
    }

    proptest! {
        /// No model loses its place: the estimate is a number, and never more than the level.
        #[test]
        fn an_order_never_falls_behind_the_level(
            start in 0i64..200,
            changes in prop::collection::vec((0i64..200, 0i64..40), 1..50),
            family in 0usize..5,
            n in 0.5f64..4.0,
        ) {
            let probability = [
                Probability::Power(n),
                Probability::Power2(n),
                Probability::Power3(n),
                Probability::Log,
                Probability::Log2,
            ][family];
            let model = ProbabilityQueue::new(probability, lot()).unwrap();
            let mut position = model.enter(start);
            let mut level = start;
            for (after, traded) in changes {
                model.on_trade(&mut position, traded);
                model.take_reached(&mut position);
                model.on_depth(&mut position, level, after);
                level = after;
                #[allow(clippy::cast_precision_loss, reason = "small numbers")]
                let most = after as f64;
                prop_assert!(position.ahead <= most / 1_000.0, "{position:?} {after}");
                prop_assert!(!position.ahead.is_nan());
            }
        }
    }
}
