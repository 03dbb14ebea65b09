//! The client against brokers that are old, broken or hostile: a scripted peer on a loopback socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use duolog_cli::client::{Client, ClientConfig, ClientError};
use kafka_wire::{ApiVersionsResponse, MetadataResponse, api_versions_response, metadata_response};
use kafka_wire_core::{ApiVersion, KafkaEncode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as the peer sees it.
struct Request {
    key: i16,
    version: i16,
    correlation_id: i32,
}

/// Serves one connection: `answer` gives the whole frame behind the length, or `None` to hang up.
async fn peer(answer: impl Fn(&Request) -> Option<Vec<u8>> + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bootstrap = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(request) = read(&mut stream).await {
            let Some(bytes) = answer(&request) else { return };
            stream.write_all(&bytes).await.unwrap();
        }
    });
    let timeout = Duration::from_millis(500);
    Client::new(ClientConfig { bootstrap, timeout, client_id: "test".to_owned() })
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let length = stream.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut frame).await.ok()?;
    let mut frame = Bytes::from(frame);
    Some(Request { key: frame.get_i16(), version: frame.get_i16(), correlation_id: frame.get_i32() })
}

fn framed(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i32(i32::try_from(body.len() + 4).unwrap());
    bytes.put_i32(correlation_id);
    bytes.put_slice(body);
    bytes.to_vec()
}

fn body(message: &impl KafkaEncode, version: i16) -> Bytes {
    message.encode_to_bytes(ApiVersion::new(version)).unwrap()
}

/// Answers ApiVersions with these ranges.
fn versions(served: &[(i16, i16, i16)], error_code: i16) -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default();
    response.error_code = error_code;
    for (key, min, max) in served {
        let mut api = api_versions_response::ApiVersion::default();
        (api.api_key, api.min_version, api.max_version) = (*key, *min, *max);
        response.api_keys.push(api);
    }
    response
}

fn one_topic() -> MetadataResponse {
    let mut topic = metadata_response::MetadataResponseTopic::default();
    topic.name = Some("orders".into());
    let mut response = MetadataResponse::default();
    response.topics = vec![topic];
    response
}

#[tokio::test]
async fn an_old_broker_is_asked_again_in_a_version_that_it_knows() {
    // Kafka 0.10: ApiVersions 0 only, metadata up to 1; refuses newer ones with a version 0 body (KIP-511).
    let client = peer(|request| {
        let served = [(18, 0, 0), (3, 0, 1)];
        Some(match (request.key, request.version) {
            (18, 0) => framed(request.correlation_id, &body(&versions(&served, 0), 0)),
            (18, _) => framed(request.correlation_id, &body(&versions(&served, 35), 0)),
            (3, version @ 1) => framed(request.correlation_id, &body(&one_topic(), version)),
            (key, version) => panic!("api {key} was asked in version {version}"),
        })
    })
    .await;
    let topics = client.topics(None).await.unwrap();
    assert_eq!(topics[0].name, "orders");
}

#[tokio::test]
async fn an_api_that_the_broker_does_not_serve_is_named() {
    let client =
        peer(|request| Some(framed(request.correlation_id, &body(&versions(&[(18, 0, 3)], 0), 3)))).await;
    let error = client.topics(None).await.unwrap_err();
    assert!(matches!(error, ClientError::NotServed { api: "MetadataRequest", theirs: None, .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_no_broker_is_an_error_whatever_it_says() {
    // Hangs up; answers another protocol; claims a frame of 2 GiB; answers another request.
    let client = peer(|_| None).await;
    let error = client.topics(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");

    let client = peer(|_| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    let error = client.topics(None).await.unwrap_err().to_string();
    assert!(error.contains("frame length 1213486160"), "{error}");

    let client = peer(|_| Some(i32::MAX.to_be_bytes().to_vec())).await;
    let error = client.topics(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");

    let client = peer(|request| Some(framed(request.correlation_id + 1, &[0; 16]))).await;
    let error = client.topics(None).await.unwrap_err();
    assert!(matches!(error, ClientError::WrongCorrelation { expected: 0, got: 1, .. }), "{error}");

    let client = peer(|request| Some(framed(request.correlation_id, &[0xff; 16]))).await;
    let error = client.topics(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_broker_times_out_with_what_was_waited_for() {
    let client = peer(|request| (request.key == 18).then(|| 64_i32.to_be_bytes().to_vec())).await;
    let error = client.topics(None).await.unwrap_err().to_string();
    assert!(error.contains("within 500ms (waiting for ApiVersions"), "{error}");
}
