//! Scripts of workers: the guard's half for them goes in front. Pages cannot put it there, and service
//! workers outlive the page that starts them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request, response};

use super::peek;
use crate::{
    asset::Asset,
    wire::{self, Body, Failure, SEC_FETCH_DEST},
};

/// How much of a script is read before it is sent on. In a longer one nothing can be changed.
const PEEK_BYTES: usize = 1 << 20;
/// Before an address it makes it one of an empty module, and the rest of it a comment there.
const EMPTY_MODULE: &[u8] = b"data:text/javascript,//";

/// Whether the request is for the script that a worker begins with. What it imports runs in a realm that
/// is guarded by then. Worklets have nothing to send with.
pub(super) fn is_asked(head: &request::Parts) -> bool {
    let service = head.headers.get("service-worker").is_some_and(|value| value.as_bytes() == b"script");
    let dest = wire::single(&head.headers, &SEC_FETCH_DEST);
    head.method == Method::GET && (service || matches!(dest, Some("worker" | "sharedworker" | "serviceworker")))
}

/// Asks for the script as it is: its first bytes are read here.
pub(super) fn prepare(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// The script behind the guard. `prefix` is the path of the gate's own paths, `held` tells where addresses stand that
/// the script must not import: a browser loads them before the guard runs.
pub(super) async fn guard(
    mut head: response::Parts,
    body: Body,
    guard: &Asset,
    prefix: &str,
    held: impl FnOnce(&[u8]) -> Vec<usize>,
) -> Result<(response::Parts, Body), Failure> {
    if head.status != StatusCode::OK {
        return Ok((head, body)); // No browser runs it.
    }
    let coded = head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity");
    if coded {
        return Err(Failure::Unreadable("a worker's script came compressed although that was not asked for".to_owned()));
    }
    let (first, mut body) = peek::first(body, PEEK_BYTES).await?;
    let held = held(&first);
    if !held.is_empty() {
        if first.len() >= PEEK_BYTES {
            return Err(Failure::Unreadable("a worker's script imports a held vendor and is too long to change".to_owned()));
        }
        let mut changed = Vec::with_capacity(first.len() + held.len() * EMPTY_MODULE.len());
        let mut from = 0;
        for at in held {
            changed.extend_from_slice(&first[from..at]);
            changed.extend_from_slice(EMPTY_MODULE);
            from = at;
        }
        changed.extend_from_slice(&first[from..]);
        body = peek::behind(changed.into(), wire::empty());
    }
    let before = match Start::of(&first) {
        // Its imports run before anything else in it, so the guard is the first of them.
        Start::Module => Bytes::from(format!("import\"{prefix}/assets/{}\";\n", guard.path)),
        Start::Strict => [b"'use strict';", &*guard.bytes].concat().into(),
        // It counts as a comment only at the very beginning.
        Start::Hashbang => [&*guard.bytes, b"//"].concat().into(),
        Start::Other => guard.bytes.clone(),
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Ok((head, peek::behind(before, body)))
}

/// How a script begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Module,
    Strict,
    Hashbang,
    Other,
}

impl Start {
    /// Reads over spaces and comments to the first word.
    fn of(text: &[u8]) -> Self {
        let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if rest.starts_with(b"#!") {
            return Self::Hashbang;
        }
        loop {
            rest = rest.trim_ascii_start();
            let end: &[u8] = match rest {
                [b'/', b'/', ..] => b"\n",
                [b'/', b'*', ..] => b"*/",
                _ => break,
            };
            let Some(at) = memchr::memmem::find(rest, end) else { return Self::Other };
            rest = &rest[at + end.len()..];
        }
        let word = |word: &[u8]| rest.strip_prefix(word).filter(|after| !after.first().is_some_and(u8::is_ascii_alphanumeric));
        if word(b"'use strict'").or_else(|| word(b"\"use strict\"")).is_some() {
            return Self::Strict;
        }
        // `import(…)` and `import.meta` begin expressions.
        let import = word(b"import").is_some_and(|after| !matches!(after.trim_ascii_start().first(), None | Some(b'(' | b'.')));
        if import || word(b"export").is_some() { Self::Module } else { Self::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::Start;

    #[test]
    fn what_has_to_stand_first_is_seen() {
        for (text, want) in [
            ("postMessage(1)", Start::Other),
            ("'use strict'; x", Start::Strict),
            ("/* by\n us */ // and\n \"use strict\"\nx", Start::Strict),
            ("\u{feff}import a from './a.js'", Start::Module),
            ("import{a}from'./a.js'", Start::Module),
            ("export {}", Start::Module),
            ("import('./a.js')", Start::Other),
            ("import (\"./a.js\")", Start::Other),
            ("import.meta.url", Start::Other),
            ("importScripts('a.js')", Start::Other),
            ("exports.a = 1", Start::Other),
            ("#!/usr/bin/env node\nx", Start::Hashbang),
            ("/* never closed", Start::Other),
            ("", Start::Other),
        ] {
            assert_eq!(Start::of(text.as_bytes()), want, "{text}");
        }
    }
}
