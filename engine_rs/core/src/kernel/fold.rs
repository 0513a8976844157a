//! A run from its journal: the strategy's part is taken from the records, everything else happens
//! again and is held against them. So any moment of a run can be rebuilt without the strategy.

use super::entry::{Entry, Subscription};
use super::{Kernel, Phase};
use crate::error::{Error, Result};
use crate::journal::Records;
use crate::kernel::Divergence;

impl Kernel {
    /// Holds what happens against the records of a journal, which stays as it is; before the first
    /// [`Self::next`]. With `only_commands` only the strategy's commands have to be the same.
    pub fn replay_journal(&mut self, records: Records, only_commands: bool) {
        self.log.replay(records, only_commands);
    }

    /// Takes over the settings of the run that is folded, which only a strategy's part is in.
    pub fn take_settings(&mut self) -> Result<()> {
        if let Some(settings) = self.log.settings_held()? {
            self.fingerprint = settings;
        }
        Ok(())
    }

    /// Does what the strategy did in the step that [`Self::next`] gave last, as the journal has it.
    /// `false` where the journal ends.
    pub fn fold(&mut self) -> Result<bool> {
        while let Some((kind, content)) = self.log.next_input(self.seq)? {
            let before = self.log.held_seq();
            self.put_in(Entry::decode(kind, &content)?)?;
            self.log.check()?;
            if self.log.held_seq() == before {
                let expected = format!("record {} to have happened again", before + 1);
                return Err(Error::invalid("journal", expected, Entry::name_of(kind)));
            }
        }
        self.log.check()?;
        self.log.has_more()
    }

    /// Number of the journal's record that was held last.
    pub fn held_seq(&self) -> u64 {
        self.log.held_seq()
    }

    /// The strategy's method that the current step is for.
    pub fn handler(&self) -> &'static str {
        self.handler.name()
    }

    /// Where what happens differs from the journal, once it does.
    pub fn divergence(&self) -> Option<&Divergence> {
        self.log.divergence()
    }

    /// Whether the run has come to its end.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    fn put_in(&mut self, entry: Entry<'_>) -> Result<()> {
        match entry {
            Entry::Submit(given) => {
                self.submit_named(given.request, given.client_id.as_deref(), given.refusal);
            }
            Entry::SubmitList(given) => {
                self.submit_list(&given.requests, given.refusal);
            }
            Entry::Ask(asked) => {
                match asked.change {
                    None => self.cancel(asked.order),
                    Some(change) => self.modify(asked.order, change),
                };
            }
            Entry::CancelAll(asked) => {
                self.cancel_all(usize::from(asked.instrument));
            }
            Entry::Kill(asked) => {
                self.kill(asked.by, &asked.reason, asked.flatten);
            }
            Entry::Subscribe(wanted) => self.subscribe(wanted)?,
            Entry::SetTimer(timer) => {
                self.set_timer(timer.at_ns, timer.every_ns)?;
            }
            Entry::CancelTimer(id) => {
                self.cancel_timer(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, wanted: Subscription<'_>) -> Result<()> {
        let at = usize::from;
        match wanted {
            Subscription::Book(market, every_ns) => self.subscribe_book(at(market), every_ns)?,
            Subscription::Trades(market) => self.subscribe_trades(at(market)),
            Subscription::Chart(market, interval_ns) => {
                self.add_chart(at(market), interval_ns)?;
            }
            Subscription::Indicator(market, chart, name) => {
                self.add_indicator(at(market), at(chart), &name)?;
            }
            Subscription::Bars(market, chart) => self.subscribe_bars(at(market), at(chart)),
            Subscription::Pivots(market, chart, k, levels) => {
                self.subscribe_pivots(at(market), at(chart), k as usize, levels as usize)?;
            }
            Subscription::Cob(group) => {
                self.add_cob(group.into_owned())?;
            }
            Subscription::CobShown(cob, every_ns) => self.subscribe_cob(at(cob), every_ns)?,
            Subscription::Flow(market, bucket, in_base) => {
                self.add_flow(at(market), bucket, in_base)?;
            }
            Subscription::Sweeps(market, levels) => self.subscribe_sweeps(at(market), levels)?,
            Subscription::Ticks(market) => self.keep_ticks(at(market)),
        }
        Ok(())
    }
}
