//! From HTTP/2 to the shape of HTTP/1.1 and back: what the rest of the gate and the site behind see is one
//! shape. hyper has refused by now what is malformed in itself: upper case and bytes that no field has,
//! pseudo-header fields out of place or twice, headers of the connection, lengths that do not fit.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};

use crate::wire::{self, Body};

/// Headers that only a connection of HTTP/1.1 has (RFC 9113, 8.2.2).
const CONNECTION: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Gives a request of HTTP/2 the head it would have had in HTTP/1.1 (RFC 9113, 8.3.1), or says what to
/// answer instead: it is malformed and gets no page.
pub(super) fn request<B>(req: &mut Request<B>, lines_max: usize) -> Result<(), StatusCode> {
    if req.headers().len() > lines_max {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // hyper takes the same length twice for one; the site behind need not.
    if req.headers().get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(StatusCode::BAD_REQUEST);
    }
    // It names a host and no path, and is refused with a page.
    if req.method() == Method::CONNECT {
        return Ok(());
    }
    authority_to_host(req)?;
    let target = req.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let star = target == "*" && req.method() == Method::OPTIONS;
    if !target.as_str().starts_with('/') && !star {
        return Err(StatusCode::BAD_REQUEST);
    }
    *req.uri_mut() = Uri::from(target);
    join_cookies(req.headers_mut());
    Ok(())
}

/// `:authority` is the host; a `Host` beside it has to say the same.
fn authority_to_host<B>(req: &mut Request<B>) -> Result<(), StatusCode> {
    let Some(authority) = req.uri().authority().map(|authority| authority.as_str().to_owned()) else { return Ok(()) };
    if req.headers().get_all(header::HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let host = HeaderValue::try_from(authority).map_err(|_| StatusCode::BAD_REQUEST)?;
    req.headers_mut().insert(header::HOST, host);
    Ok(())
}

/// One `Cookie` again (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// Gives an answer the head it has in HTTP/2, and no body where none belongs: unlike in HTTP/1.1, hyper does
/// not see to that.
pub(super) fn response(method: &Method, mut resp: Response<Body>) -> Response<Body> {
    for name in CONNECTION {
        resp.headers_mut().remove(name);
    }
    let status = resp.status();
    if method == Method::HEAD {
        let length = hyper::body::Body::size_hint(resp.body()).exact().filter(|&length| length > 0);
        if let Some(length) = length {
            resp.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        *resp.body_mut() = wire::empty();
    } else if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        *resp.body_mut() = wire::empty();
    }
    resp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, lines: &[(&str, &str)]) -> Result<Request<()>, StatusCode> {
        let mut req = Request::builder().uri(uri);
        for (name, value) in lines {
            req = req.header(*name, *value);
        }
        let mut req = req.body(()).expect("a test request");
        request(&mut req, 10).map(|()| req)
    }

    #[test]
    fn a_request_gets_one_host_one_path_and_one_cookie() {
        let req = asked("https://a.site:8443/p?q=1", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).expect("good");
        assert_eq!(req.uri(), "/p?q=1");
        assert_eq!(req.headers()[header::HOST], "a.site:8443");
        assert_eq!(req.headers().get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(asked("https://a.site/", &[("host", "A.site")]).expect("the same").headers()[header::HOST], "a.site");
        assert_eq!(asked("/p", &[("host", "a.site")]).expect("no :authority").headers()[header::HOST], "a.site");
    }

    #[test]
    fn two_hosts_two_lengths_and_too_many_lines_are_refused() {
        let lines: Vec<(&str, &str)> = vec![("x", "y"); 11];
        for (lines, want) in [
            (&[("host", "b.site")][..], StatusCode::BAD_REQUEST),
            (&[("host", "a.site"), ("host", "b.site")], StatusCode::BAD_REQUEST),
            (&[("content-length", "5"), ("content-length", "5")], StatusCode::BAD_REQUEST),
            (&lines, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        ] {
            assert_eq!(asked("https://a.site/", lines).expect_err("refused"), want, "{lines:?}");
        }
    }

    #[test]
    fn an_answer_carries_nothing_of_a_connection_and_no_body_where_none_belongs() {
        let answer = || {
            let mut resp = Response::new(wire::full("page"));
            for name in CONNECTION {
                resp.headers_mut().insert(name, HeaderValue::from_static("x"));
            }
            resp
        };
        let got = response(&Method::GET, answer());
        assert!(got.headers().is_empty() && !hyper::body::Body::is_end_stream(got.body()));
        let head = response(&Method::HEAD, answer());
        assert_eq!(head.headers()[header::CONTENT_LENGTH], "4");
        assert!(hyper::body::Body::is_end_stream(head.body()));
        let mut none = answer();
        *none.status_mut() = StatusCode::NO_CONTENT;
        assert!(hyper::body::Body::is_end_stream(response(&Method::GET, none).body()));
    }
}
