//! The tree-construction inputs of html5lib, as they are and with a vendor's address put into every
//! tag that loads something: whatever an HTML parser makes of them, nothing may stay live.
//!
//! The inputs come from an npm package that `tests/run` fetches; none of them is kept here.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    check_chunks, check_closure, check_identity, check_inverse,
    world::{Grant, gate},
};

/// Attributes that make an element of that name load from the vendor of the tests.
const LOADING: &[(&str, &str)] = &[
    ("a", "ping=//acme.example/ping"),
    ("audio", "src=//acme.example/audio"),
    ("body", "background=//acme.example/body"),
    ("embed", "src=//acme.example/embed"),
    ("feimage", "href=//acme.example/feimage"),
    ("frame", "src=//acme.example/frame"),
    ("iframe", "src=//acme.example/iframe"),
    ("image", "src=//acme.example/image href=//acme.example/image"),
    ("img", "src=//acme.example/img srcset=//acme.example/img2"),
    ("input", "type=image src=//acme.example/input"),
    ("link", "rel=stylesheet href=//acme.example/link"),
    ("object", "data=//acme.example/object"),
    ("script", "src=//acme.example/script"),
    ("source", "src=//acme.example/source"),
    ("track", "src=//acme.example/track"),
    ("video", "poster=//acme.example/video"),
];

#[test]
fn no_tag_of_the_html5lib_inputs_stays_live() {
    let inputs = inputs();
    let (mut armed_count, mut refused) = (0, 0);
    for (name, input) in &inputs {
        check_identity(name, input);
        refused += usize::from(gate(input, Grant::Nothing).is_err());
        let armed = armed(input);
        armed_count += usize::from(armed != *input);
        check_closure(name, &armed, true);
        check_chunks(name, &armed);
        check_inverse(name, &armed);
    }
    println!("{} inputs of html5lib, {armed_count} of them with tags that load, {refused} refused as a whole", inputs.len());
    assert!(inputs.len() > 1_400 && armed_count > 350, "the inputs are all there: {} and {armed_count}", inputs.len());
    // Documents written to be at odds with parsers: hardly any of them is past reading.
    assert!(refused < 5, "{refused} inputs are refused");
}

/// Every `#data` section of every file. Inputs for fragments are inputs as well.
fn inputs() -> Vec<(String, Vec<u8>)> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("html5lib/package/data/tree-construction");
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|fault| panic!("{} cannot be read ({fault}): run tests/run, which fetches it", folder.display()));
    let mut inputs = Vec::new();
    for path in files.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "dat")) {
        let text = fs::read(&path).expect("it was listed");
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (number, section) in split(&text, b"#data\n").into_iter().skip(1).enumerate() {
            let end = find(section, b"\n#errors").unwrap_or(section.len());
            inputs.push((format!("{file} #{}", number + 1), section[..end].to_vec()));
        }
    }
    inputs.sort();
    inputs
}

/// The input with the attributes written after each loading tag's name.
fn armed(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len() * 2);
    let mut rest = input;
    while let Some(at) = rest.iter().position(|&byte| byte == b'<') {
        let (before, tag) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        let length = tag.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(tag.len());
        let name = &tag[..length];
        out.extend_from_slice(name);
        let ends = tag.get(length).is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        if let Some((_, attributes)) = LOADING.iter().find(|(known, _)| ends && name.eq_ignore_ascii_case(known.as_bytes())) {
            out.push(b' ');
            out.extend_from_slice(attributes.as_bytes());
            // An unquoted value would take the slash of `<img/>`.
            out.push(b' ');
        }
        rest = &tag[length..];
    }
    out.extend_from_slice(rest);
    out
}

fn split<'t>(text: &'t [u8], mark: &[u8]) -> Vec<&'t [u8]> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, mark) {
        parts.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    parts.push(rest);
    parts
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}
