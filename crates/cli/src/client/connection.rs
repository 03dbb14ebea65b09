//! One TCP connection: version negotiation, then one request and its answer at a time.
//!
//! Owns framing and its bounds. Knows no API but ApiVersions.

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use kafka_wire::{
    ApiVersionsRequest, ApiVersionsResponse, KafkaMessage, OutboundFrameLimits, RequestResponsePair,
    ResponseHeader, encode_request, response_header_version_for,
};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ClientError;
use super::error_code::ErrorCode;

/// The largest request that is sent and answer that is taken: what Kafka's own clients allow.
const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// ApiVersions is asked in version 3 first: every broker since Kafka 2.4 knows it, older ones answer error 35
/// with the range they know.
const API_VERSIONS_FIRST: i16 = 3;

/// The newest version this client uses where it is below what the message structs know. From these versions
/// on, topics go by id; a tool that is given names is shorter without them, and every broker serves the older.
const NEWEST_BY_NAME: [(i16, i16); 4] = [(0, 12), (1, 12), (8, 9), (9, 9)];

/// A negotiated connection to one broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    client_id: String,
    next_correlation_id: i32,
    /// What the broker serves, by API key.
    served: HashMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects to `address` (`host:port`) and asks which versions it serves.
    ///
    /// # Errors
    /// Nobody listens, or who listens doesn't answer as a Kafka broker, within `limit` each.
    pub async fn open(address: &str, client_id: &str, limit: Duration) -> Result<Self, ClientError> {
        let connected = timeout(limit, TcpStream::connect(address)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                return Err(ClientError::Unreachable { address: address.to_owned(), source, seed: None });
            }
            Err(_) => {
                return Err(ClientError::Timeout {
                    address: address.to_owned(),
                    what: "a connection",
                    after: limit,
                });
            }
        };
        // Requests are written whole; waiting for more to send only costs time. Failure to set it costs nothing else.
        let _ = stream.set_nodelay(true);
        let mut connection = Self {
            stream,
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            next_correlation_id: 0,
            served: HashMap::new(),
        };
        connection.negotiate(limit).await?;
        Ok(connection)
    }

    async fn negotiate(&mut self, limit: Duration) -> Result<(), ClientError> {
        let mut response = self.ask_versions(API_VERSIONS_FIRST, limit).await?;
        if ErrorCode(response.error_code) == ErrorCode::UNSUPPORTED_VERSION {
            let own = response.api_keys.iter().find(|api| api.api_key == 18);
            let version = own.map_or(0, |api| api.max_version.clamp(0, API_VERSIONS_FIRST));
            response = self.ask_versions(version, limit).await?;
        }
        ErrorCode(response.error_code)
            .check(|| format!("asking {} for its API versions", self.address), None)?;
        self.served =
            response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(())
    }

    async fn ask_versions(
        &mut self,
        version: i16,
        limit: Duration,
    ) -> Result<ApiVersionsResponse, ClientError> {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request.client_software_name = "duolog-cli".into();
            request.client_software_version = env!("CARGO_PKG_VERSION").into();
        }
        let frame = self.encode(&request, version)?;
        let body = self.exchange::<ApiVersionsRequest>(&frame, version, limit).await?;
        // A broker that doesn't know our version answers in version 0 (KIP-511): try that when ours doesn't fit.
        let decode = |version: i16| -> Result<ApiVersionsResponse, _> {
            let mut decoder = Decoder::new(body.clone(), limits())?;
            ApiVersionsResponse::decode(&mut decoder, ApiVersion::new(version))
        };
        let refused = body.starts_with(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
        decode(if refused { 0 } else { version })
            .map_err(|source| self.undecodable::<ApiVersionsRequest>(version, source))
    }

    /// Sends the request that `build` makes for the newest version both sides know; decodes its answer.
    ///
    /// # Errors
    /// After any error the connection must not be used again.
    pub async fn call<R, B>(&mut self, limit: Duration, build: B) -> Result<R::Response, ClientError>
    where
        R: RequestResponsePair,
        B: FnOnce(i16) -> R,
    {
        let version = self.version_for::<R>()?;
        let frame = self.encode(&build(version), version)?;
        let body = self.exchange::<R>(&frame, version, limit).await?;
        Decoder::new(body, limits())
            .and_then(|mut decoder| R::Response::decode(&mut decoder, ApiVersion::new(version)))
            .map_err(|source| self.undecodable::<R>(version, source))
    }

    /// Sends a request that has no answer (Produce with acks=0).
    ///
    /// # Errors
    /// After any error the connection must not be used again.
    pub async fn send_only<R, B>(&mut self, limit: Duration, build: B) -> Result<(), ClientError>
    where
        R: RequestResponsePair,
        B: FnOnce(i16) -> R,
    {
        let version = self.version_for::<R>()?;
        let frame = self.encode(&build(version), version)?;
        self.within(limit, "a request to be taken", |stream| stream.write_all(&frame)).await
    }

    fn version_for<R: RequestResponsePair>(&self) -> Result<i16, ClientError> {
        let key = R::API_KEY.value();
        let supported = <R as KafkaMessage>::SUPPORTED_VERSIONS;
        let stable = R::API_DESCRIPTOR.latest_stable_version().unwrap_or(supported.max()).value();
        let named =
            NEWEST_BY_NAME.iter().find(|(api, _)| *api == key).map_or(stable, |(_, version)| *version);
        let (ours_min, ours_max) = (supported.min().value(), named.min(stable));
        let served = self.served.get(&key).copied();
        let common = served.and_then(|(min, max)| {
            let version = ours_max.min(max);
            (version >= ours_min.max(min)).then_some(version)
        });
        common.ok_or_else(|| ClientError::NotServed {
            api: R::NAME,
            address: self.address.clone(),
            ours: (ours_min, ours_max),
            theirs: served,
        })
    }

    fn encode<R: RequestResponsePair>(&self, request: &R, version: i16) -> Result<BytesMut, ClientError> {
        let mut frame = BytesMut::new();
        encode_request(
            &mut frame,
            self.next_correlation_id,
            Some(self.client_id.as_str().into()),
            request,
            ApiVersion::new(version),
            OutboundFrameLimits::new(FRAME_BYTES_MAX),
        )
        .map_err(|source| ClientError::Encode { api: R::NAME, version, source })?;
        Ok(frame)
    }

    /// Writes `frame`, reads the answer's frame, checks its header, and returns what follows the header.
    async fn exchange<R: RequestResponsePair>(
        &mut self,
        frame: &[u8],
        version: i16,
        limit: Duration,
    ) -> Result<bytes::Bytes, ClientError> {
        let expected = self.next_correlation_id;
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        let answered = timeout(limit, async {
            self.stream.write_all(frame).await?;
            self.read_frame().await
        })
        .await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) => return Err(self.broken(R::NAME, source)),
            Err(_) => {
                return Err(ClientError::Timeout {
                    address: self.address.clone(),
                    what: R::NAME,
                    after: limit,
                });
            }
        };
        let header_version = response_header_version_for::<R>(ApiVersion::new(version))
            .map_err(|source| ClientError::Encode { api: R::NAME, version, source })?;
        let header_bytes = answer.clone();
        let mut decoder =
            Decoder::new(answer, limits()).map_err(|source| self.undecodable::<R>(version, source))?;
        let header = ResponseHeader::decode(&mut decoder, ApiVersion::new(header_version))
            .map_err(|source| self.undecodable::<R>(version, source))?;
        if header.correlation_id != expected {
            return Err(ClientError::WrongCorrelation {
                address: self.address.clone(),
                expected,
                got: header.correlation_id,
            });
        }
        Ok(header_bytes.slice(decoder.offset()..))
    }

    async fn read_frame(&mut self) -> std::io::Result<bytes::Bytes> {
        let length = self.stream.read_i32().await?;
        let length =
            usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX).ok_or_else(|| {
                std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    format!("frame length {length} is not one of Kafka's (0 to {FRAME_BYTES_MAX})"),
                )
            })?;
        // Grows with what arrives, not with what the length claims.
        let mut frame = BytesMut::with_capacity(length.min(64 * 1024));
        let mut rest = (&mut self.stream).take(length as u64);
        while frame.len() < length {
            if rest.read_buf(&mut frame).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(frame.freeze())
    }

    async fn within<'a, T, F>(
        &'a mut self,
        limit: Duration,
        what: &'static str,
        act: impl FnOnce(&'a mut TcpStream) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = std::io::Result<T>>,
    {
        let address = self.address.clone();
        match timeout(limit, act(&mut self.stream)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(ClientError::Disconnected { address, api: what, source }),
            Err(_) => Err(ClientError::Timeout { address, what, after: limit }),
        }
    }

    fn broken(&self, api: &'static str, source: std::io::Error) -> ClientError {
        ClientError::Disconnected { address: self.address.clone(), api, source }
    }

    fn undecodable<R: RequestResponsePair>(
        &self,
        version: i16,
        source: kafka_wire_core::DecodeError,
    ) -> ClientError {
        ClientError::Decode { api: R::NAME, version, address: self.address.clone(), source }
    }
}

fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = FRAME_BYTES_MAX;
    limits.max_bytes_bytes = FRAME_BYTES_MAX;
    limits
}
