//! Every verb and every error over real sockets, against what nats-server 2.15.1 answers to the same bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use duolog_nats::NatsConfig;
use support::{CONNECT, QUIET, Server};

/// What the client sends behind its CONNECT, and what the server answers up to the PONG of a last PING.
const GOES_ON: &[(&str, &str)] = &[
    ("", ""),
    ("SUB a 1\r\nPuB \t a \t  2 \r\nxx\r\n", "MSG a 1 2\nxx\n"),
    ("SUB a 1\r\nPUB a 2\nxx\r\n", "MSG a 1 2\nxx\n"),
    ("SUB a 1\r\nPUB a r 0\r\n\r\n", "MSG a 1 r 0\n\n"),
    ("SUB a 1\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG a 1 r 12 14\nNATS/1.0\n\nhi\n"),
    ("SUB a 1\r\nHPUB a r 0 2\r\nhi\r\n", "MSG a 1 r 2\nhi\n"),
    ("SUB a 1\r\nHPUB a r 4 6\r\nxxxxhi\r\n", "HMSG a 1 r 4 6\nxxxxhi\n"),
    ("SUB r 1\r\nPUB a r 2\r\nhi\r\n", "HMSG r 1 33 33\nNATS/1.0 503\nNats-Subject: a\n\n\n"),
    ("SUB r.* 1\r\nPUB a r.1 2\r\nhi\r\n", "HMSG r.1 1 33 33\nNATS/1.0 503\nNats-Subject: a\n\n\n"),
    ("SUB r q 1\r\nPUB a r 2\r\nhi\r\n", ""),
    (
        "SUB a.b 2\r\nSUB a.> 3\r\nPUB a.> 2\r\nhi\r\nPUB a. 1\r\nh\r\nPUB a..b 1\r\nh\r\n",
        "MSG a.> 3 2\nhi\n",
    ),
    (
        "SUB a*.b 1\r\nSUB a.>b 2\r\nPUB a*.b 1\r\nx\r\nPUB a.>b 1\r\ny\r\n",
        "MSG a*.b 1 1\nx\nMSG a.>b 2 1\ny\n",
    ),
    ("SUB a..b 1\r\nSUB >.a 1\r\nSUB a.>.b 2\r\nSUB a. 1\r\nSUB .a 1\r\n", SUBJECTS_REFUSED),
    ("SUB a 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\n", "MSG a 1 1\nx\n"),
    (
        "SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n",
        "MSG a 1 1\n1\nMSG a 1 1\n2\n",
    ),
    ("SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 1\r\nPUB a 1\r\n2\r\n", "MSG a 1 1\n1\n"),
    ("SUB a 1\r\nUNSUB 1 x\r\nPUB a 1\r\n3\r\n", ""),
    ("SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\n1\r\nSUB b 1\r\nPUB b 1\r\n2\r\n", "MSG a 1 1\n1\nMSG b 1 1\n2\n"),
    ("UNSUB 9\r\n+OK\r\nPONG\r\nINFO {}\r\n", ""),
    ("PINGxyz\r\n", "PONG\n"),
    ("SUB a _sys_ 1\r\n", "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\n"),
    ("PUB $NRG.x 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\n"),
    ("PUB a _R_.x 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\n"),
    ("PUB _GR_.a.x 1\r\nx\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.a.x\"'\n"),
];

const SUBJECTS_REFUSED: &str = "-ERR 'Invalid Subject'\n-ERR 'Invalid Subject'\n-ERR 'Invalid Subject'\n\
                                -ERR 'Invalid Subject'\n-ERR 'Invalid Subject'\n";

#[tokio::test]
async fn what_goes_on_is_answered_as_the_reference_does() {
    let server = Server::start(NatsConfig::default()).await;
    for (sent, expected) in GOES_ON {
        let mut client = server.raw().await;
        client.send([QUIET, sent].concat()).await;
        let mut got = client.settled().await;
        if *expected == "PONG\n" {
            got = [got, "PONG\n".to_owned()].concat();
        }
        assert_eq!(got, *expected, "{sent:?}");
    }
}

/// What the client sends instead of, or behind, its CONNECT, and the last words of the server.
const ENDS: &[(&str, &str)] = &[
    ("FOO\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("PUB\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("UNSUB\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("MSG a 1 1\r\nx\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("HMSG a 1 1\r\nx\r\n", "-ERR 'Unknown Protocol Operation'\n"),
    ("PUB a 2\r\nxxyy\r\n", "+OK\n-ERR 'Unknown Protocol Operation'\n"),
    ("PUB a\r\n", ""),
    ("PUB a b c d\r\n", ""),
    ("PUB a x\r\nxx\r\n", ""),
    ("PUB a -1\r\nxx\r\n", ""),
    ("PUB a 99999999999999\r\nxx\r\n", ""),
    ("PUB a 1048577\r\nxx\r\n", "-ERR 'Maximum Payload Violation'\n"),
    ("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", ""),
    ("SUB a b c d\r\n", ""),
    ("SUB \r\n", ""),
    ("UNSUB 1 2 3\r\n", ""),
    ("-ERR 'x'\r\n", ""),
    ("INFO {\r\n", ""),
    ("CONNECT {\"verbose\":false\r\n", ""),
    ("CONNECT {\"protocol\":\"x\"}\r\n", ""),
    ("CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\n"),
    ("CONNECT {\"account\":\"x\"}\r\n", "-ERR 'Authorization Violation'\n"),
    ("CONNECT {\"no_responders\":true}\r\n", "-ERR 'no responders requires headers support'\n"),
];

#[tokio::test]
async fn what_ends_the_connection_ends_it_with_the_reference_s_words() {
    let server = Server::start(NatsConfig::default()).await;
    for (sent, expected) in ENDS {
        let mut client = server.raw().await;
        client.send(sent).await;
        // Only what was handled before it is verbose.
        let expected = expected.strip_prefix("+OK\n").unwrap_or(expected);
        assert_eq!(client.until_end().await, expected, "{sent:?}");
    }
    let mut control_line = server.raw().await;
    control_line.send([b"PUB ", &[b'a'; 4097][..]].concat()).await;
    assert_eq!(control_line.until_end().await, "-ERR 'maximum control line exceeded'\n");
    let mut control_line = server.client().await;
    control_line.send([b"PUB ", &[b'a'; 4094][..], b" 1\r\nx\r\n"].concat()).await;
    assert_eq!(control_line.settled().await, "");
}

#[tokio::test]
async fn before_connect_everything_is_verbose_and_pedantic() {
    let server = Server::start(NatsConfig::default()).await;
    let mut client = server.raw().await;
    client.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPUB a.* 2\r\nhi\r\nUNSUB 1\r\nUNSUB 1\r\nSUB a..b 1\r\n").await;
    let expected =
        "+OK\n+OK\nMSG a 1 2\nhi\n-ERR 'Invalid Publish Subject'\n+OK\n+OK\n+OK\n-ERR 'Invalid Subject'\n";
    assert_eq!(client.settled().await, expected);
    client.send("CONNECT {\"VERBOSE\":true,\"nope\":1}\r\n").await;
    assert_eq!(client.settled().await, "+OK\n");
    client.send("CONNECT{\"verbose\":false}\r\n").await;
    assert_eq!(client.settled().await, "");
}

#[tokio::test]
async fn info_says_what_clients_ask_for_and_comes_again_behind_the_first_pong() {
    let config = NatsConfig { server_name: "here".into(), ..NatsConfig::default() };
    let server = Server::start(config).await;
    let mut client = server.raw().await;
    let json = client.info.strip_prefix("INFO ").and_then(|info| info.strip_suffix(' ')).unwrap().to_owned();
    let info: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(info["server_name"], "here");
    assert_eq!(info["version"], "2.14.0");
    assert_eq!(info["max_payload"], 1_048_576);
    assert_eq!(info["port"], server.address.port());
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert_eq!(info["headers"], true);
    assert_eq!(info.get("jetstream"), None);
    client.send([CONNECT, "PING\r\nPING\r\n"].concat()).await;
    assert_eq!(client.line().await.unwrap(), "PONG");
    let again = client.line().await.unwrap();
    assert!(again.contains(r#""connect_info":true,"remote_account":"$G"}"#), "{again}");
    assert_eq!(client.line().await.unwrap(), "PONG");
}

#[tokio::test]
async fn connect_again_ends_the_subscriptions() {
    let server = Server::start(NatsConfig::default()).await;
    let mut client = server.client().await;
    client.send(["SUB a 1\r\n", QUIET, "PUB a 1\r\nx\r\n"].concat()).await;
    assert_eq!(client.settled().await, "");
    assert_eq!(server.router.subscriptions(), 1, "only the broker's own");
}

#[tokio::test]
async fn headers_are_stripped_for_clients_that_take_none() {
    let server = Server::start(NatsConfig::default()).await;
    let mut plain = server.raw().await;
    plain.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\n").await;
    plain.settled().await;
    let mut client = server.client().await;
    client.send("HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").await;
    client.settled().await;
    assert_eq!(plain.settled().await, "MSG a 1 r 2\nhi\n");
}

#[tokio::test]
async fn echo_can_be_turned_off_and_then_nobody_responds() {
    let server = Server::start(NatsConfig::default()).await;
    let mut client = server.raw().await;
    client.send(QUIET.replace('{', "{\"echo\":false,")).await;
    client.send("SUB a 1\r\nSUB r 2\r\nPUB a 1\r\nx\r\n").await;
    assert_eq!(client.settled().await, "");
    client.send("PUB a r 1\r\nx\r\n").await;
    assert!(client.settled().await.starts_with("HMSG r 2 33 33\n"));
}

#[tokio::test]
async fn a_group_gets_each_message_once_whatever_its_members_subscribed_to() {
    let server = Server::start(NatsConfig::default()).await;
    let mut first = server.client().await;
    first.send("SUB a.b q 1\r\n").await;
    first.settled().await;
    let mut second = server.client().await;
    second.send("SUB a.* q 2\r\nSUB a.> p 3\r\n").await;
    second.settled().await;
    let mut client = server.client().await;
    for _ in 0..200 {
        client.send("PUB a.b 1\r\nx\r\n").await;
    }
    client.settled().await;
    let (first, second) = (first.settled().await, second.settled().await);
    let (ones, twos) = (first.matches("MSG a.b 1 1").count(), second.matches("MSG a.b 2 1").count());
    assert_eq!(ones + twos, 200);
    assert!(ones > 40 && twos > 40, "members are chosen at random: {ones} and {twos}");
    assert_eq!(second.matches("MSG a.b 3 1").count(), 200);
}

#[tokio::test]
async fn user_info_is_answered() {
    let server = Server::start(NatsConfig::default()).await;
    let mut client = server.client().await;
    client.send("SUB i 1\r\nPUB $SYS.REQ.USER.INFO i 0\r\n\r\n").await;
    let got = client.settled().await;
    let json: serde_json::Value = serde_json::from_str(got.lines().nth(1).unwrap()).unwrap();
    assert_eq!(json["data"]["account"], "$G");
}
