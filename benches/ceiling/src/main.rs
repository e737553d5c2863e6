//! The fastest an actix-web handler can be here.
fn main() {}
