//! Ports for servers that must know theirs before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections, so that none of those can be in the way.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A port of the loopback address that nothing listens on, not handed out by this process before.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin in different places.
    let start = std::process::id().wrapping_mul(7919);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no port is free");
        let port = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).expect("at most 30 000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
