//! What a client says of itself in CONNECT.
//!
//! Read as Go's decoder reads it: names in any case, unknown ones passed over, `null` leaves a field as it is, and a
//! second CONNECT changes only what it names.

use serde_json::Value;

/// The options of a connection. [`Default`]: what holds before any CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Answer every operation with `+OK`.
    pub verbose: bool,
    /// Check subjects of published messages.
    pub pedantic: bool,
    /// Deliver the client's own messages to its own subscriptions.
    pub echo: bool,
    /// The client takes and sends headers.
    pub headers: bool,
    /// The client wants to know when nobody takes its request.
    pub no_responders: bool,
    /// 0: the original protocol; 1: INFO may come at any time.
    pub protocol: i64,
    /// A token.
    pub auth_token: String,
    /// A user's name.
    pub user: String,
    /// The password.
    pub pass: String,
    /// The connection's name.
    pub name: String,
    /// The client library's language.
    pub lang: String,
    /// The client library's version.
    pub version: String,
    /// An account that the client wants to be in: long an error.
    pub account: String,
    /// It wants a new account: an error likewise.
    pub new_account: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            auth_token: String::new(),
            user: String::new(),
            pass: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            account: String::new(),
            new_account: false,
        }
    }
}

/// CONNECT's JSON can't be read. The reference closes without a word.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No JSON.
    #[error("CONNECT: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("CONNECT holds no object")]
    NoObject,
    /// A field of another type than it must have.
    #[error("CONNECT: `{field}` is of the wrong type")]
    Type {
        /// The field.
        field: &'static str,
    },
}

impl ConnectOptions {
    /// Takes over what `json` names.
    ///
    /// # Errors
    /// It can't be read; the options may then be half changed.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), ConnectError> {
        // Go replaces what isn't UTF-8.
        let fields = match serde_json::from_str(&String::from_utf8_lossy(json))? {
            Value::Object(fields) => fields,
            Value::Null => return Ok(()),
            _ => return Err(ConnectError::NoObject),
        };
        for (name, value) in fields {
            if value.is_null() {
                continue;
            }
            match name.to_ascii_lowercase().as_str() {
                "verbose" => flag(&mut self.verbose, &value, "verbose")?,
                "pedantic" => flag(&mut self.pedantic, &value, "pedantic")?,
                "echo" => flag(&mut self.echo, &value, "echo")?,
                "headers" => flag(&mut self.headers, &value, "headers")?,
                "no_responders" => flag(&mut self.no_responders, &value, "no_responders")?,
                "new_account" => flag(&mut self.new_account, &value, "new_account")?,
                "protocol" => {
                    self.protocol = value.as_i64().ok_or(ConnectError::Type { field: "protocol" })?;
                }
                "auth_token" => text(&mut self.auth_token, value, "auth_token")?,
                "user" => text(&mut self.user, value, "user")?,
                "pass" => text(&mut self.pass, value, "pass")?,
                "name" => text(&mut self.name, value, "name")?,
                "lang" => text(&mut self.lang, value, "lang")?,
                "version" => text(&mut self.version, value, "version")?,
                "account" => text(&mut self.account, value, "account")?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn flag(field: &mut bool, value: &Value, name: &'static str) -> Result<(), ConnectError> {
    *field = value.as_bool().ok_or(ConnectError::Type { field: name })?;
    Ok(())
}

fn text(field: &mut String, value: Value, name: &'static str) -> Result<(), ConnectError> {
    match value {
        Value::String(text) => *field = text,
        _ => return Err(ConnectError::Type { field: name }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_in_the_reference() {
        let mut options = ConnectOptions::default();
        options.apply(b"{}").unwrap();
        assert!(options.verbose && options.pedantic && options.echo);
        assert!(!options.headers && !options.no_responders && options.protocol == 0);
    }

    #[test]
    fn names_are_read_in_any_case_and_unknown_ones_passed_over() {
        let mut options = ConnectOptions::default();
        let json = br#"{"VERBOSE":false,"Echo":false,"nope":[1],"pedantic":null,"protocol":1,"user":"u","pass":"p"}"#;
        options.apply(json).unwrap();
        assert!(!options.verbose && !options.echo && options.pedantic);
        assert_eq!((options.protocol, options.user.as_str(), options.pass.as_str()), (1, "u", "p"));
        options.apply(br#"{"user":"v"}"#).unwrap();
        assert!(!options.verbose, "a second CONNECT changes only what it names");
        assert_eq!((options.user.as_str(), options.pass.as_str()), ("v", "p"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for json in [
            &b"{"[..],
            b"",
            b"[]",
            b"1",
            br#"{"verbose":1}"#,
            br#"{"protocol":"x"}"#,
            br#"{"protocol":1.5}"#,
            br#"{"user":5}"#,
        ] {
            assert!(ConnectOptions::default().apply(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
    }
}
