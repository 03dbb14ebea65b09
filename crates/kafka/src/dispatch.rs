//! The one table of APIs: it dispatches, it is the ApiVersions answer, and docs/kafka-apis.md is made of it.
//!
//! A request header is judged here, as Kafka's `SocketServer` and `RequestContext` do: an unknown API key, or a
//! version that isn't served, closes the connection. ApiVersions alone accepts every version and answers those
//! it doesn't know in its oldest form, since that is how client and broker find a common one.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kafka_wire_core::{ApiVersion, DecodeError, DecodeLimits, Decoder, KafkaDecode, KafkaEncode, StrBytes};

use crate::budget::Room;
use crate::door::{Client, Door};
use crate::session::close::CloseReason;
use crate::session::reply::{Outcome, Reply, ResponseFrame};

pub use crate::apis::APIS;

/// What a handler gives back.
pub type Handled = Result<Outcome, CloseReason>;

/// Handles one request.
pub type Handler = for<'a> fn(Call<'a>) -> BoxFuture<'a, Handled>;

/// One API.
#[derive(Clone, Copy)]
pub struct Api {
    /// Its number on the wire.
    pub key: i16,
    /// Its name in Kafka's documentation.
    pub name: &'static str,
    /// Lowest version that is served.
    pub min: i16,
    /// Highest version that is served.
    pub max: i16,
    /// Lowest version that is advertised. Lower than `min` only for Produce, which says why.
    pub advertised_min: i16,
    /// First version with tagged fields (KIP-482); `i16::MAX` if none has them.
    pub flexible_from: i16,
    /// What of it isn't served, for the documentation.
    pub notes: &'static str,
    /// Who handles it.
    pub handler: Handler,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}-{}", self.name, self.min, self.max)
    }
}

/// ApiVersions' key: the one API that answers versions it doesn't know.
pub const API_VERSIONS_KEY: i16 = 18;

/// The API at a place of the table.
///
/// # Panics
/// If the place isn't in the table; places come from [`position`] only.
#[must_use]
pub fn api_at(index: usize) -> &'static Api {
    &APIS[index]
}

/// The place of a key in the table.
#[must_use]
pub fn position(key: i16) -> Option<usize> {
    APIS.iter().position(|api| api.key == key)
}

/// One request on its way to its handler.
pub struct Call<'a> {
    /// What all connections share: the broker above all.
    pub door: &'a Door,
    /// What is kept for this connection.
    pub client: &'a mut Client,
    /// Where the request's API stands in the table.
    pub api: usize,
    /// The request's version, one that is served.
    pub version: i16,
    /// The name that the client calls itself by, if any.
    pub client_id: Option<StrBytes>,
    /// How the response is framed.
    pub frame: ResponseFrame,
    /// The request's body.
    pub body: Bytes,
    /// What the request takes of the budgets.
    pub room: &'a mut Room,
}

impl Call<'_> {
    /// Gives back what the request took of the budgets: it is about to wait for others, perhaps for minutes, and
    /// its handler has dropped what it decoded.
    pub fn begin_to_wait(&mut self) {
        *self.room = Room::default();
    }

    /// Decodes the body. Bytes behind it are ignored, as Kafka does.
    ///
    /// # Errors
    /// [`CloseReason::Malformed`]: like Kafka, the connection is closed, since nothing can be said to a client
    /// whose words make no sense.
    pub fn decode<T: KafkaDecode>(&mut self) -> Result<T, CloseReason> {
        self.decode_with(|decoder, version| T::decode(decoder, ApiVersion::new(version)))
    }

    /// Decodes the body by hand.
    ///
    /// # Errors
    /// See [`decode`](Self::decode).
    pub fn decode_with<T>(
        &mut self,
        decode: impl FnOnce(&mut Decoder, i16) -> Result<T, DecodeError>,
    ) -> Result<T, CloseReason> {
        let body = std::mem::take(&mut self.body);
        Decoder::new(body, decode_limits())
            .and_then(|mut decoder| decode(&mut decoder, self.version))
            .map_err(|error| CloseReason::Malformed {
                what: format!("{} request version {}", api_at(self.api).name, self.version),
                detail: error.to_string(),
            })
    }

    /// A response, framed.
    ///
    /// # Errors
    /// If the handler made a response that its version can't carry: the connection is closed.
    pub fn encode(&self, response: &impl KafkaEncode) -> Result<Bytes, CloseReason> {
        self.frame.encode(response, self.version).map_err(|error| {
            CloseReason::Internal(format!(
                "{} response version {}: {error}",
                api_at(self.api).name,
                self.version
            ))
        })
    }

    /// A response that leaves once `after` is durable.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn reply(&self, response: &impl KafkaEncode, after: duolog_types::Lsn) -> Handled {
        Ok(Outcome::Reply(Reply::new(self.encode(response)?).after(after)))
    }

    /// Counts error codes that the response carries.
    pub fn count_errors(&self, codes: impl IntoIterator<Item = i16>) {
        let count = codes.into_iter().filter(|code| *code != 0).count();
        self.door.metrics().errors(self.api, count as u64);
    }
}

/// Bounds on what a body may claim. The frame's own length is the other bound: every element takes bytes.
#[must_use]
pub fn decode_limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_array_elements = 200_000;
    limits.max_string_bytes = 1 << 20;
    limits.max_tagged_fields = 64;
    limits.max_tag_bytes = 1 << 20;
    limits.max_total_tag_bytes = 1 << 20;
    limits
}

/// A request header that names a served API in a served version.
#[derive(Debug)]
pub struct Header {
    /// Where the API stands in the table.
    pub api: usize,
    /// The version. For ApiVersions also one that isn't served.
    pub version: i16,
    /// The client's name for itself.
    pub client_id: Option<StrBytes>,
    /// How the response is framed.
    pub frame: ResponseFrame,
    /// What follows the header.
    pub body: Bytes,
}

/// Reads a frame's header (request header versions 1 and 2; version 0 left with Kafka 4.0).
///
/// # Errors
/// The header can't be decoded, or names what isn't served.
pub fn parse_header(mut frame: Bytes) -> Result<Header, CloseReason> {
    // The session refuses frames that are shorter than this.
    let Some(fixed) = frame.first_chunk::<8>().copied() else {
        return Err(malformed_header("it ends before its correlation id"));
    };
    let [key0, key1, version0, version1, correlation @ ..] = fixed;
    let key = i16::from_be_bytes([key0, key1]);
    let version = i16::from_be_bytes([version0, version1]);
    let correlation_id = i32::from_be_bytes(correlation);
    let Some(index) = position(key) else { return Err(CloseReason::UnknownApi { key, version }) };
    let api = api_at(index);
    if !(api.min..=api.max).contains(&version) && key != API_VERSIONS_KEY {
        return Err(CloseReason::UnsupportedVersion { api: api.name, version, min: api.min, max: api.max });
    }
    let flexible = version >= api.flexible_from;
    let rest = frame.split_off(8);
    let mut decoder = Decoder::new(rest, decode_limits()).map_err(header_error)?;
    // Not compact even in flexible headers, so that every broker can read the client id.
    let client_id = decoder.read_nullable_string().map_err(header_error)?;
    if flexible {
        decoder.read_tagged_fields().map_err(header_error)?;
    }
    let remaining = decoder.remaining();
    let body = decoder.take_bytes(remaining).map_err(header_error)?;
    // The one response whose header never became flexible: clients read it before they know the version.
    let flexible_header = flexible && key != API_VERSIONS_KEY;
    Ok(Header {
        api: index,
        version,
        client_id,
        frame: ResponseFrame { correlation_id, flexible_header },
        body,
    })
}

fn header_error(error: DecodeError) -> CloseReason {
    malformed_header(&error.to_string())
}

fn malformed_header(detail: &str) -> CloseReason {
    CloseReason::Malformed { what: "the request header".to_owned(), detail: detail.to_owned() }
}

/// docs/kafka-apis.md. A test compares the file with this.
#[must_use]
pub fn documentation() -> String {
    let mut text = String::from(
        "# Kafka APIs served\n\n\
         Generated from the dispatch table (`crates/kafka/src/apis`); `DUOLOG_BLESS=1 cargo test -p duolog-kafka docs` rewrites it.\n\n\
         | key | API | advertised | served | flexible from | notes |\n|---|---|---|---|---|---|\n",
    );
    let mut apis: Vec<&Api> = APIS.iter().collect();
    apis.sort_by_key(|api| api.key);
    for api in apis {
        let flexible =
            if api.flexible_from == i16::MAX { "–".to_owned() } else { api.flexible_from.to_string() };
        let _ = writeln!(
            text,
            "| {} | {} | {}-{} | {}-{} | {} | {} |",
            api.key, api.name, api.advertised_min, api.max, api.min, api.max, flexible, api.notes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire_core::ApiKey;

    #[test]
    fn table_has_each_key_once_and_says_what_kafkas_schemas_say() {
        let mut keys: Vec<i16> = APIS.iter().map(|api| api.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), APIS.len());
        for api in APIS {
            let schema = kafka_wire::API_DESCRIPTORS
                .iter()
                .find(|schema| schema.api_key == ApiKey::new(api.key))
                .unwrap_or_else(|| panic!("{} is in no schema", api.name));
            assert_eq!(format!("{}Request", api.name), schema.request.name);
            let known = schema.request.supported_versions;
            assert!(known.min().value() <= api.min && api.max <= known.max().value(), "{api:?}");
            let flexible = schema.request.flexible_versions.map_or(i16::MAX, |range| range.min().value());
            assert_eq!(api.flexible_from, flexible, "{api:?}");
            assert!(api.advertised_min <= api.min, "{api:?}");
        }
    }

    #[test]
    fn docs_are_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kafka-apis.md");
        if std::env::var_os("DUOLOG_BLESS").is_some() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a test rewrites the generated page when asked to"
            )]
            std::fs::write(path, documentation()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), documentation(), "run it with DUOLOG_BLESS=1");
    }
}
