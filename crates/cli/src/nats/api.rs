//! JetStream's API: a JSON request to a subject of `$JS.API`, a JSON reply.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Nats, NatsError};

const PREFIX: &str = "$JS.API.";

impl Nats {
    /// Asks `$JS.API.<subject>` with `body` (`Null` is an empty one); `what` names the request in errors.
    ///
    /// # Errors
    /// There is no JetStream, it says no, or its answer can't be read.
    pub async fn api<T: DeserializeOwned>(
        &self,
        what: &str,
        subject: &str,
        body: &Value,
    ) -> Result<T, NatsError> {
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let subject = format!("{PREFIX}{subject}");
        let reply = match self.ask(&subject, None, payload).await {
            Err(NatsError::NoResponders { subject }) => {
                return Err(NatsError::NoJetStream { address: self.address().to_owned(), subject });
            }
            answered => answered?,
        };
        self.read_reply(what, &reply.payload)
    }

    /// All pages of a list: the elements of `field` in the replies of `$JS.API.<subject>`.
    ///
    /// # Errors
    /// As [`Self::api`].
    pub async fn api_list<T: DeserializeOwned>(
        &self,
        what: &str,
        subject: &str,
        field: &str,
    ) -> Result<Vec<T>, NatsError> {
        let mut items = Vec::new();
        loop {
            let mut page: Value = self.api(what, subject, &json!({ "offset": items.len() })).await?;
            let total = page.get("total").and_then(Value::as_u64).unwrap_or(0);
            // Null where there is none, as Go writes an empty list.
            let found = page.get_mut(field).map(Value::take).unwrap_or_default();
            let found: Option<Vec<T>> =
                serde_json::from_value(found).map_err(|error| self.unreadable(what, &error))?;
            let found = found.unwrap_or_default();
            let was_last = found.is_empty();
            items.extend(found);
            if was_last || items.len() as u64 >= total {
                return Ok(items);
            }
        }
    }

    /// What a reply of JetStream says: an acknowledgement of a message, or an answer of the API.
    ///
    /// # Errors
    /// It says no, or can't be read.
    pub fn read_reply<T: DeserializeOwned>(&self, what: &str, payload: &[u8]) -> Result<T, NatsError> {
        let reply: Value = serde_json::from_slice(payload).map_err(|error| self.unreadable(what, &error))?;
        if let Some(error) = reply.get("error").filter(|error| error.is_object()) {
            let number = |field: &str| error.get(field).and_then(Value::as_u64).unwrap_or(0);
            return Err(NatsError::Api {
                what: what.to_owned(),
                code: u16::try_from(number("code")).unwrap_or(0),
                err_code: u16::try_from(number("err_code")).unwrap_or(0),
                description: error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            });
        }
        serde_json::from_value(reply).map_err(|error| self.unreadable(what, &error))
    }

    fn unreadable(&self, what: &str, error: &serde_json::Error) -> NatsError {
        NatsError::Unreadable {
            address: self.address().to_owned(),
            what: what.to_owned(),
            reason: error.to_string(),
        }
    }
}
