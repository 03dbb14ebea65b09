//! Binding the doors' sockets.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::config::HostPort;

/// Connections that the kernel holds until they are accepted: enough for thousands of clients that come back at
/// once after a restart.
const BACKLOG: u32 = 4096;

/// A listener on `at`, for the door called `door`.
///
/// # Errors
/// Says which door, which address, which setting.
pub async fn bind(door: &'static str, at: &HostPort) -> Result<TcpListener, BindError> {
    let failed = |source| BindError { door, at: at.to_string(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((at.host.as_str(), at.port)).await.map_err(failed)? {
        match bind_to(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn bind_to(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart needn't wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why a door couldn't be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at}: {source}{}", hint(door, source))]
pub struct BindError {
    door: &'static str,
    at: String,
    source: io::Error,
}

fn hint(door: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another process has that port: stop it, or choose another with --{door}-listen (port 0: any free one)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("; this machine does not have that address: change --{door}-listen")
        }
        _ => String::new(),
    }
}
