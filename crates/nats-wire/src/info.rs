//! What the server says of itself in INFO.

use serde::Serialize;

/// The fields of INFO that a client sees, in the reference's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// The server's id, new at every start.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The version of nats-server that it stands for: clients ask it for what they may use.
    pub version: String,
    /// 1: INFO may come at any time.
    pub proto: u8,
    /// What it was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// What it was built with. Clients show it; some ask that it is there.
    pub go: String,
    /// Where it listens.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// It takes and sends headers.
    pub headers: bool,
    /// Who connects must say who they are.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// Largest message, bytes.
    pub max_payload: usize,
    /// JetStream is there.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// The connection's number.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Where the connection comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// It is about to stop.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This INFO answers a CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account that the connection is in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// The JetStream API level.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_reference_order_and_empty_ones_are_left_out() {
        let mut info = ServerInfo {
            server_id: "ID".into(),
            server_name: "N".into(),
            version: "2.14.0".into(),
            proto: 1,
            go: "none".into(),
            host: "127.0.0.1".into(),
            port: 4222,
            headers: true,
            max_payload: 1_048_576,
            client_id: 5,
            client_ip: "127.0.0.1".into(),
            ..ServerInfo::default()
        };
        assert_eq!(
            serde_json::to_string(&info).unwrap(),
            r#"{"server_id":"ID","server_name":"N","version":"2.14.0","proto":1,"go":"none","host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"client_id":5,"client_ip":"127.0.0.1"}"#
        );
        info.connect_info = true;
        info.remote_account = "$G".into();
        info.api_lvl = 1;
        let text = serde_json::to_string(&info).unwrap();
        assert!(text.ends_with(r#","connect_info":true,"remote_account":"$G","api_lvl":1}"#), "{text}");
    }
}
