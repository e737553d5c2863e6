//! `healthcheck`: readiness for containers without curl.

use super::management::Management;
use super::output;
use crate::failure::Failure;

pub fn run(management: &Management) -> Result<(), Failure> {
    let response = management.get("/ready", None).map_err(Failure::Environment)?;
    if response.status != 200 {
        let problem = format!(
            "the server is not ready: {} responds with {}",
            management.url("/ready"),
            response.status
        );
        return Err(Failure::Environment(problem));
    }
    output::text_line("ready")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::config::Listener;

    fn check(response: &'static str) -> Result<(), Failure> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let server_thread = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\n"));
            stream.write_all(response.as_bytes()).unwrap();
        });
        let listener = Listener {
            host: "0.0.0.0".to_owned(),
            port,
        };
        let result = run(&Management::new(&listener, false));
        server_thread.join().unwrap();
        result
    }

    #[test]
    fn only_a_200_is_ready() {
        assert!(check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok());
        let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        for response in [unavailable, "SSH-2.0\r\n", ""] {
            assert_eq!(check(response).unwrap_err().exit_code(), 3, "{response}");
        }
    }
}
