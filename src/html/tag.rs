//! The elements that can carry a tag, and which of their attributes hold addresses: the attribute index
//! of the HTML standard, SVG 2 with SMIL, and what older browsers knew.
//!
//! Data only: which of them is a hit is decided in `classify`. `<a href>` and form actions are
//! navigation, the visitor's own act, and never tags.

/// An element the engine looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Script,
    Style,
    Noscript,
    Img,
    /// `<image>`: SVG's, or in HTML another spelling of `img`. The namespace a parser reports can be
    /// wrong, so both readings hold everywhere.
    Image,
    Input,
    Source,
    Video,
    /// `audio`, `track`, `bgsound`, `model`.
    Media,
    Embed,
    Object,
    Applet,
    Param,
    Iframe,
    /// `frame`, `portal`, `fencedframe`.
    Frame,
    Link,
    /// `a` and `area`, for their `ping`.
    Anchor,
    Meta,
    Html,
    /// `body`, and the parts of a table: their `background`.
    Background,
    Base,
    /// Elements of SVG that refer to others, which may be in other files.
    Reference,
    /// SVG's `animate`, `set` and the like: they write other elements' attributes.
    Animation,
    /// `amp-…`.
    Amp,
    /// Elements whose content is text, unless an older browser meets them inside a `select` or a
    /// `frameset`.
    RawText,
    Plaintext,
    /// Any other: it may have a `style`.
    Other,
}

/// How the value of an attribute names addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One address.
    Address,
    /// One address of a document, or the document in a `data:` address, or code in a `javascript:` one.
    Frame,
    /// One address of a script, or the script in a `data:` address.
    Code,
    /// One address of what a link's relation says, or the style sheet in a `data:` address.
    Linked,
    /// `srcset`: addresses with descriptors.
    Candidates,
    /// `ping`: addresses between spaces.
    List,
    /// Addresses between spaces or commas.
    Archives,
    /// `content` of a `meta`: what a header of that name would say.
    Header,
    /// `srcdoc`: a document.
    Document,
    /// `style`, and attributes of SVG that are properties: CSS.
    Styles,
    /// Values that an animation writes, between semicolons: addresses or CSS.
    Animated,
    /// Vendors by the name that AMP gives them.
    AmpType,
}

/// Every element but the commonest of those that are nothing by their name. The parser asks one selector after the
/// other about each tag: one that most tags fail at once costs a fraction of a list of those that are wanted. Which of
/// the others are is for [`is_watched`] to say.
pub(super) const UNCOMMON: &str = ":not(div):not(a):not(span):not(li):not(p):not(td):not(b):not(i):not(h3):not(h2):not(path)\
    :not(button):not(br):not(ul):not(tr):not(strong):not(em):not(label):not(option):not(section):not(article):not(picture)\
    :not(figure):not(h4):not(small):not(sup):not(time)";

/// Attributes that matter on any element; SVG has presentation attributes on every one.
pub(super) const ATTRIBUTES: &str = "[background],[style*=\"(\"],[style*=\"&\"],[ping],[attributionsrc],svg *";

/// Whether an element of that name, lower case, matters whatever its attributes.
pub(super) fn is_watched(name: &str) -> bool {
    // These up to their end tags.
    let closing = matches!(
        name,
        "script"
            | "noscript"
            | "iframe"
            | "select"
            | "frameset"
            | "style"
            | "textarea"
            | "title"
            | "xmp"
            | "noembed"
            | "noframes"
    );
    closing
        || matches!(
            name,
            "html"
                | "img"
                | "image"
                | "input"
                | "source"
                | "video"
                | "audio"
                | "track"
                | "embed"
                | "object"
                | "frame"
                | "link"
                | "meta"
                | "body"
                | "base"
                | "plaintext"
                | "bgsound"
                | "model"
                | "portal"
                | "fencedframe"
                | "applet"
                | "param"
                | "svg"
                | "math"
                | "template"
        )
}

/// Elements of AMP, in pages that say they are AMP.
pub(super) const AMP: &str = "html[amp] *,html[\u{26a1}] *,html[amp4ads] *,html[\u{26a1}4ads] *";

/// Properties of SVG that take a `url()` and are attributes too.
const PRESENTATION: [&str; 12] = [
    "fill",
    "stroke",
    "filter",
    "mask",
    "clip-path",
    "cursor",
    "marker",
    "marker-start",
    "marker-mid",
    "marker-end",
    "mask-image",
    "color-profile",
];

impl Tag {
    /// The tag of that name, in any case of letters.
    pub(super) fn of(name: &[u8]) -> Self {
        const LONGEST: usize = 16;
        if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"amp-")) {
            return Self::Amp;
        }
        let mut lower = [0; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else { return Self::Other };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"script" => Self::Script,
            b"style" => Self::Style,
            b"noscript" => Self::Noscript,
            b"img" => Self::Img,
            b"image" => Self::Image,
            b"input" => Self::Input,
            b"source" => Self::Source,
            b"video" => Self::Video,
            b"audio" | b"track" | b"bgsound" | b"model" => Self::Media,
            b"embed" => Self::Embed,
            b"object" => Self::Object,
            b"applet" => Self::Applet,
            b"param" => Self::Param,
            b"iframe" => Self::Iframe,
            b"frame" | b"portal" | b"fencedframe" => Self::Frame,
            b"link" => Self::Link,
            b"a" | b"area" => Self::Anchor,
            b"meta" => Self::Meta,
            b"html" => Self::Html,
            b"body" | b"table" | b"thead" | b"tbody" | b"tfoot" | b"tr" | b"td" | b"th" => Self::Background,
            b"base" => Self::Base,
            b"use" | b"feimage" | b"mpath" | b"textpath" | b"tref" | b"altglyph" | b"glyphref" | b"pattern" | b"filter"
            | b"lineargradient" | b"radialgradient" | b"meshgradient" | b"hatch" | b"cursor" | b"color-profile"
            | b"font-face-uri" => Self::Reference,
            b"animate" | b"set" | b"animatetransform" | b"animatemotion" | b"animatecolor" => Self::Animation,
            b"textarea" | b"title" | b"xmp" | b"noembed" | b"noframes" => Self::RawText,
            b"plaintext" => Self::Plaintext,
            _ => Self::Other,
        }
    }

    /// The attributes of this element alone that name addresses, lower case.
    pub(super) fn attributes(self) -> &'static [(&'static str, Role)] {
        use Role::{Address, AmpType, Animated, Archives, Candidates, Code, Document, Frame, Header, Linked, List};
        match self {
            Self::Script => &[("src", Code), ("href", Code), ("xlink:href", Code), ("attributionsrc", List)],
            Self::Img => {
                &[("src", Address), ("srcset", Candidates), ("attributionsrc", List), ("lowsrc", Address), ("dynsrc", Address)]
            }
            Self::Image => &[("src", Address), ("srcset", Candidates), ("href", Address), ("xlink:href", Address)],
            Self::Reference => &[("href", Frame), ("xlink:href", Frame)],
            Self::Animation => &[
                ("href", Address),
                ("xlink:href", Address),
                ("values", Animated),
                ("from", Animated),
                ("to", Animated),
                ("by", Animated),
            ],
            Self::Source => &[("src", Address), ("srcset", Candidates)],
            Self::Video => &[("src", Address), ("poster", Address)],
            Self::Media | Self::Input => &[("src", Address)],
            Self::Embed => &[("src", Frame), ("code", Address)],
            Self::Frame => &[("src", Frame)],
            Self::Object => &[("data", Frame), ("codebase", Address), ("classid", Address), ("archive", Archives)],
            Self::Applet => &[("code", Address), ("object", Address), ("codebase", Address), ("archive", Archives)],
            Self::Param => &[("value", Frame)],
            Self::Iframe => &[("src", Frame), ("srcdoc", Document)],
            Self::Link => &[("href", Linked), ("imagesrcset", Candidates)],
            Self::Anchor => &[("ping", List), ("attributionsrc", List)],
            Self::Background => &[("background", Address)],
            Self::Html => &[("manifest", Address)],
            Self::Meta => &[("content", Header)],
            Self::Amp => &[
                ("src", Frame),
                ("srcset", Candidates),
                ("poster", Address),
                ("config", Address),
                ("href", Address),
                ("type", AmpType),
            ],
            Self::Style | Self::Noscript | Self::Base | Self::RawText | Self::Plaintext | Self::Other => &[],
        }
    }

    /// The role of an attribute of this element. CSS without a function names no address.
    pub(super) fn role(self, name: &[u8], value: &[u8]) -> Option<Role> {
        let own = self.attributes().iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        if let Some(&(_, role)) = own {
            return Some(role);
        }
        let styles = || {
            let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
            is("style") || PRESENTATION.iter().any(|known| is(known))
        };
        (memchr::memchr2(b'(', b'&', value).is_some() && styles()).then_some(Role::Styles)
    }

    /// Whether a tag that is cut from a `noscript` goes with its content. The content of the others
    /// is the page's own, or there is none.
    pub(super) fn content_goes_too(self) -> bool {
        matches!(self, Self::Script | Self::Iframe | Self::Object | Self::Applet | Self::Video | Self::Media | Self::Amp)
    }

    /// Whether in HTML its content is text and in foreign content it is markup.
    pub(super) fn reads_differently(self) -> bool {
        matches!(self, Self::Script | Self::Style | Self::Noscript | Self::Iframe | Self::RawText | Self::Plaintext)
    }

    /// Whether losing an attribute is enough: the element itself is the page's own.
    pub(super) fn is_the_pages_own(self) -> bool {
        matches!(self, Self::Anchor | Self::Background | Self::Html | Self::Other | Self::Style | Self::Reference)
    }
}
