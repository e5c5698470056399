//! The elements that can carry a tag, and which of their attributes hold addresses.
//!
//! Data only: which of them is a hit is decided in `classify`. `<a href>` and form actions are
//! navigation, the visitor's own act, and never tags.

/// An element the engine looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Script,
    Noscript,
    Img,
    /// `<image>`: SVG's, or in HTML another spelling of `img`. The namespace a parser reports can be
    /// wrong, so both readings hold everywhere.
    Image,
    FeImage,
    Input,
    Source,
    Video,
    Audio,
    Track,
    Embed,
    Object,
    Iframe,
    Frame,
    Link,
    /// `a` and `area`, for their `ping`.
    Anchor,
    Meta,
    Body,
    Base,
    /// Elements whose content is text, unless an older browser meets them inside a `select` or a
    /// `frameset`.
    RawText,
    Plaintext,
}

/// How the value of an attribute names addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One address.
    Address,
    /// `srcset`: addresses with descriptors.
    Candidates,
    /// `ping`: addresses between spaces.
    List,
    /// `content` of a refresh: a delay and an address.
    Refresh,
    /// `srcdoc`: a document.
    Document,
}

/// Elements watched up to their end tags.
pub(super) const CLOSING: &str = "script,noscript,iframe,select,frameset,style,textarea,title,xmp,noembed,noframes";

/// Elements of which the start tag says everything.
pub(super) const OPENING: &str = "img,image,feImage,input[src],source,video,audio,track,embed,object,frame,link,\
    a[ping],area[ping],meta,body,base,plaintext";

/// Foreign content in foreign content.
pub(super) const NESTED_FOREIGN: &str = "svg svg,svg math,math svg,math math";

/// Foreign content.
pub(super) const FOREIGN: &str = "svg,math";

/// One kind of foreign content in the other. Directly inside, `<svg>` in `<math>` is no SVG at all.
pub(super) const MIXED_FOREIGN: &str = "svg math,math svg";

/// One kind of foreign content in the other by way of HTML, as far as it is met.
pub(super) const EMBEDDED_FOREIGN: &str = "foreignObject math,annotation-xml svg,mtext svg";

impl Tag {
    /// The tag of that name, in any case of letters.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        const LONGEST: usize = 9;
        let mut lower = [0; LONGEST];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"script" => Self::Script,
            b"noscript" => Self::Noscript,
            b"img" => Self::Img,
            b"image" => Self::Image,
            b"feimage" => Self::FeImage,
            b"input" => Self::Input,
            b"source" => Self::Source,
            b"video" => Self::Video,
            b"audio" => Self::Audio,
            b"track" => Self::Track,
            b"embed" => Self::Embed,
            b"object" => Self::Object,
            b"iframe" => Self::Iframe,
            b"frame" => Self::Frame,
            b"link" => Self::Link,
            b"a" | b"area" => Self::Anchor,
            b"meta" => Self::Meta,
            b"body" => Self::Body,
            b"base" => Self::Base,
            b"style" | b"textarea" | b"title" | b"xmp" | b"noembed" | b"noframes" => Self::RawText,
            b"plaintext" => Self::Plaintext,
            _ => return None,
        })
    }

    /// The attributes that name addresses, lower case.
    pub(super) fn attributes(self) -> &'static [(&'static str, Role)] {
        use Role::{Address, Candidates, Document, List};
        match self {
            Self::Script => &[("src", Address), ("href", Address), ("xlink:href", Address)],
            Self::Img => &[("src", Address), ("srcset", Candidates)],
            Self::Image => &[("src", Address), ("srcset", Candidates), ("href", Address), ("xlink:href", Address)],
            Self::FeImage => &[("href", Address), ("xlink:href", Address)],
            Self::Source => &[("src", Address), ("srcset", Candidates)],
            Self::Video => &[("src", Address), ("poster", Address)],
            Self::Audio | Self::Track | Self::Embed | Self::Frame | Self::Input => &[("src", Address)],
            Self::Object => &[("data", Address)],
            Self::Iframe => &[("src", Address), ("srcdoc", Document)],
            Self::Link => &[("href", Address), ("imagesrcset", Candidates)],
            Self::Anchor => &[("ping", List)],
            Self::Body => &[("background", Address)],
            Self::Meta => &[("content", Role::Refresh)],
            Self::Noscript | Self::Base | Self::RawText | Self::Plaintext => &[],
        }
    }

    /// The role of an attribute of this element.
    pub(super) fn role(self, name: &[u8]) -> Option<Role> {
        self.attributes().iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name)).map(|&(_, role)| role)
    }

    /// Whether a tag that is cut from a `noscript` goes with its content. The content of the others
    /// is the page's own, or there is none.
    pub(super) fn content_goes_too(self) -> bool {
        matches!(self, Self::Script | Self::Iframe | Self::Object | Self::Video | Self::Audio)
    }

    /// Whether in HTML its content is text and in foreign content it is markup.
    pub(super) fn reads_differently(self) -> bool {
        matches!(self, Self::Script | Self::Noscript | Self::Iframe | Self::RawText | Self::Plaintext)
    }

    /// Whether losing an attribute is enough: the element itself is the page's own.
    pub(super) fn is_the_pages_own(self) -> bool {
        matches!(self, Self::Anchor | Self::Body)
    }
}
