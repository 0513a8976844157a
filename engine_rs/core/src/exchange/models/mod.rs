//! The parts of the simulated exchange that a user may swap, each behind a small trait: latency,
//! place in the queue, fills and fees.

mod fees;
mod fill;
mod latency;
mod queue;

pub use fees::{
    FeeBasis, FeeModel, FlatFees, QuantityFees, Tier, TieredFees, VOLUME_DAYS, ValueFees,
};
pub use fill::{BookWalk, FillModel, NoPartialFill, PartialFill};
pub(crate) use fill::{is_within, opposite_best, other};
pub use latency::{
    ConstantLatency, Delay, Distribution, FeedLatency, InterpolatedLatency, LatencyModel,
    LatencySample, RandomLatency,
};
pub use queue::{
    L3Fifo, Probability, ProbabilityQueue, QueueModel, QueuePosition, RiskAverseQueue,
};
