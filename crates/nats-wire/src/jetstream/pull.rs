//! What a pull request asks for.

use super::json::{DecodeError, decode_single, go_struct};
use super::time::Span;

go_struct! {
    /// Which of the waiting requests one is (ADR-42).
    pub struct PriorityGroup: "PriorityGroup" {
        /// The group.
        group [omit]: String,
        /// Only if so many are pending.
        min_pending [omit]: i64,
        /// Only if so many are unacknowledged.
        min_ack_pending [omit]: i64,
        /// The pinned client.
        id [omit]: String,
        /// 0 to 9, the lowest first.
        priority [omit]: i64 = "int",
    }
}

go_struct! {
    /// The body of a pull request, as JSON.
    pub struct PullRequestBody: "JSApiConsumerGetNextRequest", embeds priority: PriorityGroup {
        /// How long it waits.
        expires [omit]: Span,
        /// Messages.
        batch [omit]: i64 = "int",
        /// Bytes, 0 for any number.
        max_bytes [omit]: i64 = "int",
        /// Whether it doesn't wait.
        no_wait [omit]: bool,
        /// How often to say that it waits still.
        idle_heartbeat [omit]: Span,
    }
}

/// Why a pull request is refused: `400 Bad Request - ` and this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullRequestError {
    /// The body isn't JSON, or not this.
    #[error("{0}")]
    Json(#[from] DecodeError),
    /// Two heartbeats don't fit into the time that it waits.
    #[error("heartbeat value too large")]
    Heartbeat,
}

/// A pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullRequest {
    /// Messages. What a client said, so it may be 0 or less: the reference takes that for 1.
    pub batch: i64,
    /// How long it waits; `None` is for ever, or not at all if `no_wait`.
    pub expires: Option<Span>,
    /// Bytes, 0 for any number.
    pub max_bytes: i64,
    /// Whether it doesn't wait.
    pub no_wait: bool,
    /// How often to say that it waits still; 0 is never.
    pub idle_heartbeat: Span,
    /// Which of the waiting requests it is.
    pub priority: PriorityGroup,
}

impl PullRequest {
    /// Reads a body: nothing asks for one message, a number for so many, or JSON. Anything else asks for one.
    ///
    /// # Errors
    /// If it begins as JSON and isn't, or its heartbeat is too long. Fields that aren't known are passed over.
    pub fn parse(body: &[u8]) -> Result<Self, PullRequestError> {
        let body = body.trim_ascii();
        if body.first() != Some(&b'{') {
            let batch = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
            return Ok(Self { batch, ..Self::default() });
        }
        let mut asked = PullRequestBody::default();
        decode_single(&mut asked, body)?;
        let body = asked;
        if body.idle_heartbeat.0 > 0 && body.idle_heartbeat.0.saturating_mul(2) > body.expires.0 {
            return Err(PullRequestError::Heartbeat);
        }
        Ok(Self {
            batch: body.batch,
            expires: Some(body.expires).filter(|expires| expires.0 != 0),
            max_bytes: body.max_bytes,
            no_wait: body.no_wait,
            idle_heartbeat: body.idle_heartbeat,
            priority: body.priority,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_nothing_a_number_or_json() {
        let batch = |body: &str| PullRequest::parse(body.as_bytes()).unwrap().batch;
        assert_eq!([batch(""), batch(" 5 "), batch("-3"), batch("five"), batch("{}")], [1, 5, -3, 1, 0]);
        let whole = PullRequest::parse(
            br#"{"batch":3,"expires":1000,"max_bytes":9,"no_wait":true,"idle_heartbeat":500,"id":"x","new":1}"#,
        );
        assert_eq!(
            whole.unwrap(),
            PullRequest {
                batch: 3,
                expires: Some(Span(1000)),
                max_bytes: 9,
                no_wait: true,
                idle_heartbeat: Span(500),
                priority: PriorityGroup { id: "x".into(), ..PriorityGroup::default() },
            }
        );
    }

    #[test]
    fn a_heartbeat_must_fit_twice() {
        let refused = PullRequest::parse(br#"{"expires":1000,"idle_heartbeat":501}"#).unwrap_err();
        assert_eq!(refused.to_string(), "heartbeat value too large");
        for (body, message) in [
            (r#"{"expires":1000,"#, "unexpected end of JSON input"),
            (r#"{"batch":1} more"#, "invalid character 'm' after top-level value"),
            (r#"{"batch":"x"}"#, "json: cannot unmarshal string into Go struct field .batch of type int"),
        ] {
            assert_eq!(PullRequest::parse(body.as_bytes()).unwrap_err().to_string(), message);
        }
    }
}
