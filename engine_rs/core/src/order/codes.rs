//! Why a request was refused, or an order ended early: the codes that users see.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the codes once: number, name for users, meaning.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// Why a request was refused or an order ended. The names are the codes that users see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum RejectCode {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl RejectCode {
            /// All codes with their meanings, in order of their numbers.
            pub const ALL: &[(Self, &str)] = &[$((Self::$variant, concat!($($doc),+)),)+];

            /// The code with this number.
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.iter().map(|(code, _)| *code).find(|code| *code as u8 == number)
            }

            /// The code that users see.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

codes! {
    /// The quantity is below the instrument's minimum.
    QtyTooSmall = 1, "QTY_TOO_SMALL";
    /// The quantity is above the instrument's maximum.
    QtyTooLarge = 2, "QTY_TOO_LARGE";
    /// The price is not positive.
    PxNotPositive = 3, "PX_NOT_POSITIVE";
    /// Price × quantity is below the instrument's minimum notional.
    NotionalTooSmall = 4, "NOTIONAL_TOO_SMALL";
    /// The price is not a multiple of the tick.
    PxOffTick = 5, "PX_OFF_TICK";
    /// The quantity is not a multiple of the lot.
    QtyOffLot = 6, "QTY_OFF_LOT";
    /// A post-only order would have taken liquidity.
    PostOnlyWouldTake = 7, "POST_ONLY_WOULD_TAKE";
    /// A taking order met an empty side of the book, or used it up.
    NoLiquidity = 8, "NO_LIQUIDITY";
    /// The exchange's book is suspect.
    BookSuspect = 9, "BOOK_SUSPECT";
    /// The order to cancel or modify is not open at the exchange.
    OrderNotOpen = 10, "ORDER_NOT_OPEN";
    /// The value of the order does not fit the engine's money.
    NotionalTooLarge = 11, "NOTIONAL_TOO_LARGE";
    /// The run has ended.
    RunEnded = 12, "RUN_ENDED";
    /// A reduce-only order has no position to reduce.
    ReduceOnly = 13, "REDUCE_ONLY";
    /// A stop or take-profit order would trigger at once, or a trailing stop begin.
    WouldTrigger = 14, "WOULD_TRIGGER";
    /// The price lies outside the venue's band around the mark price.
    PxOutOfBand = 15, "PX_OUT_OF_BAND";
    /// The order would have traded with another of the same account.
    SelfTrade = 16, "SELF_TRADE";
    /// Another order of the same list ended or was filled.
    ListEnded = 17, "LIST_ENDED";
    /// The modification asks for no more than is filled already.
    QtyBelowFilled = 18, "QTY_BELOW_FILLED";
    /// The good-till-date time had passed on arrival, or was reached.
    TimeExpired = 19, "TIME_EXPIRED";
    /// The exchange refused the request unread, as venues do when overloaded.
    Overloaded = 20, "OVERLOADED";
    /// A client order id was used before in this run.
    ClientIdUsed = 21, "CLIENT_ID_USED";
    /// The iceberg's displayed quantity is not between the minimum and the whole.
    DisplayInvalid = 22, "DISPLAY_INVALID";
    /// The quantity of a bracket's exit follows its entry and cannot be changed.
    ExitQty = 23, "EXIT_QTY";
    /// The free margin does not cover the order, or the position would be larger than the venue allows.
    MarginInsufficient = 60, "MARGIN_INSUFFICIENT";
    /// The free balance does not cover the order.
    BalanceInsufficient = 61, "BALANCE_INSUFFICIENT";
    /// The venue liquidates: it cancelled the order, or closed the position with it.
    Liquidation = 62, "LIQUIDATION";
    /// Trading has ended: only orders that reduce a position pass.
    RiskKilled = 100, "RISK_KILLED";
    /// The position is being closed by its stop-loss: only orders that reduce it pass.
    RiskStopped = 101, "RISK_STOPPED";
    /// The order's quantity is above the limit.
    RiskOrderQty = 102, "RISK_ORDER_QTY";
    /// The order's notional is above the limit.
    RiskOrderNotional = 103, "RISK_ORDER_NOTIONAL";
    /// The limit price lies too far on the far side of the mid, where it takes.
    RiskPxThrough = 104, "RISK_PX_THROUGH";
    /// The limit price lies too far on the near side of the mid, where it rests.
    RiskPxAway = 105, "RISK_PX_AWAY";
    /// Too many orders and modifications were sent within an interval.
    RiskOrderRate = 106, "RISK_ORDER_RATE";
    /// Too many orders of the instrument are live.
    RiskInstrumentOrders = 107, "RISK_INSTRUMENT_ORDERS";
    /// Too many orders of the account are live.
    RiskAccountOrders = 108, "RISK_ACCOUNT_ORDERS";
    /// The position could become too large.
    RiskPosition = 109, "RISK_POSITION";
    /// The instrument's exposure could become too large.
    RiskExposure = 110, "RISK_EXPOSURE";
    /// The gross exposure of a group could become too large.
    RiskGroupGross = 111, "RISK_GROUP_GROSS";
    /// The net exposure of a group could become too large.
    RiskGroupNet = 112, "RISK_GROUP_NET";
    /// The gross exposure of the account could become too large.
    RiskAccountGross = 113, "RISK_ACCOUNT_GROSS";
    /// The net exposure of the account could become too large.
    RiskAccountNet = 114, "RISK_ACCOUNT_NET";
    /// The instrument's share of the account's gross exposure could become too large.
    RiskConcentration = 115, "RISK_CONCENTRATION";
    /// A limit needs a price that is not known yet.
    RiskPriceMissing = 116, "RISK_PRICE_MISSING";
    /// The free balance or margin does not cover the order.
    RiskFunds = 117, "RISK_FUNDS";
}

/// By number, which stays where a code is added; for people by name, which cannot be read back.
impl Serialize for RejectCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u8(*self as u8)
        }
    }
}

impl<'de> Deserialize<'de> for RejectCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::from_number(number)
            .ok_or_else(|| D::Error::custom(format!("expected a reject code, found {number}")))
    }
}
