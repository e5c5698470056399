//! The names that decide about namespaces, from the HTML standard: 13.2.4.2 (special elements, scopes) and 13.2.6.5
//! (foreign content).

use super::reader::Tag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    Html,
    Svg,
    Math,
}

/// Whether a start tag in foreign content ends it.
pub(super) fn breaks_out(tag: &Tag) -> bool {
    match &*tag.name {
        b"font" => tag.attributes.iter().any(|(name, _)| matches!(name.as_slice(), b"color" | b"size" | b"face")),
        name => matches!(
            name,
            b"b" | b"big"
                | b"blockquote"
                | b"body"
                | b"br"
                | b"center"
                | b"code"
                | b"dd"
                | b"div"
                | b"dl"
                | b"dt"
                | b"em"
                | b"embed"
                | b"h1"
                | b"h2"
                | b"h3"
                | b"h4"
                | b"h5"
                | b"h6"
                | b"head"
                | b"hr"
                | b"i"
                | b"img"
                | b"li"
                | b"listing"
                | b"menu"
                | b"meta"
                | b"nobr"
                | b"ol"
                | b"p"
                | b"pre"
                | b"ruby"
                | b"s"
                | b"small"
                | b"span"
                | b"strong"
                | b"strike"
                | b"sub"
                | b"sup"
                | b"table"
                | b"tt"
                | b"u"
                | b"ul"
                | b"var"
        ),
    }
}

/// Whether content of an element of that name is HTML, whatever its attributes.
pub(super) fn is_point(namespace: Namespace, name: &[u8]) -> bool {
    match namespace {
        Namespace::Html => false,
        Namespace::Svg => matches!(name, b"desc" | b"title" | b"foreignobject"),
        Namespace::Math => matches!(name, b"mi" | b"mo" | b"mn" | b"ms" | b"mtext"),
    }
}

/// Whether an `encoding` of an `annotation-xml` makes its content HTML.
pub(super) fn says_html(encoding: &[u8]) -> bool {
    encoding.eq_ignore_ascii_case(b"text/html") || encoding.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// Elements without content.
pub(super) fn is_void(name: &[u8]) -> bool {
    matches!(
        name,
        b"area"
            | b"base"
            | b"basefont"
            | b"bgsound"
            | b"br"
            | b"col"
            | b"embed"
            | b"frame"
            | b"hr"
            | b"image"
            | b"img"
            | b"input"
            | b"keygen"
            | b"link"
            | b"meta"
            | b"param"
            | b"source"
            | b"track"
            | b"wbr"
    )
}

/// Elements that others' start and end tags may end.
pub(super) fn is_implied(name: &[u8]) -> bool {
    matches!(name, b"dd" | b"dt" | b"li" | b"optgroup" | b"option" | b"p" | b"rb" | b"rp" | b"rt" | b"rtc")
}

/// Elements whose end tags end what is implied.
pub(super) fn is_block(name: &[u8]) -> bool {
    matches!(
        name,
        b"address"
            | b"article"
            | b"aside"
            | b"blockquote"
            | b"button"
            | b"center"
            | b"details"
            | b"dialog"
            | b"div"
            | b"dl"
            | b"fieldset"
            | b"figcaption"
            | b"figure"
            | b"footer"
            | b"header"
            | b"hgroup"
            | b"main"
            | b"menu"
            | b"nav"
            | b"ol"
            | b"section"
            | b"summary"
            | b"ul"
    )
}

/// The parts of a table that may only stand in it.
pub(super) fn is_table_part(name: &[u8]) -> bool {
    matches!(name, b"caption" | b"col" | b"colgroup" | b"tbody" | b"td" | b"tfoot" | b"th" | b"thead" | b"tr")
}

/// End tags that reach out of foreign content, whatever is open in it: nothing but a table or a template stops them.
pub(super) fn reaches_far(name: &[u8]) -> bool {
    is_table_part(name) || matches!(name, b"table" | b"template" | b"select")
}

/// `h1` to `h6`: the end tag of one ends another.
pub(super) fn is_heading(name: &[u8]) -> bool {
    matches!(name, [b'h', b'1'..=b'6'])
}
