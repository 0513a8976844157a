//! What may be sent: every limit that is looked at before an order.

use super::window::Window;
use super::{Held, Open, RiskEngine, View};
use crate::Result;
use crate::event::Side;
use crate::money::Money;
use crate::order::{NewOrder, OrderKind, RejectCode};

/// Exposures and their sums end here, far beyond what may be traded, so that a comparison with a
/// share of them fits.
const EXPOSURE_MAX: i128 = 10i128.pow(30);

/// Which instruments a sum goes over, its limits, and what passing them is called.
struct Sum<'a> {
    members: &'a [u16],
    gross_max: Option<Money>,
    net_max: Option<Money>,
    gross: RejectCode,
    net: RejectCode,
}

impl RiskEngine {
    /// Why an order must not be sent, if it must not: the first reason in the order of the table in
    /// `docs/risk.md`. `ahead` is how many orders of its list are sent before it at the same time, `is_covered`
    /// whether the account can pay for it.
    pub fn check(
        &self,
        order: &NewOrder,
        ahead: usize,
        is_covered: bool,
        view: &impl View,
    ) -> Option<RejectCode> {
        let counted = self.list_lots(&Open::new(order));
        let extra = order.qty_lots.saturating_sub(counted).max(0);
        self.judge(order, extra, Some(ahead), is_covered, view)
            .err()
    }

    /// As [`Self::check`], for a change of a live order, with its whole quantity. `None` as well
    /// for an order that is not live.
    pub fn check_modify(
        &self,
        id: u64,
        order: &NewOrder,
        is_covered: bool,
        view: &impl View,
    ) -> Option<RejectCode> {
        let open = self.open.get(&id)?;
        let wanted = order.qty_lots.saturating_sub(open.filled_lots);
        let counted = self.list_lots(open).max(open.counted_lots());
        let extra = wanted.saturating_sub(counted).max(0);
        self.judge(order, extra, None, is_covered, view).err()
    }

    fn judge(
        &self,
        order: &NewOrder,
        extra: i64,
        new_behind: Option<usize>,
        is_covered: bool,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let held = &self.held[usize::from(order.instrument)];
        held.rules.check(order)?;
        let reduces = order.reduce_only || reduces(held, order.side, extra);
        if !reduces {
            refuse(self.watch.kill().is_some(), RejectCode::RiskKilled)?;
            refuse(held.closing, RejectCode::RiskStopped)?;
        }
        self.check_size(held, order, view)?;
        check_collar(held, order, view)?;
        let ahead = new_behind.unwrap_or(0);
        let now_ns = view.now_ns();
        let is_full = |window: &Window| window.is_full(ahead, now_ns);
        refuse(self.windows.iter().any(is_full), RejectCode::RiskOrderRate)?;
        if new_behind.is_some() {
            let is_at = |count: usize, max: Option<usize>| max.is_some_and(|max| count >= max);
            let here = is_at(held.orders_open + ahead, held.limits.orders_open_max);
            refuse(here, RejectCode::RiskInstrumentOrders)?;
            let anywhere = is_at(self.open.len() + ahead, self.limits.orders_open_max);
            refuse(anywhere, RejectCode::RiskAccountOrders)?;
        }
        if !reduces && extra > 0 {
            self.check_exposure(order, extra, view)?;
        }
        refuse(!is_covered, RejectCode::RiskFunds)
    }

    fn check_size(
        &self,
        held: &Held,
        order: &NewOrder,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let is_large = held
            .limits
            .order_lots_max
            .is_some_and(|max| order.qty_lots > max);
        refuse(is_large, RejectCode::RiskOrderQty)?;
        if let Some(max) = held.limits.order_notional_max {
            let instrument = usize::from(order.instrument);
            let px_x2 = if order.kind == OrderKind::Limit {
                order.px_ticks.checked_mul(2)
            } else {
                reference_px_x2(order, view)
            };
            let notional = self.usd(instrument, px_x2, order.qty_lots, view)?;
            refuse(notional > max.0, RejectCode::RiskOrderNotional)?;
        }
        Ok(())
    }

    fn check_exposure(
        &self,
        order: &NewOrder,
        extra: i64,
        view: &impl View,
    ) -> Result<(), RejectCode> {
        let instrument = usize::from(order.instrument);
        let held = &self.held[instrument];
        let reach = held.reach_lots(order.side, extra);
        let is_long = held.limits.position_lots_max.is_some_and(|max| reach > max);
        refuse(is_long, RejectCode::RiskPosition)?;
        if let Some(max) = held.limits.exposure_max {
            let exposure = self.exposure(instrument, reach, view)?;
            refuse(exposure > max.0, RejectCode::RiskExposure)?;
        }
        for index in &held.groups {
            let group = &self.limits.groups[*index];
            let sum = Sum {
                members: &group.members,
                gross_max: group.gross_max,
                net_max: group.net_max,
                gross: RejectCode::RiskGroupGross,
                net: RejectCode::RiskGroupNet,
            };
            self.check_sum(&sum, order, reach, view)?;
        }
        let limit = self.limits.concentration;
        let account = Sum {
            members: &self.all,
            // A share of the sum needs the sum, whether that is limited or not.
            gross_max: self.limits.gross_max.or(limit.map(|_| Money(i128::MAX))),
            net_max: self.limits.net_max,
            gross: RejectCode::RiskAccountGross,
            net: RejectCode::RiskAccountNet,
        };
        let gross = self.check_sum(&account, order, reach, view)?;
        if let (Some(limit), Some(gross)) = (limit, gross) {
            let own = self.exposure(instrument, reach, view)?;
            let is_passed = limit.share.is_passed(own, gross.max(limit.floor.0));
            refuse(is_passed, RejectCode::RiskConcentration)?;
        }
        Ok(())
    }

    /// The gross exposure with the order, where it is limited and the order raises it.
    fn check_sum(
        &self,
        sum: &Sum<'_>,
        order: &NewOrder,
        reach: i64,
        view: &impl View,
    ) -> Result<Option<i128>, RejectCode> {
        let own = usize::from(order.instrument);
        let mut gross = None;
        if let Some(max) = sum.gross_max
            && reach > self.held[own].gross_lots()
        {
            let found = self.total(sum.members, own, reach, Held::gross_lots, view)?;
            refuse(found > max.0, sum.gross)?;
            gross = Some(found);
        }
        if let Some(max) = sum.net_max {
            let lots = |held: &Held| held.reach_lots(order.side, 0);
            let found = self.total(sum.members, own, reach, lots, view)?;
            refuse(found > max.0, sum.net)?;
        }
        Ok(gross)
    }

    /// Exposure of these instruments, each with so many lots, and `own_lots` of one of them.
    fn total(
        &self,
        members: &[u16],
        own: usize,
        own_lots: i64,
        lots: impl Fn(&Held) -> i64,
        view: &impl View,
    ) -> Result<i128, RejectCode> {
        let mut total = 0i128;
        for member in members {
            let member = usize::from(*member);
            let lots = if member == own {
                own_lots
            } else {
                lots(&self.held[member])
            };
            total += self.exposure(member, lots, view)?;
        }
        Ok(total.clamp(-EXPOSURE_MAX, EXPOSURE_MAX))
    }

    /// Signed lots of an instrument in units of money in dollars at the mid.
    fn exposure(&self, instrument: usize, lots: i64, view: &impl View) -> Result<i128, RejectCode> {
        self.usd(instrument, view.mid_px_x2(instrument), lots, view)
    }

    /// Signed lots at twice a price: price × quantity of linear contracts, quantity × contract size
    /// of inverse ones, in units of money in dollars.
    fn usd(
        &self,
        instrument: usize,
        px_x2: Option<i64>,
        lots: i64,
        view: &impl View,
    ) -> Result<i128, RejectCode> {
        if lots == 0 {
            return Ok(0);
        }
        let valuer = &self.held[instrument].valuer;
        let missing = RejectCode::RiskPriceMissing;
        let size = lots.saturating_abs();
        let value = if valuer.is_inverse() {
            valuer.quote_notional(1, size)
        } else {
            valuer.value_at_mid(px_x2.ok_or(missing)?, size)
        };
        let rate = view.quote_usd(instrument).ok_or(missing)?;
        let usd = value.map_or(EXPOSURE_MAX, |value| rate.usd(value).0.min(EXPOSURE_MAX));
        Ok(if lots < 0 { -usd } else { usd })
    }
}

fn refuse(if_so: bool, code: RejectCode) -> Result<(), RejectCode> {
    if if_so { Err(code) } else { Ok(()) }
}

/// Whether an order of this side cannot carry the position through zero, whatever fills.
fn reduces(held: &Held, side: Side, extra: i64) -> bool {
    held.position_lots != 0 && held.reach_lots(side, extra) <= 0
}

/// Twice the price around which an order is expected to act: its trigger's, else the mid.
fn reference_px_x2(order: &NewOrder, view: &impl View) -> Option<i64> {
    match order.trigger {
        Some(trigger) if trigger.px_ticks > 0 => trigger.px_ticks.checked_mul(2),
        _ => view.mid_px_x2(usize::from(order.instrument)),
    }
}

fn check_collar(held: &Held, order: &NewOrder, view: &impl View) -> Result<(), RejectCode> {
    let limits = &held.limits;
    if order.kind == OrderKind::Market
        || (limits.px_through_max.is_none() && limits.px_away_max.is_none())
    {
        return Ok(());
    }
    let reference_x2 = reference_px_x2(order, view).ok_or(RejectCode::RiskPriceMissing)?;
    let reference_x2 = i128::from(reference_x2);
    let above_x2 = 2 * i128::from(order.px_ticks) - reference_x2;
    let through_x2 = if order.side == Side::Bid {
        above_x2
    } else {
        -above_x2
    };
    let is_through = limits
        .px_through_max
        .is_some_and(|share| share.is_passed(through_x2, reference_x2));
    refuse(is_through, RejectCode::RiskPxThrough)?;
    let is_away = limits
        .px_away_max
        .is_some_and(|share| share.is_passed(-through_x2, reference_x2));
    refuse(is_away, RejectCode::RiskPxAway)
}
