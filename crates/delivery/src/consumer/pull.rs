//! Requests for messages as they come in: which are refused, and with what.

use std::time::Duration;

use super::requests::Request;
use super::{Consumer, Step};
use crate::config::{Mode, PullConfig};
use crate::effect::{Effect, Status};
use crate::event::PullRequest;
use crate::stream::after;

/// How long a full queue is not looked through again for requests that have ended.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Consumer {
    pub(super) fn pull(&mut self, request: PullRequest, step: &mut Step<'_>) {
        let to = request.to.clone();
        if let Err(status) = self.plan_pull(request, step) {
            step.effects.extend(status.map(|status| Effect::Status { to, status }));
        }
    }

    /// Lets the request wait; an error is what it is told instead, if anything.
    fn plan_pull(&mut self, request: PullRequest, step: &mut Step<'_>) -> Result<(), Option<Status>> {
        let now = step.now.monotonic;
        let Mode::Pull(limits) = &self.config.mode else { return Err(Some(Status::PushBased)) };
        let max_waiting = limits.max_waiting;
        check_limits(&request, limits)?;
        let sweep_is_due =
            self.requests.last_sweep.is_none_or(|last| now.saturating_sub(last) > SWEEP_INTERVAL);
        if self.requests.len() >= max_waiting && sweep_is_due {
            self.requests.sweep(step);
        }
        self.idle.active(now);
        if request.no_wait {
            self.check_no_wait(&request, step)?;
        }
        if self.requests.len() >= max_waiting {
            // One that wants signs of life notices that there are none, and doesn't come back at once.
            return Err(request.heartbeat.is_none().then_some(Status::ExceededMaxWaiting));
        }
        self.requests.add(Request {
            to: request.to,
            left: request.batch.max(1),
            bytes_left: request.max_bytes.filter(|bytes| *bytes > 0),
            expires_at: request.expires.map(|expires| after(now, expires)),
            heartbeat: request.heartbeat.map(|every| (every, after(now, every))),
            no_wait: request.no_wait,
            served: false,
        });
        Ok(())
    }

    /// One that doesn't wait is told at once that there is nothing, or that others will have it.
    fn check_no_wait(&mut self, request: &PullRequest, step: &mut Step<'_>) -> Result<(), Option<Status>> {
        let behind = self.pending_behind(None, step.stream);
        let messages = behind.saturating_add(self.window.queued() as u64);
        if messages == 0 {
            return if request.expires.is_none() { Err(Some(Status::NoMessages)) } else { Ok(()) };
        }
        if messages < self.requests.messages() {
            self.requests.sweep(step);
            if messages < self.requests.messages() {
                return Err(Some(Status::RequestsPending));
            }
        }
        Ok(())
    }

    /// The consumer is deleted or the server stops: every request is told so.
    #[must_use]
    pub fn end_requests(&mut self, status: &Status) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.requests.end_all(status, &mut effects);
        effects
    }
}

/// What the consumer's settings allow a request.
fn check_limits(request: &PullRequest, limits: &PullConfig) -> Result<(), Option<Status>> {
    if let Some(every) = request.heartbeat
        && every.saturating_mul(2) > request.expires.unwrap_or_default()
    {
        return Err(Some(Status::HeartbeatTooLarge));
    }
    if let Some(limit) = limits.max_batch.filter(|limit| request.batch > *limit) {
        return Err(Some(Status::ExceededMaxBatch { limit }));
    }
    if let (Some(limit), Some(expires)) = (limits.max_expires, request.expires)
        && expires > limit
    {
        return Err(Some(Status::ExceededMaxExpires { limit }));
    }
    if let (Some(limit), Some(bytes)) = (limits.max_bytes, request.max_bytes)
        && bytes > limit
    {
        return Err(Some(Status::ExceededMaxBytes { limit }));
    }
    Ok(())
}
