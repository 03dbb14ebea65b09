//! A real client: async-nats.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, RequestErrorKind};
use duolog_nats::{Auth, NatsConfig, Secret};
use futures_util::StreamExt;
use support::Server;

async fn connect(server: &Server) -> Client {
    async_nats::connect(server.address.to_string()).await.unwrap()
}

#[tokio::test]
async fn publish_subscribe_headers_and_wildcards() {
    let server = Server::start(NatsConfig::default()).await;
    let client = connect(&server).await;
    let mut messages = client.subscribe("orders.*").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("Key", "one");
    headers.append("Key", "two");
    client.publish_with_headers("orders.new", headers.clone(), "hi".into()).await.unwrap();
    client.publish("orders.old.1", "no".into()).await.unwrap();
    client.publish("orders.old", "".into()).await.unwrap();
    let first = messages.next().await.unwrap();
    assert_eq!((first.subject.as_str(), &first.payload[..]), ("orders.new", &b"hi"[..]));
    assert_eq!(first.headers, Some(headers));
    let second = messages.next().await.unwrap();
    assert_eq!((second.subject.as_str(), second.payload.len()), ("orders.old", 0));
}

#[tokio::test]
async fn requests_are_answered_and_missing_responders_told() {
    let server = Server::start(NatsConfig::default()).await;
    let (service, client) = (connect(&server).await, connect(&server).await);
    let mut requests = service.queue_subscribe("echo", "workers".into()).await.unwrap();
    service.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            service.publish(request.reply.unwrap(), request.payload).await.unwrap();
        }
    });
    for number in 0..200 {
        let answer = client.request("echo", number.to_string().into()).await.unwrap();
        assert_eq!(&answer.payload[..], number.to_string().as_bytes());
    }
    let error = client.request("nobody", "x".into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn large_messages_arrive_whole_and_larger_ones_are_refused() {
    let server = Server::start(NatsConfig::default()).await;
    let (one, other) = (connect(&server).await, connect(&server).await);
    let (mut first, mut second) =
        (one.subscribe("big").await.unwrap(), other.subscribe("big").await.unwrap());
    one.flush().await.unwrap();
    other.flush().await.unwrap();
    for size in [1, 16_383, 16_384, 65_535, 200_000, 1 << 20] {
        let payload: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        one.publish("big", payload.clone().into()).await.unwrap();
        assert!(first.next().await.unwrap().payload == payload, "{size}");
        assert!(second.next().await.unwrap().payload == payload, "{size}");
    }
    assert!(one.publish("big", vec![0; (1 << 20) + 1].into()).await.is_err());
}

#[tokio::test]
async fn drain_and_unsubscribe_after() {
    let server = Server::start(NatsConfig::default()).await;
    let client = connect(&server).await;
    let mut messages = client.subscribe("a").await.unwrap();
    messages.unsubscribe_after(3).await.unwrap();
    for number in 0..5 {
        client.publish("a", number.to_string().into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let mut got = Vec::new();
    while let Some(message) = messages.next().await {
        got.push(message.payload[0]);
    }
    assert_eq!(got, b"012");
    let mut drained = client.subscribe("b").await.unwrap();
    client.publish("b", "last".into()).await.unwrap();
    drained.drain().await.unwrap();
    assert_eq!(&drained.next().await.unwrap().payload[..], b"last");
    assert!(drained.next().await.is_none());
}

#[tokio::test]
async fn credentials_are_asked_for() {
    let auth = Auth::User { name: "u".into(), password: Secret::new("p") };
    let server = Server::start(NatsConfig { auth, ..NatsConfig::default() }).await;
    let address = server.address.to_string();
    let right = ConnectOptions::with_user_and_password("u".into(), "p".into());
    right.connect(&address).await.unwrap().flush().await.unwrap();
    let wrong = ConnectOptions::with_user_and_password("u".into(), "q".into());
    assert!(wrong.connect(&address).await.is_err());
}

#[tokio::test]
async fn lame_duck_is_understood() {
    let config = NatsConfig { lame_duck_grace: Duration::from_millis(100), ..NatsConfig::default() };
    let mut server = Server::start(config).await;
    let (sender, mut events) = tokio::sync::mpsc::channel(100);
    let options = ConnectOptions::new().event_callback(move |event| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(event).await;
        }
    });
    let _client = options.connect(server.address.to_string()).await.unwrap();
    server.stop();
    loop {
        match events.recv().await.unwrap() {
            async_nats::Event::LameDuckMode => break,
            async_nats::Event::Disconnected => panic!("ended before it was told"),
            _ => {}
        }
    }
    server.stopped().await;
}
