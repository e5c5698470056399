//! What is an address and what only looks like one.

use super::*;

fn scan(text: &[u8], encoding: &'static Encoding, size: usize) -> Vec<Address> {
    let (mut scanner, mut found) = (Scanner::new(encoding), Vec::new());
    for (n, piece) in text.chunks(size).enumerate() {
        scanner.read(piece, n * size, &mut found);
    }
    scanner.end(&mut found);
    found
}

fn addresses(css: &str) -> Vec<String> {
    let all: Vec<_> = [1, 2, 7, usize::MAX].map(|size| scan(css.as_bytes(), encoding_rs::UTF_8, size)).into();
    assert!(all.iter().all(|found| *found == all[0]), "{css}: {all:?}");
    for address in &all[0] {
        let raw = &css[address.at..];
        let first = address.text.as_deref().and_then(|text| text.chars().next());
        assert!(raw.starts_with('\\') || raw.chars().next() == first, "{css}: {address:?}");
    }
    all[0].iter().map(|address| address.text.clone().unwrap_or_default()).collect()
}

#[test]
fn addresses_are_found_where_browsers_find_them() {
    for (css, want) in [
        ("a{b:url(x)}", vec!["x"]),
        ("a{b:URL( \n'x y' )}", vec!["x y"]),
        ("a{b:url(  x\t)}", vec!["x"]),
        (r"\75rl(x)", vec!["x"]),
        (r"\000075 \72\6c(x)", vec!["x"]),
        ("\\75\r\nrl(x)", vec!["x"]),
        (r"u\r\l(x)", vec!["x"]),
        ("url(\"x\\\ny\")", vec!["xy"]),
        ("url(\"x\\\r\ny\")", vec!["xy"]),
        (r#"url("\68 ttp\3a//a")"#, vec!["http://a"]),
        (r"url(\68ttp:\2f /a)", vec!["\u{68}ttp://a"]),
        ("@import 'x' screen;", vec!["x"]),
        ("@IMPORT/**/url(x);", vec!["x"]),
        (r"@\69mport 'x'", vec!["x"]),
        ("image-set('x' 1x, url(y) 2x, \"z\" type('t'))", vec!["x", "y", "z", "t"]),
        ("-webkit-image-set( 'x' 1x) 'y'", vec!["x"]),
        ("src('x') src(var(--y)) src( /**/ \"z\")", vec!["x", "z"]),
        ("--a: 'x'; b: 'y'", vec!["x"]),
        // Bad ones, and where reading goes on after them.
        ("url(a b) url(c)", vec!["c"]),
        ("url(a'b) 'url(c)' url(d)", vec!["d"]),
        (r"url(a( \) url(b) url(c)", vec!["c"]),
        ("url('a\nb url(c)", vec!["c"]),
        ("url(a\\\nb) url(c)", vec!["c"]),
        ("url(/**/'x') url(y)", vec!["y"]),
        // At the end.
        ("url(x", vec!["x"]),
        ("url('x", vec!["x"]),
        ("@import 'x", vec!["x"]),
        // What only looks like one.
        ("/* url(x) */ 'url(y)' \"@import 'z'\"", vec![]),
        ("1url(x) #url(y) @url(z) -url(v) --url(w)", vec![]),
        ("1e3url(x) -1url(y) .5url(z) 1\\75rl(v)", vec![]),
        ("a[href='x'] b{content:'y'} @namespace 'z' @import x 'y'", vec![]),
        ("1.url(x) +url(y) 1e+url(z)", vec!["x", "y", "z"]),
        ("<!--url(x) -->url(y) <!-url(z)", vec!["x", "y"]),
        ("/ url(x) /**/url(y)", vec!["x", "y"]),
        ("url() url('') url( )", vec![]),
        ("url(data:x) url(DATA:y) @import url(data:z)", vec!["data:z"]),
    ] {
        assert_eq!(addresses(css), want, "{css}");
    }
}

#[test]
fn what_is_too_long_is_not_read_and_not_held() {
    let long = format!("url({}", "x".repeat(ADDRESS_BYTES_MAX + 1));
    let (mut scanner, mut found) = (Scanner::new(encoding_rs::UTF_8), Vec::new());
    scanner.read(&long.as_bytes()[..100], 0, &mut found);
    assert_eq!((scanner.hold(), found.len()), (Some(4), 0));
    scanner.read(&long.as_bytes()[100..], 100, &mut found);
    assert_eq!((scanner.hold(), found.len()), (None, 1));
    assert_eq!((found[0].at, &found[0].text), (4, &None));
}

#[test]
fn second_bytes_of_characters_are_no_backslashes() {
    // The second byte of this character is a backslash.
    let css = SHIFT_JIS.encode("a{content:\"表\"} b{c:url(x)} d{e:'\\'表'}").0.into_owned();
    let found = scan(&css, SHIFT_JIS, 1);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text.as_deref(), Some("x"));
    let found = scan(&SHIFT_JIS.encode("url('//ａｃｍｅ')").0, SHIFT_JIS, 3);
    assert_eq!(found[0].text.as_deref(), Some("//ａｃｍｅ"));
}
