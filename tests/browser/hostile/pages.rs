//! The pages of the corpus: cases that do not disturb each other's vendors share one, each instance is
//! told apart by its id.

use std::{collections::BTreeMap, io::Write};

use super::{
    data::{Case, Expect, File, Time, Vendor},
    expand::Scope,
};
use crate::origin::{Origin, Raw};

/// The page of a case, for one vendor or for all that it is tried with.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The case.
    pub(super) case: Case,
    /// Whose addresses are on it.
    pub(super) vendors: Vec<String>,
    /// What has to be seen.
    pub(super) instances: Vec<Instance>,
}

/// A case with one vendor at one moment.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// The vendor.
    pub(super) vendor: String,
    /// The moment.
    pub(super) time: Time,
}

/// How long a script waits that runs later, in milliseconds.
const LATER_MS: u32 = 60;

/// All pages.
pub(super) fn units(cases: &[Case]) -> Vec<Unit> {
    let mut units = Vec::new();
    for case in cases {
        let shared: Vec<Vec<String>> =
            if case.is_alone() { case.vendors.iter().map(|one| vec![one.clone()]).collect() } else { vec![case.vendors.clone()] };
        for vendors in shared {
            let instances = vendors
                .iter()
                .flat_map(|vendor| case.times.iter().map(|time| Instance { vendor: vendor.clone(), time: *time }))
                .collect();
            units.push(Unit { case: case.clone(), vendors, instances });
        }
    }
    units
}

// === impl Unit ===

impl Unit {
    /// For messages, and in addresses.
    pub(super) fn name(&self) -> String {
        if self.vendors.len() == 1 { format!("{}.{}", self.case.name, self.vendors[0]) } else { self.case.name.clone() }
    }

    /// The folder it has in a round, with slashes around.
    pub(super) fn base(&self, round: &str) -> String {
        format!("/h/{round}/{}/", self.name())
    }

    /// The id of an instance in a round.
    pub(super) fn id(&self, instance: &Instance, round: &str) -> String {
        format!("{round}.{}.{}.{:?}", self.case.name, instance.vendor, instance.time).to_lowercase()
    }

    /// Whether it has an instance at this moment.
    pub(super) fn has(&self, time: Time) -> bool {
        self.instances.iter().any(|instance| instance.time == time)
    }

    /// Puts page and files to the site.
    pub(super) fn stock(&self, origin: &Origin, round: &str, vendors: &BTreeMap<String, Vendor>) {
        let base = self.base(round);
        let case = &self.case;
        let (mut head, mut body) = (String::new(), String::new());
        for vendor in &self.vendors {
            // Markup has one moment, whichever it is.
            let time = case.times[0];
            let id = self.id(&Instance { vendor: vendor.clone(), time }, round);
            let scope = Scope { vendor: &vendors[vendor], name: vendor, id: &id, base: &base };
            head += &scope.expand(&case.head);
            body += &scope.expand(&case.html);
            for file in &case.file {
                put_file(origin, &base, file, &scope);
            }
            if let Some(doc) = &case.doc {
                origin.put_raw(
                    &base,
                    raw(&scope.expand(doc), "text/html; charset=utf-8", &case.headers, case.status, &case.encoding, &scope),
                );
                return;
            }
        }
        if !case.js.is_empty() {
            for instance in &self.instances {
                let id = self.id(instance, round);
                let scope = Scope { vendor: &vendors[&instance.vendor], name: &instance.vendor, id: &id, base: &base };
                body += &script(&scope, &case.js, instance.time);
            }
        }
        let page = shop(&head, &body);
        let first = Scope {
            vendor: &vendors[&self.vendors[0]],
            name: &self.vendors[0],
            id: &self.id(&self.instances[0], round),
            base: &base,
        };
        origin.put_raw(&base, raw(&page, "text/html; charset=utf-8", &case.headers, case.status, &case.encoding, &first));
    }

    /// The cookies it is seen by have these paths.
    pub(super) fn leaves_cookies(&self) -> bool {
        self.case.expect == Expect::Cookie
    }
}

fn shop(head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>A small shop</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n{head}\n</head>\n<body>\n<h1>A small shop</h1>\n\
         <p><button id=\"go\" type=\"button\">More</button></p>\n{body}\n</body>\n</html>\n"
    )
}

/// The case's script at its moment. The addresses are put together from pieces: the text itself names nobody.
fn script(scope: &Scope<'_>, js: &str, time: Time) -> String {
    let own = scope
        .expand("const script = {script|split}, pixel = {pixel|split}, frame = {frame|split}, base = '{base}', id = '{id}';");
    let js = scope.expand(js);
    let run = match time {
        Time::Parse => "run()".to_owned(),
        Time::Load => "addEventListener('load', run)".to_owned(),
        Time::Later => format!("setTimeout(run, {LATER_MS})"),
        Time::Click => "document.getElementById('go').addEventListener('click', run)".to_owned(),
        Time::Leave => "addEventListener('pagehide', run)".to_owned(),
    };
    format!("<script>{{ {own}\nconst run = () => {{ {js} }};\n{run}; }}</script>\n")
}

fn put_file(origin: &Origin, base: &str, file: &File, scope: &Scope<'_>) {
    let path = scope.expand(&file.path);
    let path = if path.starts_with('/') { path } else { format!("{base}{path}") };
    origin.put_raw(&path, raw(&scope.expand(&file.body), &file.kind, &file.headers, file.status, &file.encoding, scope));
}

fn raw(text: &str, kind: &str, headers: &[(String, String)], status: Option<u16>, encoding: &[String], scope: &Scope<'_>) -> Raw {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(name, value)| (name.clone(), scope.expand(value))).collect();
    let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !kind.is_empty() && !named {
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
    }
    // A case says with an empty one that it has none.
    headers.retain(|(_, value)| !value.is_empty());
    let mut body = text.as_bytes().to_vec();
    let mut codings = Vec::new();
    for how in encoding {
        match how.as_str() {
            "utf-16le" => body = units16(text, u16::to_le_bytes),
            "utf-16be" => body = units16(text, u16::to_be_bytes),
            "utf-16le-bom" => body = units16(&format!("\u{FEFF}{text}"), u16::to_le_bytes),
            "utf-16be-bom" => body = units16(&format!("\u{FEFF}{text}"), u16::to_be_bytes),
            "latin-1" => body = text.chars().map(|c| u8::try_from(c as u32).expect("the case is Latin-1")).collect(),
            "gzip" => {
                body = deflated(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()), &body, |e| e.finish())
            }
            "deflate" => {
                body =
                    deflated(flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default()), &body, |e| e.finish())
            }
            "br" => {
                let mut out = Vec::new();
                brotli::BrotliCompress(&mut body.as_slice(), &mut out, &brotli::enc::BrotliEncoderParams::default())
                    .expect("memory takes it");
                body = out;
            }
            other => panic!("nobody knows the encoding `{other}`"),
        }
        if ["gzip", "deflate", "br"].contains(&how.as_str()) {
            codings.push(how.clone());
        }
    }
    if !codings.is_empty() {
        headers.push(("Content-Encoding".to_owned(), codings.join(", ")));
    }
    Raw { status: status.unwrap_or(200), headers, body }
}

fn units16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn deflated<E: Write>(mut encoder: E, body: &[u8], finish: impl Fn(E) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
    encoder.write_all(body).expect("memory takes it");
    finish(encoder).expect("memory takes it")
}
