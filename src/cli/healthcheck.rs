//! `healthcheck`: readiness for containers without curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::output;
use crate::config::Listener;
use crate::failure::Failure;

/// Time limit of the request.
const LIMIT: Duration = Duration::from_secs(2);

pub fn run(listener: &Listener) -> Result<(), Failure> {
    let status = get_ready(listener).map_err(|error| {
        Failure::Environment(format!(
            "no response from http://{}/ready: {error}",
            listener.authority()
        ))
    })?;
    if status != 200 {
        let problem = format!(
            "the server is not ready: http://{}/ready responds with {status}",
            listener.authority()
        );
        return Err(Failure::Environment(problem));
    }
    output::text_line("ready")
}

fn get_ready(listener: &Listener) -> io::Result<u16> {
    let deadline = Instant::now() + LIMIT;
    let mut stream = TcpStream::connect_timeout(&address(listener), LIMIT)?;
    stream.set_write_timeout(Some(LIMIT))?;
    let host = listener.authority();
    // One write: a peer may respond and close after the first segment.
    stream.write_all(format!("GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    let mut buffer = [0; 512];
    // Only the status line matters.
    while !response.contains(&b'\n') && response.len() < 4096 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        response.extend_from_slice(&buffer[..read]);
    }
    status(&response).ok_or_else(|| io::Error::other("the response is not HTTP"))
}

fn status(response: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(response.split(|&byte| byte == b'\r').next()?).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Where to connect: loopback, if the listener's address is unspecified.
fn address(listener: &Listener) -> SocketAddr {
    let ip = match listener.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Ok(ip) => ip,
        // The configuration allows no other name than localhost.
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listener.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn check(response: &'static str) -> Result<(), Failure> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let server_thread = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
            stream.write_all(response.as_bytes()).unwrap();
        });
        let result = run(&Listener {
            host: "0.0.0.0".to_owned(),
            port,
        });
        server_thread.join().unwrap();
        result
    }

    #[test]
    fn only_a_200_is_ready() {
        assert!(check("HTTP/1.1 200 OK\r\n\r\n").is_ok());
        for response in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0\r\n", ""] {
            assert_eq!(check(response).unwrap_err().exit_code(), 3, "{response}");
        }
    }
}
