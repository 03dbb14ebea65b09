//! What retention, purges and deletions of the stream do to a consumer.

use duolog_types::Sequence;

use super::{Consumer, Step};
use crate::effect::SettledHow;
use crate::stream::Lookup;
use crate::window::Settled;

/// So many messages that are gone are told and written down one by one; more, all at once.
const GONE_ONE_BY_ONE: usize = 4096;

impl Consumer {
    /// The stream begins at `first` now: each message that was in flight below is gone, as if it had been deleted.
    pub(super) fn trimmed(&mut self, first: Sequence, step: &mut Step<'_>) {
        let in_flight = self.window.in_flight().range(..first).map(|(sequence, _)| *sequence);
        let exhausted = self.window.exhausted().range(..first).map(|(sequence, _)| *sequence);
        let gone: Vec<Sequence> = in_flight.chain(exhausted).take(GONE_ONE_BY_ONE + 1).collect();
        if gone.len() <= GONE_ONE_BY_ONE {
            for sequence in gone {
                self.gone(sequence, step);
            }
        }
        for settled in self.window.trim(first) {
            step.settled(&settled, SettledHow::Gone);
        }
    }

    /// All that could concern this consumer below `below` is gone.
    pub(super) fn purged(&mut self, below: Sequence, step: &mut Step<'_>) {
        for settled in self.window.purge(below) {
            self.gone_by_purge(&settled, step);
        }
    }

    /// Something was purged that this consumer may have had in flight: each is looked up. Proportional to what is in
    /// flight, as a purge is to what it purges.
    pub(super) fn recheck(&mut self, step: &mut Step<'_>) {
        let sequences = self.window.in_flight().keys().chain(self.window.exhausted().keys());
        for sequence in sequences.copied().collect::<Vec<_>>() {
            if matches!(step.stream.get(sequence), Lookup::Nothing { .. })
                && let Some(settled) = self.window.settle(sequence)
            {
                self.gone_by_purge(&settled, step);
            }
        }
    }

    /// A purge counts as an acknowledgement of what it takes (JetStream: `ack_floor.last_active`).
    fn gone_by_purge(&mut self, settled: &Settled, step: &mut Step<'_>) {
        self.last_acknowledged = Some(step.now.wall);
        step.settled(settled, SettledHow::Gone);
    }

    /// One message is gone.
    pub(super) fn deleted(&mut self, sequence: Sequence, step: &mut Step<'_>) {
        self.gone(sequence, step);
    }
}
