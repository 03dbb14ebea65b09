//! What retention, purges and deletions of the stream do to a consumer.

use duolog_types::Sequence;

use super::{Consumer, Step};
use crate::effect::SettledHow;
use crate::stream::Lookup;
use crate::window::Settled;

impl Consumer {
    /// The stream begins at `first` now.
    pub(super) fn trimmed(&mut self, first: Sequence, step: &mut Step<'_>) {
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
