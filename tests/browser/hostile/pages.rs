//! The pages of the corpus: cases that do not disturb each other's vendors share one, each instance is
//! told apart by its id.

use std::{collections::BTreeMap, io::Write};

use super::{
    data::{Case, Expect, File, NoJs, Time, Vendor},
    expand::Scope,
};
use crate::{
    cdp::Script,
    origin::{Origin, Raw},
};

/// A page: of one case with one vendor, or of several cases.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Unique; for messages, and in addresses.
    pub(super) name: String,
    /// What is on it.
    pub(super) cases: Vec<Case>,
    /// What has to be seen.
    pub(super) instances: Vec<Instance>,
}

/// A case with one vendor at one moment.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// Which of the page's cases.
    pub(super) case: usize,
    /// The vendor.
    pub(super) vendor: String,
    /// The moment.
    pub(super) time: Time,
}

/// So many cases share a page.
const CASES_A_PAGE: usize = 6;
/// How long a script waits that runs later, in milliseconds.
const LATER_MS: u32 = 60;

/// All pages.
pub(super) fn units(cases: &[Case]) -> Vec<Unit> {
    let (alone, shared): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.is_alone());
    let mut units: Vec<Unit> = alone
        .into_iter()
        .flat_map(|case| case.vendors.iter().map(move |vendor| (case, vendor)))
        .map(|(case, vendor)| {
            let case = Case { vendors: vec![vendor.clone()], ..case.clone() };
            Unit::of(format!("{}.{vendor}", case.name), vec![case])
        })
        .collect();
    let mut groups: BTreeMap<(String, NoJs, bool), Vec<Case>> = BTreeMap::new();
    for case in shared {
        groups.entry((case.theme.clone(), case.nojs, case.is_benign())).or_default().push(case.clone());
    }
    for cases in groups.into_values() {
        for (number, cases) in cases.chunks(CASES_A_PAGE).enumerate() {
            let name = format!("{}.{:?}.{number}", cases[0].theme, cases[0].nojs).to_lowercase();
            units.push(Unit::of(name, cases.to_vec()));
        }
    }
    units
}

// === impl Unit ===

impl Unit {
    fn of(name: String, cases: Vec<Case>) -> Self {
        let instances = cases
            .iter()
            .enumerate()
            .flat_map(|(at, case)| {
                let times = move |vendor: &String| {
                    let vendor = vendor.clone();
                    case.times.iter().map(move |time| Instance { case: at, vendor: vendor.clone(), time: *time })
                };
                case.vendors.iter().flat_map(times)
            })
            .collect();
        Self { name, cases, instances }
    }

    /// The folder it has in a round, with slashes around.
    pub(super) fn base(&self, round: &str) -> String {
        format!("/h/{round}/{}/", self.name)
    }

    /// An instance's case.
    pub(super) fn case(&self, instance: &Instance) -> &Case {
        &self.cases[instance.case]
    }

    /// The id of an instance in a round.
    pub(super) fn id(&self, instance: &Instance, round: &str) -> String {
        format!("{round}.{}.{}.{:?}", self.case(instance).name, instance.vendor, instance.time).to_lowercase()
    }

    /// Whether it has an instance at this moment.
    pub(super) fn has(&self, time: Time) -> bool {
        self.instances.iter().any(|instance| instance.time == time)
    }

    /// Whether browsers with scripts, or those without, are to see it.
    pub(super) fn is_for(&self, script: Script) -> bool {
        let nojs = self.cases[0].nojs;
        let greeted = self.cases[0].expect == Expect::Greeted;
        !greeted && if script == Script::On { nojs != NoJs::Only } else { nojs != NoJs::No }
    }

    /// Puts page and files to the site.
    pub(super) fn stock(&self, origin: &Origin, round: &str, vendors: &BTreeMap<String, Vendor>) {
        let base = self.base(round);
        let (mut head, mut body) = (String::new(), String::new());
        let mut whole = None;
        for instance in &self.instances {
            let case = self.case(instance);
            let id = self.id(instance, round);
            let scope = Scope { vendor: &vendors[&instance.vendor], name: &instance.vendor, id: &id, base: &base };
            // Markup has one moment, whichever it is.
            if instance.time == case.times[0] {
                head += &scope.expand(&case.head);
                body += &scope.expand(&case.html);
                for file in &case.file {
                    put_file(origin, &base, file, &scope);
                }
                whole = whole.or(case.doc.as_ref().map(|doc| scope.expand(doc)));
            }
            if !case.js.is_empty() {
                body += &script(&scope, &case.js, instance.time);
            }
        }
        let page = whole.unwrap_or_else(|| shop(&head, &body));
        let (case, first) = (&self.cases[0], &self.instances[0]);
        let id = self.id(first, round);
        let scope = Scope { vendor: &vendors[&first.vendor], name: &first.vendor, id: &id, base: &base };
        origin.put_raw(&base, raw(&page, "text/html; charset=utf-8", &case.headers, case.status, &case.encoding, &scope));
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
