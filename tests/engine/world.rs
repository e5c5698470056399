//! The policy of the tests, and ways to run the gate.

use std::sync::{Arc, LazyLock};

use consentry::{
    html::{Gate, GateError, Limits, Outcome, Page, PageReport, SheetGate, XmlGate},
    policy::{Policy, Sources},
};

/// Hosts of the vendors of the tests.
pub(crate) const HOSTS: [&str; 2] = ["acme.example", "stat.example"];

/// A file, a folder on one host, and parameters of a third vendor, whose rules look at more than the host.
pub(crate) const TRACE_FILE: &str = "trace-tag.js";
pub(crate) const TRACE_FOLDER: (&str, &str) = ("cdn.example", "px");
pub(crate) const TRACE_QUERY: [(&str, &str); 2] = [("v", "2"), ("tid", "T-")];

/// The same vendor's name under any country's ending.
pub(crate) const TRACE_STEM: &str = "trace";

/// What stands in their inline scripts.
pub(crate) const SIGNATURE: &str = "acme('init'";

/// Sizes of chunks beside the whole.
pub(crate) const CHUNKS: [usize; 3] = [1, 7, 1024];

const NONCE: &str = "0123456789abcdef";

/// What the visitor has granted.
#[derive(Clone, Copy)]
pub(crate) enum Grant {
    /// Nothing, and the vendors of the tests are known.
    Nothing,
    /// Nothing, and no vendor is known.
    NothingKnown,
}

/// Gates a page in one chunk.
pub(crate) fn gate(page: &[u8], grant: Grant) -> Result<(Vec<u8>, PageReport), GateError> {
    gate_in_chunks(page, grant, usize::MAX)
}

/// Gates a page in chunks.
pub(crate) fn gate_in_chunks(page: &[u8], grant: Grant, size: usize) -> Result<(Vec<u8>, PageReport), GateError> {
    let mut gate = Gate::new(page_for(grant), limits());
    let mut out = Vec::new();
    for chunk in page.chunks(size) {
        gate.write(chunk, &mut out)?;
    }
    gate.end(&mut out)?;
    Ok((out, gate.report().clone()))
}

/// Gates a document in XML, in chunks. What was sent before an error is told, too.
pub(crate) fn gate_xml(document: &[u8], grant: Grant, size: usize) -> (Vec<u8>, Result<PageReport, GateError>) {
    let mut gate = XmlGate::new(page_for(grant), limits());
    let mut out = Vec::new();
    let result = document.chunks(size).try_for_each(|chunk| gate.write(chunk, &mut out)).and_then(|()| gate.end(&mut out));
    (out, result.map(|()| gate.report().clone()))
}

/// The policy in which the vendors of the tests are known.
static NOTHING: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(policy(true)));

/// A page of a visitor with grants by number: one bit says analytics, one marketing, two that a vendor is granted or
/// not whatever its purpose. Markup is inserted everywhere where any can be.
pub(crate) fn visitor(number: u8, nonce: &str) -> Arc<Page> {
    let mut page = Page::clone(&page_for(Grant::Nothing));
    let bit = |bit: u8| number & 1 << bit != 0;
    for (at, id) in ["analytics", "marketing"].into_iter().enumerate() {
        if bit(at as u8) {
            page.grants.purposes.insert(page.policy.purpose(id).expect("a purpose of the policy"));
        }
    }
    let acme = page.policy.vendor("acme").expect("a vendor of the tests");
    if bit(2) {
        page.grants.allowed.insert(acme);
    }
    if bit(3) {
        page.grants.denied.insert(acme);
    }
    page.nonce = nonce.to_owned();
    page.head = format!("<script data-n={nonce}></script>");
    page.body = format!("<div data-n={nonce}>{number}</div>");
    page.frame = format!("<script data-f=\"{nonce}\"></script>");
    page.amend_csp = Some(Arc::new(|policy| Some(format!("{policy}; script-src 'self'"))));
    Arc::new(page)
}

/// Gates a page for a visitor, in chunks. With the outcome to be used again.
pub(crate) fn gate_for(page: &Arc<Page>, bytes: &[u8], size: usize) -> Result<(Vec<u8>, PageReport, Outcome), GateError> {
    let mut gate = Gate::new(Arc::clone(page), limits());
    gate.keep_outcome();
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        gate.write(chunk, &mut out)?;
    }
    gate.end(&mut out)?;
    let report = gate.report().clone();
    Ok((out, report, gate.take_outcome().expect("it was kept")))
}

fn page_for(grant: Grant) -> Arc<Page> {
    static NOTHING_KNOWN: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(policy(false)));
    let policy = match grant {
        Grant::Nothing => &NOTHING,
        Grant::NothingKnown => &NOTHING_KNOWN,
    };
    Arc::new(Page {
        policy: Arc::clone(policy),
        grants: policy.undecided(),
        base: url::Url::parse("https://shop.example/a/b").expect("a constant"),
        nonce: NONCE.to_owned(),
        head: String::new(),
        body: String::new(),
        amend_csp: None,
        observe: false,
        hold: true,
        frame: String::new(),
    })
}

/// Small, so that documents of a few hundred bytes reach the limits.
fn limits() -> Limits {
    Limits { hold_bytes_max: 256, ..Limits::default() }
}

/// Takes everything the gate inserts out of a page again.
pub(crate) fn unmark(page: &[u8]) -> Vec<u8> {
    // Bytes as characters of the same number, so that text functions do for any bytes.
    let text: String = page.iter().map(|&byte| char::from(byte)).collect();
    let marker = format!(" data-gate-{NONCE}=\"");
    let mut rest = text.as_str();
    let mut undone = String::new();
    while let Some(at) = rest.find(&marker) {
        undone.push_str(&rest[..at]);
        let value = &rest[at + marker.len()..];
        rest = &value[value.find('"').expect("a marker is quoted") + 1..];
        if ["<script", "<style", ":script", ":style"].iter().any(|tag| undone.to_ascii_lowercase().ends_with(tag)) {
            rest = rest.strip_prefix(" type=\"text/plain\"").unwrap_or(rest);
        }
    }
    undone.push_str(rest);
    let undone = undone.replace(&format!("data-gate-{NONCE}-"), "").replace("\n}])@#\n", "");
    let undone = without_schemes(&undone);
    undone.chars().map(|c| (u32::from(c) & 0xff) as u8).collect()
}

/// Takes the schemes before addresses in CSS out.
fn without_schemes(text: &str) -> String {
    let scheme = format!("gate-{NONCE}.");
    let mut pieces = text.split(&scheme);
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        kept.push_str(piece.split_once(':').expect("a scheme ends in a colon").1);
    }
    kept
}

/// Gates a style sheet in chunks.
pub(crate) fn gate_sheet(css: &str, grant: Grant, size: usize) -> (String, PageReport) {
    let mut gate = SheetGate::new(page_for(grant), Limits::default(), encoding_rs::UTF_8);
    let mut out = Vec::new();
    for chunk in css.as_bytes().chunks(size) {
        gate.write(chunk, &mut out).expect("a sheet is read to its end");
    }
    gate.end(&mut out).expect("a sheet is read to its end");
    (String::from_utf8(out).expect("only ASCII is inserted"), gate.report().clone())
}

fn policy(vendors: bool) -> Policy {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml"));
    sources.insert("site.toml", "vendors = \"all\"\n");
    if vendors {
        let acme = format!(
            "id = \"acme\"\nname = \"Acme\"\npurposes = [\"marketing\"]\n[[rule]]\nid = \"host\"\nhosts = [\"{}\"]\n\
             [[rule]]\nid = \"snippet\"\ninline = [\"{SIGNATURE}\"]\n",
            HOSTS[0]
        );
        sources.insert("vendors/acme.toml", acme);
        let stat = format!(
            "id = \"stat\"\nname = \"Stat\"\npurposes = [\"analytics\"]\n[[rule]]\nid = \"host\"\nhosts = [\"{}\"]\n",
            HOSTS[1]
        );
        sources.insert("vendors/stat.toml", stat);
        let (host, folder) = TRACE_FOLDER;
        let [(version, two), (id, prefix)] = TRACE_QUERY;
        let trace = format!(
            "id = \"trace\"\nname = \"Trace\"\npurposes = [\"analytics\"]\n\
             [[rule]]\nid = \"file\"\npaths = [\"*/{TRACE_FILE}\"]\n\
             [[rule]]\nid = \"folder\"\nhosts = [\"{host}\"]\npaths = [\"/{folder}/*\"]\n\
             [[rule]]\nid = \"hit\"\nquery_all = [\"{version}={two}\", \"{id}={prefix}*\"]\n\
             [[rule]]\nid = \"any-country\"\nhosts = [\"{TRACE_STEM}.*\"]\n"
        );
        sources.insert("vendors/trace.toml", trace);
    }
    match Policy::compile(&sources) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{}", faults.iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n")),
    }
}
