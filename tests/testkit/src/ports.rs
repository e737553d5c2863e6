//! Free ports, for servers whose port is configured before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// The range is below the kernel's ephemeral ports, so that outgoing connections do not occupy its ports.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A free port of the loopback address that this process has not returned before.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Concurrent test processes start at different ports.
    let start = std::process::id().wrapping_mul(7919);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no port is free");
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).expect("a port below 30 000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
