//! How long a request takes to the exchange, and an answer back.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, Result};
use crate::random::Random;

const HOUR_NS: i64 = 3_600_000_000_000;

/// What becomes of a request on its way to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// It arrives after this many ns.
    Arrives(i64),
    /// The exchange refuses it unread, as venues do when overloaded; its sender learns so after
    /// this many ns.
    Refused(i64),
}

/// How long a request takes to the exchange, and an answer back. Times are in ns; requests and
/// answers never overtake one another, whatever the model says.
pub trait LatencyModel: fmt::Debug + Send + Sync {
    /// The way to the matching engine of a request sent at `ts_local_ns` of our clock.
    fn order_entry(&mut self, ts_local_ns: i64) -> Delay;
    /// From the matching engine to the strategy, for an answer given at `ts_exchange_ns` of the
    /// venue's clock.
    fn response_ns(&mut self, ts_exchange_ns: i64) -> i64;
    /// A message of the instrument's market data was received.
    fn on_feed(&mut self, _ts_event_ns: i64, _ts_recv_ns: i64) {}
    /// Whether [`Self::on_feed`] wants to be called.
    fn wants_feed(&self) -> bool {
        false
    }
}

/// The same latency for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstantLatency {
    order_entry_ns: i64,
    response_ns: i64,
}

impl ConstantLatency {
    /// Both latencies in ns, neither negative.
    pub fn new(order_entry_ns: i64, response_ns: i64) -> Result<Self> {
        check_time("latency.order_entry_ns", order_entry_ns)?;
        check_time("latency.response_ns", response_ns)?;
        Ok(Self {
            order_entry_ns,
            response_ns,
        })
    }
}

impl LatencyModel for ConstantLatency {
    fn order_entry(&mut self, _ts_local_ns: i64) -> Delay {
        Delay::Arrives(self.order_entry_ns)
    }

    fn response_ns(&mut self, _ts_exchange_ns: i64) -> i64 {
        self.response_ns
    }
}

/// One order whose way was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySample {
    /// Our clock when the request was sent.
    pub req_ns: i64,
    /// The venue's clock when it was handled; 0 or less where it was refused unread.
    pub exch_ns: i64,
    /// Our clock when the answer arrived.
    pub resp_ns: i64,
}

/// Latencies interpolated between those of measured orders, in hftbacktest's meaning of its
/// `IntpOrderLatency`: linear in the time of the request (of the answer) between the samples before
/// and after it, that of the first sample before it and of the last one after it. Between two
/// samples of which one was refused unread, requests are refused.
#[derive(Clone, Debug)]
pub struct InterpolatedLatency {
    samples: Vec<LatencySample>,
    entry_at: usize,
    response_at: usize,
}

impl InterpolatedLatency {
    /// Over samples in order of their requests: at least one, the first and last handled, no
    /// answer before its handling, no handling before its request, and the venue's times of handled
    /// ones rising.
    pub fn new(samples: Vec<LatencySample>) -> Result<Self> {
        let bad = |at: usize, expected: &str, found: LatencySample| {
            let place = format!("latency.file: sample {at}");
            Err(Error::invalid(place, expected, format!("{found:?}")))
        };
        if samples.is_empty() {
            return Err(Error::invalid(
                "latency.file",
                "at least one sample",
                "none",
            ));
        }
        let mut latest: Option<LatencySample> = None;
        for (at, &sample) in samples.iter().enumerate() {
            let refused = sample.exch_ns <= 0;
            let ends = at == 0 || at + 1 == samples.len();
            if refused && ends {
                return bad(at, "a handled request at both ends", sample);
            }
            let handled = refused || (sample.req_ns..=sample.resp_ns).contains(&sample.exch_ns);
            if !handled || sample.req_ns > sample.resp_ns {
                return bad(at, "request ≤ exchange ≤ response", sample);
            }
            if sample.resp_ns - sample.req_ns > HOUR_NS {
                return bad(at, "a round trip of at most an hour", sample);
            }
            if let Some(before) = latest
                && (before.req_ns >= sample.req_ns || (!refused && before.exch_ns > sample.exch_ns))
            {
                return bad(at, "requests in rising order of time at both ends", sample);
            }
            latest = Some(LatencySample {
                exch_ns: if refused {
                    latest.map_or(0, |before| before.exch_ns)
                } else {
                    sample.exch_ns
                },
                ..sample
            });
        }
        Ok(Self {
            samples,
            entry_at: 0,
            response_at: 0,
        })
    }
}

impl LatencyModel for InterpolatedLatency {
    fn order_entry(&mut self, ts_local_ns: i64) -> Delay {
        let first = self.samples[0];
        if ts_local_ns < first.req_ns {
            return Delay::Arrives(first.exch_ns - first.req_ns);
        }
        while let Some(next) = self.samples.get(self.entry_at + 1)
            && next.req_ns <= ts_local_ns
        {
            self.entry_at += 1;
        }
        let from = self.samples[self.entry_at];
        let Some(&to) = self.samples.get(self.entry_at + 1) else {
            return Delay::Arrives(from.exch_ns - from.req_ns);
        };
        let span = (from.req_ns, to.req_ns);
        if from.exch_ns <= 0 || to.exch_ns <= 0 {
            let trips = (from.resp_ns - from.req_ns, to.resp_ns - to.req_ns);
            return Delay::Refused(interpolate(ts_local_ns, span, trips));
        }
        let ways = (from.exch_ns - from.req_ns, to.exch_ns - to.req_ns);
        Delay::Arrives(interpolate(ts_local_ns, span, ways))
    }

    fn response_ns(&mut self, ts_exchange_ns: i64) -> i64 {
        let first = self.samples[0];
        if ts_exchange_ns < first.exch_ns {
            return first.resp_ns - first.exch_ns;
        }
        loop {
            let from = self.samples[self.response_at];
            // Requests refused unread have no time at the exchange.
            let mut next = self.response_at + 1;
            while self.samples.get(next).is_some_and(|s| s.exch_ns <= 0) {
                next += 1;
            }
            let Some(&to) = self.samples.get(next) else {
                return from.resp_ns - from.exch_ns;
            };
            if ts_exchange_ns < to.exch_ns {
                let ways = (from.resp_ns - from.exch_ns, to.resp_ns - to.exch_ns);
                return interpolate(ts_exchange_ns, (from.exch_ns, to.exch_ns), ways);
            }
            self.response_at = next;
        }
    }
}

/// `at` between two points; cut towards zero as hftbacktest does.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "latencies are below 2^53 ns"
)]
fn interpolate(at: i64, x: (i64, i64), y: (i64, i64)) -> i64 {
    let slope = (y.1 - y.0) as f64 / (x.1 - x.0) as f64;
    (slope * (at - x.0) as f64) as i64 + y.0
}

/// Order latencies that follow the market data's: a factor times the latency of the message received
/// last, plus a constant. It knows only what was received, so paper trading can use it as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedLatency {
    order_entry: (f64, i64),
    response: (f64, i64),
    feed_ns: i64,
}

impl FeedLatency {
    /// Factor and constant (ns) of order entry and of the response.
    pub fn new(order_entry: (f64, i64), response: (f64, i64)) -> Result<Self> {
        for (name, (factor, base_ns)) in [("order_entry", order_entry), ("response", response)] {
            if !(0.0..=1_000.0).contains(&factor) {
                let name = format!("latency.{name}_factor");
                return Err(Error::invalid(name, "0 to 1000", factor));
            }
            check_time(format!("latency.{name}_ns"), base_ns)?;
        }
        Ok(Self {
            order_entry,
            response,
            feed_ns: 0,
        })
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "latencies are below 2^53 ns"
    )]
    fn scaled(&self, (factor, base_ns): (f64, i64)) -> i64 {
        (factor * self.feed_ns as f64) as i64 + base_ns
    }
}

impl LatencyModel for FeedLatency {
    fn order_entry(&mut self, _ts_local_ns: i64) -> Delay {
        Delay::Arrives(self.scaled(self.order_entry))
    }

    fn response_ns(&mut self, _ts_exchange_ns: i64) -> i64 {
        self.scaled(self.response)
    }

    fn on_feed(&mut self, ts_event_ns: i64, ts_recv_ns: i64) {
        self.feed_ns = ts_recv_ns.saturating_sub(ts_event_ns).clamp(0, HOUR_NS);
    }

    fn wants_feed(&self) -> bool {
        true
    }
}

/// A distribution of latencies above a least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Normal, cut off at the least.
    Normal,
    /// The part above the least is log-normal.
    LogNormal,
}

/// Latencies drawn anew for each message from a distribution with a mean and a standard deviation;
/// the same seed draws the same.
#[derive(Clone, Debug)]
pub struct RandomLatency {
    distribution: Distribution,
    order_entry: Spread,
    response: Spread,
    random: Random,
}

/// Parameters of one direction, in ns; for a log-normal those of the logarithm.
#[derive(Clone, Copy, Debug)]
struct Spread {
    least_ns: i64,
    mean: f64,
    deviation: f64,
}

impl RandomLatency {
    /// Means and standard deviations in ns of order entry and response, each at least `least_ns`.
    #[allow(clippy::cast_precision_loss, reason = "checked to be below an hour")]
    pub fn new(
        distribution: Distribution,
        order_entry: (i64, i64),
        response: (i64, i64),
        least_ns: i64,
        random: Random,
    ) -> Result<Self> {
        check_time("latency.least_ns", least_ns)?;
        let spread = |name: &str, (mean_ns, deviation_ns): (i64, i64)| {
            check_time(format!("latency.{name}_ns"), mean_ns)?;
            check_time(format!("latency.{name}_std_ns"), deviation_ns)?;
            if mean_ns <= least_ns {
                let expected = format!("more than latency.least_ns ({least_ns})");
                return Err(Error::invalid(
                    format!("latency.{name}_ns"),
                    expected,
                    mean_ns,
                ));
            }
            let (mean, deviation) = ((mean_ns - least_ns) as f64, deviation_ns as f64);
            Ok(match distribution {
                Distribution::Normal => Spread {
                    least_ns,
                    mean,
                    deviation,
                },
                Distribution::LogNormal => {
                    // Moments of the log-normal distribution, solved for those of the logarithm.
                    let variance = libm::log1p((deviation / mean) * (deviation / mean));
                    Spread {
                        least_ns,
                        mean: libm::log(mean) - variance / 2.0,
                        deviation: variance.sqrt(),
                    }
                }
            })
        };
        Ok(Self {
            distribution,
            order_entry: spread("order_entry", order_entry)?,
            response: spread("response", response)?,
            random,
        })
    }

    #[allow(clippy::cast_possible_truncation, reason = "clamped to an hour")]
    fn draw(&mut self, spread: Spread) -> i64 {
        let value = spread.mean + spread.deviation * self.random.normal();
        let above = match self.distribution {
            Distribution::Normal => value,
            Distribution::LogNormal => libm::exp(value),
        };
        spread.least_ns + above.clamp(0.0, 3.6e12) as i64
    }
}

impl LatencyModel for RandomLatency {
    fn order_entry(&mut self, _ts_local_ns: i64) -> Delay {
        Delay::Arrives(self.draw(self.order_entry))
    }

    fn response_ns(&mut self, _ts_exchange_ns: i64) -> i64 {
        self.draw(self.response)
    }
}

fn check_time(name: impl Into<Cow<'static, str>>, value: i64) -> Result<()> {
    if (0..=HOUR_NS).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(name, "0 to 3600000000000 (one hour)", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(req_ns: i64, exch_ns: i64, resp_ns: i64) -> LatencySample {
        LatencySample {
            req_ns,
            exch_ns,
            resp_ns,
        }
    }

    #[test]
    fn latencies_between_samples_are_on_the_line() {
        let samples = vec![sample(100, 110, 130), sample(200, 230, 240)];
        let mut model = InterpolatedLatency::new(samples).unwrap();
        assert_eq!(model.order_entry(50), Delay::Arrives(10));
        assert_eq!(model.order_entry(100), Delay::Arrives(10));
        assert_eq!(model.order_entry(150), Delay::Arrives(20));
        assert_eq!(model.order_entry(500), Delay::Arrives(30));
        // Answers: 20 at 110, 10 at 230.
        assert_eq!(model.response_ns(90), 20);
        assert_eq!(model.response_ns(170), 15);
        assert_eq!(model.response_ns(230), 10);
    }

    #[test]
    fn beside_a_refused_sample_requests_are_refused() {
        let samples = vec![
            sample(100, 110, 130),
            sample(200, 0, 260),
            sample(300, 310, 320),
        ];
        let mut model = InterpolatedLatency::new(samples).unwrap();
        assert_eq!(model.order_entry(150), Delay::Refused(45));
        assert_eq!(model.order_entry(250), Delay::Refused(40));
        assert_eq!(model.order_entry(300), Delay::Arrives(10));
        assert_eq!(model.response_ns(210), 15, "from 20 at 110 to 10 at 310");
    }

    #[test]
    fn samples_that_cannot_be_are_named() {
        for (samples, words) in [
            (vec![], "at least one sample"),
            (vec![sample(5, 4, 6)], "request ≤ exchange ≤ response"),
            (vec![sample(5, 0, 6)], "a handled request at both ends"),
            (vec![sample(5, 6, 7), sample(5, 6, 7)], "rising order"),
            (vec![sample(5, 9, 9), sample(6, 8, 9)], "rising order"),
            (vec![sample(0, 1, 2 * HOUR_NS)], "at most an hour"),
        ] {
            let error = InterpolatedLatency::new(samples).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn feed_latency_follows_the_feed() {
        let mut model = FeedLatency::new((2.0, 5), (1.0, 0)).unwrap();
        assert_eq!(model.order_entry(0), Delay::Arrives(5));
        model.on_feed(100, 140);
        assert_eq!(
            (model.order_entry(0), model.response_ns(0)),
            (Delay::Arrives(85), 40)
        );
        // A feed that is ahead of its own venue has no latency to go by.
        model.on_feed(100, 90);
        assert_eq!(model.response_ns(0), 0);
    }

    #[test]
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn drawn_latencies_have_the_moments_asked_for() {
        for distribution in [Distribution::Normal, Distribution::LogNormal] {
            let draw = |seed| {
                let random = Random::new(seed, 1);
                let (entry, response) = ((10_000, 1_000), (20_000, 4_000));
                let mut model =
                    RandomLatency::new(distribution, entry, response, 2_000, random).unwrap();
                (0..20_000)
                    .map(|_| model.response_ns(0) as f64)
                    .collect::<Vec<_>>()
            };
            let drawn = draw(7);
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let square = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            let deviation = (square / drawn.len() as f64).sqrt();
            // Three standard errors: 4000 / √20000 × 3 = 85, for the deviation a little less.
            assert!((mean - 20_000.0).abs() < 85.0, "{distribution:?} {mean}");
            assert!((deviation - 4_000.0).abs() < 200.0, "{deviation}");
            assert!(drawn.iter().all(|x| *x >= 2_000.0));
            assert_eq!(drawn, draw(7));
            assert_ne!(drawn, draw(8));
        }
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let random = || Random::new(1, 1);
        let errors = [
            ConstantLatency::new(-1, 0).unwrap_err(),
            ConstantLatency::new(0, HOUR_NS + 1).unwrap_err(),
            FeedLatency::new((-0.5, 0), (1.0, 0)).unwrap_err(),
            FeedLatency::new((f64::NAN, 0), (1.0, 0)).unwrap_err(),
            RandomLatency::new(Distribution::Normal, (5, 1), (9, 1), 5, random()).unwrap_err(),
        ];
        let names = [
            "latency.order_entry_ns",
            "latency.response_ns",
            "latency.order_entry_factor",
            "latency.order_entry_factor",
            "latency.order_entry_ns",
        ];
        for (error, name) in errors.iter().zip(names) {
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
