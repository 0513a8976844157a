//! What may be limited, as integers. `None` is no limit.
//!
//! Money is in US dollars, in which every asset whose name stands for a dollar counts as one and
//! every other asset has the price that the caller tells ([`super::View::quote_usd`]).

use crate::decimal::Step;
use crate::money::Money;

/// Units of a [`Share`] or a [`Rate`] in one.
const SHARE_ONE: i128 = 100_000_000;
const RATE_ONE: i64 = 1_000_000_000;

/// A share of something in units of 1e-8: 1 % is 1,000,000 and one basis point 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub i64);

impl Share {
    /// Whether `part` is more than this share of `whole`; amounts of up to 1e30 units.
    pub(super) fn is_passed(self, part: i128, whole: i128) -> bool {
        part * SHARE_ONE > i128::from(self.0) * whole
    }

    /// Whether `part` is at least this share of `whole`; amounts of up to 1e30 units.
    pub(super) fn is_reached(self, part: i128, whole: i128) -> bool {
        part * SHARE_ONE >= i128::from(self.0) * whole
    }

    /// This share of an amount, for telling it.
    pub(super) fn of(self, amount: Money) -> Money {
        Money(mul_div(amount.0, i128::from(self.0), SHARE_ONE))
    }
}

/// The price of an asset in US dollars, in units of 1e-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub i64);

impl Rate {
    /// One dollar.
    pub const ONE: Self = Self(RATE_ONE);

    /// Twice a mid in ticks as a price, cut to a rate's unit; `None` where it does not fit.
    pub fn of_mid(px_x2: i64, tick: Step) -> Option<Self> {
        let (mantissa, places) = tick.parts();
        let by = i128::from(mantissa) * i128::from(RATE_ONE);
        let over = 10i128.checked_pow(places)?.checked_mul(2)?;
        let rate = i128::from(px_x2).checked_mul(by)? / over;
        i64::try_from(rate).ok().map(Self)
    }

    /// An amount of the asset in dollars, cut to money's unit.
    pub fn usd(self, amount: Money) -> Money {
        if self == Self::ONE {
            return amount;
        }
        Money(mul_div(amount.0, i128::from(self.0), i128::from(RATE_ONE)))
    }
}

/// `value × by ÷ over`, cut towards zero; what does not fit stays at the end of the range. `over`
/// is positive, and the product of `by` and `over` is below 1e38.
pub(super) fn mul_div(value: i128, by: i128, over: i128) -> i128 {
    // Split, so that the product stays small.
    let whole = (value / over).saturating_mul(by);
    whole.saturating_add(value % over * by / over)
}

/// Limits of one instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstrumentLimits {
    /// Largest order, in lots.
    pub order_lots_max: Option<i64>,
    /// Largest order, in dollars.
    pub order_notional_max: Option<Money>,
    /// How far a limit price may lie on the far side of the mid, where it takes.
    pub px_through_max: Option<Share>,
    /// How far a limit price may lie on the near side of the mid, where it rests.
    pub px_away_max: Option<Share>,
    /// Most live orders.
    pub orders_open_max: Option<usize>,
    /// Largest position on either side, in lots, when all open orders of that side have filled.
    pub position_lots_max: Option<i64>,
    /// As `position_lots_max`, in dollars at the mid.
    pub exposure_max: Option<Money>,
    /// Unrealized loss in dollars at which the position is closed.
    pub stop_loss: Option<Money>,
    /// Unrealized loss, as a share of the position's value at entry, at which it is closed.
    pub stop_loss_share: Option<Share>,
}

/// Limits over several instruments, in dollars at the mid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLimits {
    /// Indices of the instruments.
    pub members: Vec<u16>,
    /// Largest sum of the instruments' largest positions on either side.
    pub gross_max: Option<Money>,
    /// Largest sum of signed positions, when all open orders of one side have filled.
    pub net_max: Option<Money>,
}

/// At most this many orders within any time of this length, on our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRate {
    /// Orders, at least 1.
    pub orders: usize,
    /// Length of the window in ns, positive.
    pub interval_ns: i64,
}

/// The largest share of one instrument in the account's gross exposure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concentration {
    /// The share.
    pub share: Share,
    /// The gross exposure counts as at least this much, so that a first position can be taken.
    pub floor: Money,
}

/// Everything that may be limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of each instrument, in the order of their indices.
    pub instruments: Vec<InstrumentLimits>,
    /// Of groups of instruments.
    pub groups: Vec<GroupLimits>,
    /// Most live orders of the account.
    pub orders_open_max: Option<usize>,
    /// How often orders may be sent.
    pub order_rates: Vec<OrderRate>,
    /// As of a group, over all instruments.
    pub gross_max: Option<Money>,
    /// As of a group, over all instruments.
    pub net_max: Option<Money>,
    /// Of one instrument in the account.
    pub concentration: Option<Concentration>,
    /// Fall of equity from its peak in dollars at which trading ends.
    pub drawdown_max: Option<Money>,
    /// Fall of equity from its peak, as a share of the peak, at which trading ends.
    pub drawdown_share_max: Option<Share>,
    /// Loss since the beginning of the UTC day in dollars at which trading ends.
    pub daily_loss_max: Option<Money>,
    /// As `daily_loss_max`, as a share of the equity at the beginning of the day.
    pub daily_loss_share_max: Option<Share>,
    /// Round trips closed at a loss one after the other at which trading ends.
    pub losses_max: Option<u32>,
    /// Whether a limit that ends trading also closes all positions.
    pub flattens: bool,
}

impl Limits {
    /// No limits for this many instruments.
    pub fn none(instruments: usize) -> Self {
        Self {
            instruments: vec![InstrumentLimits::default(); instruments],
            ..Self::default()
        }
    }

    /// Whether there is anything to look at as time goes by.
    pub fn watches_time(&self) -> bool {
        self.watches_equity()
            || self.losses_max.is_some()
            || self
                .instruments
                .iter()
                .any(|limits| limits.stop_loss.is_some() || limits.stop_loss_share.is_some())
    }

    /// Whether equity in dollars is looked at.
    pub fn watches_equity(&self) -> bool {
        self.drawdown_max.is_some()
            || self.drawdown_share_max.is_some()
            || self.daily_loss_max.is_some()
            || self.daily_loss_share_max.is_some()
    }
}
