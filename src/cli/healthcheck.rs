//! `healthcheck`: for containers without curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::output;
use crate::config::Listener;
use crate::failure::Failure;

const LIMIT: Duration = Duration::from_secs(2);

pub fn run(listener: &Listener) -> Result<(), Failure> {
    let status = ask(listener).map_err(|error| {
        Failure::Environment(format!("no answer from http://{}/ready: {error}", listener.authority()))
    })?;
    if status != 200 {
        let problem = format!(
            "the server is not ready: http://{}/ready answers {status}",
            listener.authority()
        );
        return Err(Failure::Environment(problem));
    }
    output::text_line("ready")
}

fn ask(listener: &Listener) -> io::Result<u16> {
    let deadline = Instant::now() + LIMIT;
    let mut stream = TcpStream::connect_timeout(&address(listener), LIMIT)?;
    stream.set_write_timeout(Some(LIMIT))?;
    let host = listener.authority();
    // In one piece: a peer may answer and close on the first that it sees.
    stream.write_all(format!("GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    // The first line says it all.
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    status(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\r').next()?).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Where to connect: an unspecified address means every one of this machine, so the loopback one.
fn address(listener: &Listener) -> SocketAddr {
    let ip = match listener.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Ok(ip) => ip,
        // The one name that the configuration allows is localhost.
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listener.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answered(answer: &'static str) -> Result<(), Failure> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let result = run(&Listener {
            host: "0.0.0.0".to_owned(),
            port,
        });
        serving.join().unwrap();
        result
    }

    #[test]
    fn only_200_is_ready() {
        assert!(answered("HTTP/1.1 200 OK\r\n\r\n").is_ok());
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0\r\n", ""] {
            assert_eq!(answered(answer).unwrap_err().exit_code(), 3, "{answer}");
        }
    }
}
