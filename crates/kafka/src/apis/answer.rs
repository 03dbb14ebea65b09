//! What one answer may hold, and when it may be made: a small request can name large things, or one many times.
//!
//! Fetch has its own way (it gives less when replies use up their memory); an answer that can't be given in part
//! is refused in part instead, or waits.

use crate::dispatch::Call;

/// What one answer may still hold.
pub(crate) struct AnswerRoom(usize);

/// What is said of what the answer has no room for.
pub(crate) const NO_ROOM: &str = "what stands before it in the request takes what one answer may hold";

/// Waits as long as the replies of all connections use up their memory, before an answer whose size has a bound
/// of its own.
pub(crate) async fn wait_for_room(call: &Call<'_>) {
    call.door.shared.reply_room().await;
}

impl AnswerRoom {
    /// The room of one answer. Waits as long as the replies of all connections use up their memory: handlers that
    /// don't wait between this and their answer exceed it by one answer for each worker thread at most.
    pub(crate) async fn of(call: &Call<'_>) -> Self {
        wait_for_room(call).await;
        Self(call.door.config().fetch_max_bytes)
    }

    /// Takes room for `bytes`; false if there is no such room left.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => self.0 = 0,
        }
        self.0 > 0
    }
}
