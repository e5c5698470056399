use super::*;
use crate::headers::sample::{dump, head};

const NOW: &str = "0123456789abcdef";
const THEN: &str = "fedcba9876543210";

fn now() -> Variant {
    Variant::parse(NOW).expect("16 hex digits")
}

fn filled(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.replace("NOW", NOW).replace("THEN", THEN)).collect()
}

fn head_of(lines: &[&str]) -> HeaderMap {
    head(&filled(lines).iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_variant_is_sixteen_hex_digits() {
    let hash = Hash::of(b"x");
    assert_eq!(Variant::parse(Variant::new(&hash).as_str()), Some(Variant::new(&hash)));
    for text in ["", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdefg", "0123456789abcde\""] {
        assert_eq!(Variant::parse(text), None, "{text}");
    }
}

#[test]
fn a_navigation_asks_only_about_the_current_variant() {
    for (sent, want, relay) in [
        (&[r#"if-none-match: W/"a;s-NOW""#][..], &[r#"if-none-match: "a""#][..], true),
        (&[r#"if-none-match: W/"a;w-NOW""#], &[r#"if-none-match: W/"a""#], true),
        (&[r#"if-none-match: W/"a;s-THEN""#], &[], false),
        (&[r#"if-none-match: "a""#], &[], false),
        (&["if-none-match: *"], &[], false),
        (&["if-none-match: junk"], &[], false),
        (
            &[r#"if-none-match: "x", W/"a,b;s-NOW""#, r#"if-none-match: W/"c;w-NOW", W/"d;w-THEN""#],
            &[r#"if-none-match: "a,b", W/"c""#],
            true,
        ),
        (
            &[
                "if-modified-since: Tue, 01 Jan 2030 00:00:00 GMT",
                "if-unmodified-since: x",
                "range: bytes=0-1",
                "if-range: \"a\"",
                "accept: */*",
            ],
            &["accept: */*"],
            false,
        ),
        (&[r#"if-none-match: W/"a;s-NOW""#, "if-modified-since: x"], &[r#"if-none-match: "a""#], true),
        (&[], &[], false),
    ] {
        let mut map = head_of(sent);
        let left = prepare_conditionals(&mut map, now, true);
        assert_eq!(dump(&map), want, "{sent:?}");
        assert_eq!(left.may_relay_304(), relay, "{sent:?}");
    }
}

#[test]
fn other_requests_keep_what_was_never_the_gates() {
    for (sent, want, relay) in [
        (
            &[r#"if-none-match: "a"  ,W/"b""#, "if-modified-since: x"][..],
            &["if-modified-since: x", r#"if-none-match: "a"  ,W/"b""#][..],
            true,
        ),
        (&["if-none-match: *"], &["if-none-match: *"], true),
        (&["if-none-match: junk"], &["if-none-match: junk"], true),
        (&["if-modified-since: x"], &["if-modified-since: x"], true),
        (&[r#"if-none-match: W/"a;s-NOW", "b""#], &[r#"if-none-match: "a", "b""#], true),
        (&[r#"if-none-match: W/"a;s-THEN", "b""#], &[r#"if-none-match: "b""#], true),
        (&[r#"if-none-match: W/"a;s-THEN""#, "if-modified-since: x"], &[], false),
        (&[r#"if-range: W/"a;s-THEN""#, "range: bytes=0-1"], &[], false),
        (&[r#"if-range: "a""#, "range: bytes=0-1"], &[r#"if-range: "a""#, "range: bytes=0-1"], false),
        (&["if-unmodified-since: x"], &["if-unmodified-since: x"], false),
    ] {
        let mut map = head_of(sent);
        let left = prepare_conditionals(&mut map, now, false);
        assert_eq!(dump(&map), want, "{sent:?}");
        assert_eq!(left.may_relay_304(), relay, "{sent:?}");
    }
}

#[test]
fn a_guarded_edit_names_the_origins_tag_whatever_the_variant() {
    for navigation in [true, false] {
        let mut map = head_of(&[r#"if-match: W/"a;s-THEN", "b", W/"c;w-NOW""#, "if-match: *", r#"if-match:  "d"  "#]);
        prepare_conditionals(&mut map, now, navigation);
        assert_eq!(dump(&map), [r#"if-match:  "d"  "#, r#"if-match: "a", "b", W/"c""#, "if-match: *"]);
    }
}

#[test]
fn a_304_is_marked_where_it_confirms_a_gated_page() {
    let ask = |line: &str, navigation| prepare_conditionals(&mut head_of(&[line]), now, navigation);
    let gated = ask(r#"if-none-match: W/"a;s-NOW""#, true);
    let mixed = ask(r#"if-none-match: W/"a;s-NOW", "b""#, false);
    let plain = ask(r#"if-none-match: "a""#, false);
    for (left, response, want) in [
        (&gated, &[r#"etag: "a""#][..], true),
        (&gated, &[r#"etag: W/"a""#], true),
        (&gated, &[], true),
        (&mixed, &[r#"etag: "a""#], true),
        (&mixed, &[r#"etag: "b""#], false),
        (&mixed, &[], false),
        (&plain, &[r#"etag: "a""#], false),
        (&plain, &[], false),
    ] {
        assert_eq!(left.confirms_gated(&head(response)), want, "{left:?} {response:?}");
    }
}

#[test]
fn a_tag_that_went_out_comes_back_as_the_origins() {
    for etag in [r#""abc""#, r#"W/"abc""#, r#""""#, r#""a,b;s-c""#, r#"W/"abc;s-fedcba9876543210""#] {
        let mut response = head(&[&format!("etag: {etag}")]);
        mark_variant(&mut response, &now());
        let mut request = HeaderMap::new();
        request.insert(IF_NONE_MATCH, response[ETAG].clone());
        assert!(prepare_conditionals(&mut request, now, true).may_relay_304());
        assert_eq!(request[IF_NONE_MATCH], etag);
        request.insert(IF_NONE_MATCH, response[ETAG].clone());
        assert!(!prepare_conditionals(&mut request, || Variant::parse(THEN).expect("16 hex digits"), true).may_relay_304());
    }
}

#[test]
fn a_gated_head_says_nothing_of_the_origins_bytes_and_is_private() {
    let mut map = head_of(&[
        "accept-ranges: bytes",
        "age: 7",
        "akamai-cache-control: max-age=9",
        "cache-control: public, max-age=600, s-maxage=600, no-transform",
        "cache-control: Must-Revalidate, stale-while-revalidate=9",
        "cdn-cache-control: max-age=9",
        "cloudflare-cdn-cache-control: max-age=9",
        "content-digest: sha-256=:x:",
        "content-language: en",
        "content-length: 9",
        "content-md5: x",
        "content-type: text/html",
        "digest: x",
        "etag: \"a\"",
        "expires: Tue, 01 Jan 2030 00:00:00 GMT",
        "last-modified: Tue, 01 Jan 2019 00:00:00 GMT",
        "pragma: public",
        "repr-digest: x",
        "surrogate-control: max-age=9",
        "vary: Accept-Encoding",
        "vary: cookie",
        "x-accel-expires: 9",
    ]);
    mark_variant(&mut map, &now());
    let want = filled(&[
        "cache-control: private, no-cache, no-transform, must-revalidate",
        "content-language: en",
        "content-type: text/html",
        "etag: W/\"a;s-NOW\"",
        "vary: Accept-Encoding, cookie, Accept-Language",
    ]);
    assert_eq!(dump(&map), want);
}

#[test]
fn what_the_origin_forbids_to_store_stays_forbidden() {
    for (sent, want) in [
        (&["no-cache, No-Store, max-age=0"][..], "private, no-store"),
        (&["max-age=0", "no-store"], "private, no-store"),
        (&["no-store-x, x=no-store"], "private, no-cache"),
        (&[], "private, no-cache"),
    ] {
        let lines: Vec<String> = sent.iter().map(|value| format!("cache-control: {value}")).collect();
        let mut map = head(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        mark_variant(&mut map, &now());
        assert_eq!(map.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), [want], "{sent:?}");
    }
}

#[test]
fn a_broken_or_doubled_tag_is_dropped() {
    for sent in [&["etag: abc"][..], &["etag: \"a\"", "etag: \"b\""], &["etag: \"a"]] {
        let mut map = head(sent);
        mark_variant(&mut map, &now());
        assert!(!map.contains_key(ETAG), "{sent:?}");
    }
}

#[test]
fn vary_is_appended_to_unless_it_says_everything() {
    for (sent, want) in [
        (&[][..], &["vary: Cookie, Accept-Language"][..]),
        (&["vary: *"], &["vary: *"]),
        (&["vary: Accept", "vary: *"], &["vary: *", "vary: Accept"]),
        (&["vary: ACCEPT-LANGUAGE ,Cookie"], &["vary: ACCEPT-LANGUAGE ,Cookie"]),
        (&["vary: "], &["vary: Cookie, Accept-Language"]),
        (&["vary: X-Cookie"], &["vary: X-Cookie, Cookie, Accept-Language"]),
    ] {
        let mut map = head(sent);
        append_vary(&mut map, &["Cookie", "Accept-Language"]);
        assert_eq!(dump(&map), want, "{sent:?}");
    }
}
