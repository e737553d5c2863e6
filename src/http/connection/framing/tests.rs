use super::*;

/// Follows `text` in pieces of `size` bytes, as the stream does: what passed, and the framing after it.
fn follow(text: &str, size: usize) -> (String, Framing) {
    let mut framing = Framing::default();
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for piece in text.as_bytes().chunks(size) {
        held.extend_from_slice(piece);
        let keep = framing.follow(&mut held);
        passed.extend(held.drain(..held.len() - keep));
    }
    passed.extend(held);
    (String::from_utf8(passed).unwrap(), framing)
}

/// Follows `text` in pieces of every size, with the same result.
fn follow_all(text: &str) -> (String, Framing) {
    for size in 1..text.len() {
        let (pieces, whole) = (follow(text, size), follow(text, text.len()));
        assert_eq!(pieces.0, whole.0, "pieces of {size}");
        assert_eq!(pieces.1.at, whole.1.at, "pieces of {size}");
        assert_eq!(pieces.1.passed(), whole.1.passed(), "pieces of {size}");
    }
    follow(text, text.len())
}

#[test]
fn requests_are_followed_to_their_ends() {
    let requests = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET / HTTP/1.1\nHost: a\n\n", 1),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\n\r\nx", 2),
        ("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n", 1),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\n\n\r\n0\r\nT: x\r\n\r\n",
            2,
        ),
        ("POST / HTTP/1.1\r\nTRANSFER-ENCODING:chunked\r\n\r\n0\r\n\r\n", 2),
    ];
    for (request, passed) in requests {
        let (same, framing) = follow_all(request);
        assert_eq!(same, request);
        assert_eq!(framing.at, At::Start, "{request}");
        assert_eq!(framing.passed(), passed, "{request}");
        let twice = follow_all(&request.repeat(2)).1;
        assert_eq!((twice.at, twice.passed()), (At::Start, 2 * passed), "{request}");
    }
}

#[test]
fn unfinished_requests_are_being_read() {
    let reading = |text: &str| follow_all(text).1.reading();
    assert_eq!(reading("\r\n"), Reading::Head, "the client may stop after it");
    assert_eq!(reading("GET / HTTP/1.1\r\nHost: a\r\n"), Reading::Head);
    assert_eq!(
        reading("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234"),
        Reading::Body
    );
    assert_eq!(
        reading("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"),
        Reading::Body
    );
    assert_eq!(
        reading("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        Reading::Body
    );
}

#[test]
fn offers_to_upgrade_are_hidden_in_heads_only() {
    let offer = "POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n\
                 Content-Length: 25\r\n\r\n\r\nConnection: Upgrade\r\n\r\n";
    let hidden = "POST / HTTP/1.1\r\nConnection: xpgrade, HTTP2-Settings\r\nxpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n\
                  Content-Length: 25\r\n\r\n\r\nConnection: Upgrade\r\n\r\n";
    let (passed, framing) = follow_all(offer);
    assert_eq!(passed.replace("Xpgrade", "xpgrade"), hidden);
    assert_eq!(framing.at, At::Start);
    let (passed, _) = follow_all("GET / HTTP/1.1\r\nconnection: keep-alive ,upgrade\r\nX: Upgrade\r\n\r\n");
    assert_eq!(
        passed,
        "GET / HTTP/1.1\r\nconnection: keep-alive ,xpgrade\r\nX: Upgrade\r\n\r\n"
    );
}

#[test]
fn malformed_framing_is_not_followed() {
    for head in [
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: x",
        "Content-Length: -1",
        "Transfer-Encoding: gzip, chunked",
    ] {
        let (_, framing) = follow_all(&format!("POST / HTTP/1.1\r\n{head}\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
        assert_eq!(framing.at, At::Unknown, "{head}");
    }
    let (_, framing) = follow_all("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n");
    assert_eq!(framing.at, At::Unknown);
}
