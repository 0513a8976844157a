//! Why a request was refused, or an order ended early: the codes that users see.

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
    /// A stop or take-profit order would trigger at once.
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
}
