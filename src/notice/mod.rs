//! What a visitor sees: the banner, the link that follows it, the preference page, error pages.
//!
//! Policy, templates and strings go in, markup comes out. The set of [`Notice`]s, one a language and
//! layer, is known when the policy is loaded: each is rendered once, checked for fairness (`lint`)
//! and addressed by the hash of what it shows; a request only fills in token, return path and
//! addresses. No I/O, no clock, no headers; what a decision does is not known here.

mod access;
mod assets;
mod fill;
mod language;
mod lint;
mod offer;
mod receipt;
mod render;
mod scan;
mod shown;
mod snapshot;
mod strings;
mod templates;

pub use access::{access_languages, access_page};
pub use fill::Fill;
pub use receipt::{ReceiptOf, ReceiptWords, Said};
pub use shown::{Decided, Message, Shown, Ticked};
pub use snapshot::{Layer, Notice};
pub use templates::TemplateSources;

use crate::{asset::Asset, config::Fault, consent::Problem, policy::Policy, vocab::Hash, wire::push_escaped};
use assets::Assets;
use fill::Pieces;
use offer::Offer;
use render::{Face, Renderer};
use strings::Strings;

/// Every notice of one site under one policy: built once, immutable, swapped whole.
pub struct Notices {
    renderer: Renderer,
    assets: Assets,
    languages: Vec<Language>,
    default: usize,
    notices: Vec<Notice>,
}

/// One language that notices are offered in, with its markup ready to be filled.
pub struct Language {
    face: Face,
    banner: Pieces,
    choices: Pieces,
    /// The preference page of somebody who never decided.
    preferences: Pieces,
}

impl Language {
    /// The tag in lower case, such as `de`: what records call it.
    pub fn tag(&self) -> &str {
        &self.face.strings.tag
    }

    /// The language's own name for itself.
    pub fn name(&self) -> &str {
        self.face.strings.text("language", "name")
    }

    /// `ltr` or `rtl`.
    pub fn dir(&self) -> &str {
        self.face.strings.text("language", "dir")
    }

    /// A record in words, for a receipt that is not a page. Plain text.
    pub fn receipt(&self, of: &ReceiptOf<'_>) -> ReceiptWords {
        receipt::words(&self.face, of)
    }

    /// What is wrong with a field, in words, for an answer that is not a page. Plain text.
    pub fn problem(&self, field: &str, problem: Problem) -> String {
        self.face.strings.filled("problems", problem.key(), &[("field", field)])
    }
}

impl Notices {
    /// Reads templates and strings, renders every notice and checks it. Returns them with warnings,
    /// or every fault of every file. `site_name` is what the site is called, such as its host.
    pub fn build(policy: &Policy, sources: &TemplateSources, site_name: &str) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        sources.check(&mut faults);
        faults.extend(lint::style(sources.fixed(templates::STYLE)));
        let assets = Assets::new(sources);
        let renderer = Renderer::new(sources, &mut faults);
        let strings = Strings::read_all(sources, policy, &mut faults, &mut warnings);
        tidy(&mut faults)?;

        let (mut languages, mut notices) = (Vec::new(), Vec::new());
        for strings in strings {
            let offer = Offer::new(policy, &strings, site_name);
            match Language::new(Face::new(strings, offer, &assets), &renderer) {
                Ok(language) => {
                    notices.extend(language.notices(&assets));
                    languages.push(language);
                }
                Err(mut found) => faults.append(&mut found),
            }
        }
        tidy(&mut faults)?;
        let default = languages.iter().position(|language| language.tag() == strings::DEFAULT);
        let default = default.expect("without English there are faults");
        Ok((Self { renderer, assets, languages, default, notices }, warnings))
    }

    /// The languages on offer, sorted by tag.
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The language that suits an `Accept-Language` header best; English where none does.
    pub fn negotiate(&self, accept_language: Option<&str>) -> &Language {
        let offered: Vec<&str> = self.languages.iter().map(Language::tag).collect();
        let found = accept_language.and_then(|header| language::lookup(header, &offered));
        &self.languages[found.unwrap_or(self.default)]
    }

    /// The banner: ASCII markup to stand right behind `<body>`.
    pub fn banner(&self, language: &Language, fill: &Fill<'_>) -> String {
        language.banner.fill(fill)
    }

    /// The link to the preference page, for pages of visitors who decided: ASCII markup for the same place.
    pub fn choices(&self, language: &Language, fill: &Fill<'_>) -> String {
        language.choices.fill(fill)
    }

    /// The style: ASCII markup to stand in the head.
    pub fn head(&self, fill: &Fill<'_>) -> String {
        let mut out = String::from("<link data-consentry rel=\"stylesheet\" href=\"");
        push_escaped(&format!("{}/assets/{}", fill.prefix_url, self.assets.style.path), &mut out);
        if let Some(nonce) = fill.csp_nonce {
            out.push_str("\" nonce=\"");
            push_escaped(nonce, &mut out);
        }
        out.push_str("\">");
        out
    }

    /// The preference page, UTF-8, a whole document.
    pub fn preferences(&self, language: &Language, fill: &Fill<'_>, shown: &Shown) -> String {
        match self.renderer.preferences(&language.face, shown) {
            Ok(marked) => Pieces::cut(&marked).fill(fill),
            // An operator's template that fails on some state only: the page with nothing ticked
            // still lets the visitor decide.
            Err(fault) => {
                tracing::error!(%fault, "the preference page could not be rendered for this state");
                language.preferences.fill(fill)
            }
        }
    }

    /// The receipt page, UTF-8, a whole document without an address of its own: it is kept and printed.
    /// None where an operator's template fails on this record.
    pub fn receipt(&self, language: &Language, fill: &Fill<'_>, of: &ReceiptOf<'_>) -> Option<String> {
        let rendered = self.renderer.receipt(&language.face, of);
        let told = rendered.inspect_err(|fault| tracing::error!(%fault, "the receipt page could not be rendered"));
        told.ok().map(|marked| Pieces::cut(&marked).fill(fill))
    }

    /// A page for an answer that is no page of the site, UTF-8, a whole document. `detail` is a line
    /// of plain text below the explanation, or empty.
    pub fn error_page(&self, language: &Language, status: u16, detail: &str) -> String {
        error_or_bare(self.renderer.error(&language.face.strings, status, detail), status)
    }

    /// The same for a program that declares itself one, and for a person whose browser says so.
    pub fn bot_page(&self, language: &Language, status: u16) -> String {
        error_or_bare(self.renderer.error_of("error_bot", &language.face.strings, status, ""), status)
    }

    /// Every notice: what the consent log stores before a decision can refer to it.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter()
    }

    /// The notice of that hash.
    pub fn find(&self, hash: &Hash) -> Option<&Notice> {
        self.notices.iter().find(|notice| notice.hash == *hash)
    }

    /// The notice that [`Self::banner`] or [`Self::preferences`] shows in a language: what its token names.
    pub fn notice(&self, language: &Language, layer: Layer) -> &Notice {
        let of = |notice: &&Notice| notice.layer == layer && notice.lang == language.tag();
        self.notices.iter().find(of).expect("every language has a notice of every layer")
    }

    /// What browsers load from the gate for a notice.
    pub fn style(&self) -> &Asset {
        &self.assets.style
    }

    /// The Content-Security-Policy of the gate's own pages: their style, their form, nothing else.
    pub fn page_csp(&self) -> String {
        let style = self.style_source();
        format!("default-src 'none'; style-src 'self' {style}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
    }

    /// The Content-Security-Policy of the receipt page. The sandbox gives it an origin of its own: a
    /// page of the site that opens it in a window could otherwise read the visitor's pseudonym there.
    pub fn receipt_csp(&self) -> String {
        let style = self.style_source();
        format!(
            "default-src 'none'; style-src {style}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
             sandbox allow-downloads allow-modals allow-top-navigation"
        )
    }

    fn style_source(&self) -> String {
        use base64::Engine as _;
        format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(self.assets.style.hash.0))
    }
}

// === impl Language ===

impl Language {
    /// Renders and checks every layer.
    fn new(face: Face, renderer: &Renderer) -> Result<Self, Vec<Fault>> {
        let rendered = || {
            let decided = Decided { at: jiff::Timestamp::UNIX_EPOCH, expires: jiff::Timestamp::UNIX_EPOCH, receipt: true };
            let full = Shown {
                decided: Some(decided),
                ticked: face.everything(),
                problems: vec![("purpose.x".to_owned(), Problem::FieldUnknown)],
                message: None,
            };
            let message = Shown { message: Some(Message::Saved), ..Shown::default() };
            renderer.preferences(&face, &message)?;
            renderer.receipt(&face, &receipt::sample(&face))?;
            renderer.error(&face.strings, 404, "")?;
            renderer.error(&face.strings, 418, "detail")?;
            Ok([
                renderer.banner(&face)?,
                renderer.choices(&face)?,
                renderer.preferences(&face, &Shown::default())?,
                renderer.preferences(&face, &full)?,
            ])
        };
        let [banner, choices, preferences, decided] = rendered().map_err(|fault: Fault| vec![fault])?;
        let faults: Vec<Fault> = [
            lint::banner(&banner, &face),
            lint::choices(&choices, &face),
            lint::preferences(&preferences, &face),
            lint::decided(&decided, &face),
        ]
        .concat();
        if !faults.is_empty() {
            return Err(faults);
        }
        let [banner, choices] = [banner, choices].map(|marked| Pieces::cut(&marked).into_ascii());
        Ok(Self { face, banner, choices, preferences: Pieces::cut(&preferences) })
    }

    fn notices(&self, assets: &Assets) -> [Notice; 2] {
        let notice = |layer, pieces: &Pieces| Notice::new(layer, &self.face.strings, &self.face.offer, assets, &pieces.blank());
        [notice(Layer::Banner, &self.banner), notice(Layer::Preferences, &self.preferences)]
    }
}

fn error_or_bare(page: Result<String, Fault>, status: u16) -> String {
    page.unwrap_or_else(|fault| {
        tracing::error!(%fault, "the error page could not be rendered");
        format!("<!doctype html><meta charset=\"utf-8\"><title>{status}</title><p>{status}</p>")
    })
}

/// Sorted, each once; an error if there are any.
fn tidy(faults: &mut Vec<Fault>) -> Result<(), Vec<Fault>> {
    faults.sort();
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(std::mem::take(faults)) }
}

#[cfg(test)]
mod tests;
