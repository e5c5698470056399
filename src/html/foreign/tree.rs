//! What browsers make of foreign content: the open elements from the outermost `svg` or `math` on, with the rules of
//! the HTML standard for foreign content (13.2.6.5), and for HTML in it as far as it is written as people write it.
//! What lies below is not known, so some end tags may lead out of it or not; and what HTML in it makes of tags that
//! do not fit is not followed any further.

use super::{
    names::{Namespace, breaks_out, is_block, is_heading, is_implied, is_point, is_table_part, is_void, reaches_far, says_html},
    reader::Tag,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// The open elements; none is HTML around it all.
    Open(Vec<Node>),
    /// It is not known what is open.
    Unknown(Way),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// This is HTML, as far as CDATA sections go. Any text may be markup all the same.
    Html,
    /// This is foreign content, as far as they go.
    Foreign,
    /// It is a `select`, where for older browsers those of scripts are the only ones whose content is text.
    Select,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    namespace: Namespace,
    /// Lower case.
    name: Box<[u8]>,
    /// Whether its content is HTML (an integration point).
    point: bool,
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Certain,
    /// What was found, or everything was closed: it hangs on what is open around.
    OrOut,
    Unknown,
    /// What was found, or older browsers are in a `select`.
    OrSelect,
}

impl Tree {
    pub(super) fn is_at_rest(&self) -> bool {
        *self == Self::out()
    }

    /// Nothing is open.
    pub(super) fn out() -> Self {
        Self::Open(Vec::new())
    }

    /// What is open is not known, nor is for any element whether its content is text.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(Way::Html | Way::Foreign))
    }

    pub(super) fn has_sections(&self) -> bool {
        match self {
            Self::Open(nodes) => nodes.last().is_some_and(|last| last.namespace != Namespace::Html),
            Self::Unknown(way) => *way == Way::Foreign,
        }
    }

    /// Whether the content of an HTML element of that name is text, where it usually is.
    pub(super) fn has_text(&self, name: &[u8]) -> bool {
        match self {
            Self::Unknown(Way::Select) => name == b"script",
            _ => true,
        }
    }

    /// Takes in a start tag. Returns whether the element is of HTML.
    pub(super) fn start(&mut self, tag: &Tag) -> (bool, Fate) {
        let nodes = match self {
            Self::Unknown(way) => {
                let fate = if &*tag.name == b"select" { Fate::OrSelect } else { Fate::Certain };
                return (*way != Way::Foreign, fate);
            }
            Self::Open(nodes) => nodes,
        };
        let Some(last) = nodes.last() else { return (true, html_start(nodes, tag)) };
        let math = last.namespace == Namespace::Math;
        let html = match &*tag.name {
            b"mglyph" | b"malignmark" if math => last.point && &*last.name == b"annotation-xml",
            b"svg" if math && &*last.name == b"annotation-xml" => true,
            _ => last.namespace == Namespace::Html || last.point,
        };
        if html {
            return (true, html_start(nodes, tag));
        }
        if breaks_out(tag) {
            let fate = break_out(nodes);
            let then = html_start(nodes, tag);
            return (true, if fate == Fate::Certain { then } else { fate });
        }
        let namespace = last.namespace;
        if !tag.self_closing {
            let encoding = tag.attributes.iter().find(|(name, _)| name == b"encoding");
            let says = |(_, value): &(Vec<u8>, Vec<u8>)| {
                says_html(htmlize::unescape_attribute(String::from_utf8_lossy(value)).as_bytes())
            };
            let annotation = namespace == Namespace::Math && &*tag.name == b"annotation-xml" && encoding.is_some_and(says);
            let point = annotation || is_point(namespace, &tag.name);
            nodes.push(Node { namespace, name: tag.name.clone(), point });
        }
        (false, Fate::Certain)
    }

    pub(super) fn end(&mut self, name: &[u8]) -> Fate {
        let nodes = match self {
            Self::Open(nodes) => nodes,
            Self::Unknown(way) => {
                if *way == Way::Select && name == b"select" {
                    *self = Self::out();
                }
                return Fate::Certain;
            }
        };
        let Some(last) = nodes.last() else { return Fate::Certain };
        if last.namespace == Namespace::Html {
            return html_end(nodes, name, nodes.len());
        }
        if matches!(name, b"p" | b"br") {
            let fate = break_out(nodes);
            let then = html_end(nodes, name, nodes.len());
            return if fate == Fate::Certain { then } else { fate };
        }
        for at in (0..nodes.len()).rev() {
            if nodes[at].namespace == Namespace::Html {
                return html_end(nodes, name, at + 1);
            }
            if *nodes[at].name == *name {
                nodes.truncate(at);
                return Fate::Certain;
            }
        }
        // It is for the HTML around, which it may reach or not.
        if matches!(name, b"body" | b"html" | b"head") { Fate::Certain } else { Fate::OrOut }
    }
}

/// Up to where content is HTML.
fn break_out(nodes: &mut Vec<Node>) -> Fate {
    while nodes.last().is_some_and(|last| last.namespace != Namespace::Html && !last.point) {
        nodes.pop();
    }
    // Not all are agreed that this is one.
    let doubtful = nodes.last().is_some_and(|last| last.namespace == Namespace::Math && &*last.name == b"annotation-xml");
    if doubtful { Fate::Unknown } else { Fate::Certain }
}

/// The HTML elements on top of `nodes`.
fn html_part(nodes: &[Node]) -> &[Node] {
    let from = nodes.iter().rposition(|node| node.namespace != Namespace::Html).map_or(0, |at| at + 1);
    &nodes[from..]
}

/// A start tag where HTML is expected.
fn html_start(nodes: &mut Vec<Node>, tag: &Tag) -> Fate {
    let name = &*tag.name;
    let part = html_part(nodes);
    let is_open = |wanted: &[u8]| part.iter().any(|node| *node.name == *wanted);
    if is_open(b"select") && !matches!(name, b"option" | b"optgroup" | b"hr") {
        return Fate::Unknown;
    }
    let namespace = match name {
        b"svg" => Namespace::Svg,
        b"math" => Namespace::Math,
        _ => Namespace::Html,
    };
    if namespace != Namespace::Html {
        if !tag.self_closing {
            nodes.push(Node { namespace, name: tag.name.clone(), point: false });
        }
        return Fate::Certain;
    }
    if name == b"frameset" {
        return Fate::Unknown;
    }
    // Of what is around all of it nothing is known, and nothing needs to be.
    if nodes.is_empty() {
        return if name == b"select" { Fate::OrSelect } else { Fate::Certain };
    }
    let last = part.last().map_or(&b""[..], |node| &*node.name);
    let fits = match name {
        b"html" | b"head" | b"body" => return Fate::Certain,
        b"template" | b"plaintext" | b"noscript" => false,
        b"tr" => matches!(last, b"table" | b"tbody" | b"thead" | b"tfoot"),
        b"td" | b"th" => last == b"tr",
        b"col" => last == b"colgroup",
        _ if is_table_part(name) => last == b"table",
        // Outside of a cell it ends the table.
        b"table" => {
            let place = part.iter().rev().find(|node| *node.name == *b"table" || is_table_part(&node.name));
            place.is_none_or(|node| matches!(&*node.name, b"td" | b"th" | b"caption"))
        }
        _ => true,
    };
    if !fits {
        return Fate::Unknown;
    }
    if is_void(name) || super::reader::Text::of(name).is_some() {
        return Fate::Certain;
    }
    let again = last == name && matches!(name, b"p" | b"li" | b"option");
    if again || matches!(name, b"dd" | b"dt") && matches!(last, b"dd" | b"dt") {
        nodes.pop();
    }
    nodes.push(Node { namespace, name: tag.name.clone(), point: false });
    if &*tag.name == b"select" { Fate::OrSelect } else { Fate::Certain }
}

/// An end tag for the HTML that ends at `length`; above it, foreign content is open.
fn html_end(nodes: &mut Vec<Node>, name: &[u8], length: usize) -> Fate {
    let part = html_part(&nodes[..length]);
    let is_open = |wanted: &[u8]| part.iter().any(|node| *node.name == *wanted);
    if matches!(name, b"body" | b"html" | b"head") {
        return Fate::Certain;
    }
    // A point keeps end tags from reaching the elements below it, if all parsers are agreed on that.
    if nodes[length..].iter().any(|node| node.point) {
        if is_open(name) {
            return Fate::Unknown;
        }
    } else {
        if part.last().is_some_and(|last| *last.name == *name) {
            nodes.truncate(length - 1);
            return Fate::Certain;
        }
        let firm = part.iter().rposition(|node| !is_implied(&node.name));
        if is_block(name) && firm.is_some_and(|at| *part[at].name == *name) {
            let implied = part.len() - firm.unwrap_or(0);
            nodes.truncate(length - implied);
            return Fate::Certain;
        }
        let heading = is_heading(name) && part.iter().any(|node| is_heading(&node.name));
        if is_open(name) || heading {
            return Fate::Unknown;
        }
    }
    if reaches_far(name) {
        let here = part.iter().any(|node| is_table_part(&node.name) || reaches_far(&node.name));
        return if here { Fate::Unknown } else { Fate::OrOut };
    }
    if matches!(name, b"p" | b"br") {
        return Fate::Certain;
    }
    // It may end what is around this HTML: foreign content if nothing is open that browsers have not closed, or HTML
    // further out.
    if nodes.iter().any(|node| *node.name == *name) { Fate::Unknown } else { Fate::OrOut }
}
