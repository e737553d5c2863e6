//! Request bodies: bounded in size and time.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use serde::Deserialize;

use super::error::Failure;
use crate::oauth::error::Error;

/// The largest body of any endpoint but batch introspection, in bytes.
pub const LIMIT: usize = 16 * 1024;

/// The largest body of batch introspection, in bytes.
pub const BATCH_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive, from the moment its head was read.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reads the body of a form request.
pub async fn form(headers: &HeaderMap, payload: Payload) -> Result<Bytes, Failure> {
    expect_type(
        headers,
        "application/x-www-form-urlencoded",
        "the body must be application/x-www-form-urlencoded",
    )?;
    read(headers, payload, LIMIT).await
}

/// Reads the body of a JSON request.
pub async fn json(headers: &HeaderMap, payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    expect_type(headers, "application/json", "the body must be application/json")?;
    read(headers, payload, limit).await
}

/// Parses a JSON object. (Left to itself, `serde` would take an array of a struct's fields for the struct.)
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii_start().first() == Some(&b'{') {
        serde_json::from_slice(body)
    } else {
        Err(serde::de::Error::custom("expected a JSON object"))
    }
}

fn expect_type(headers: &HeaderMap, expected: &str, otherwise: &'static str) -> Result<(), Failure> {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if given == Some(expected.as_bytes()) {
        return Ok(());
    }
    let given = given.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default();
    let essence = given.split_once(';').map_or(given, |(essence, _)| essence).trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(Error::invalid_request(otherwise).into())
    }
}

/// Reads a body of any type.
pub async fn read(headers: &HeaderMap, payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Failure::TooLarge);
    }
    tokio::time::timeout(DEADLINE, collect(payload, limit))
        .await
        .unwrap_or(Err(Failure::SlowBody))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    const CUT_SHORT: Error = Error::invalid_request("the body ended early or is malformed");
    let mut body = Bytes::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| CUT_SHORT)?;
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge);
        }
        // Nearly every body is one chunk, which is then handed on as it is.
        body = if body.is_empty() {
            chunk
        } else {
            let mut joined = BytesMut::from(body);
            joined.extend_from_slice(&chunk);
            joined.freeze()
        };
    }
    Ok(body)
}
