//! Open elements and the namespaces in force.

use super::XmlError;

/// A namespace, as far as it matters to tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// No namespace.
    None,
    Xhtml,
    Svg,
    Xlink,
    Xslt,
    /// The prefix `xml`.
    Xml,
    /// One in which browsers load nothing, or a prefix that nothing binds.
    Other,
}

impl Space {
    fn of(uri: &str) -> Self {
        match uri {
            "" => Self::None,
            "http://www.w3.org/1999/xhtml" => Self::Xhtml,
            "http://www.w3.org/2000/svg" => Self::Svg,
            "http://www.w3.org/1999/xlink" => Self::Xlink,
            "http://www.w3.org/1999/XSL/Transform" => Self::Xslt,
            "http://www.w3.org/XML/1998/namespace" => Self::Xml,
            _ => Self::Other,
        }
    }
}

#[derive(Debug)]
struct Binding {
    /// Empty: the default namespace.
    prefix: Box<str>,
    space: Space,
}

#[derive(Debug)]
struct Frame {
    /// Where its name begins in the names.
    name: usize,
    /// How many bindings there were outside.
    bindings: usize,
}

/// The elements that are open, from the root down.
#[derive(Debug, Default)]
pub(super) struct Scope {
    frames: Vec<Frame>,
    names: String,
    bindings: Vec<Binding>,
    /// Whether XSLT has been bound anywhere.
    pub(super) saw_xslt: bool,
}

/// Engines stop at 5,000 or before.
const DEPTH_MAX: usize = 5_000;

/// Bindings in force at once, and bytes of names; far beyond what documents have.
const BINDINGS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 1 << 20;

impl Scope {
    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Opens an element; `bind` its own namespaces next.
    pub(super) fn open(&mut self, name: &str, at: usize) -> Result<(), XmlError> {
        if self.frames.len() == DEPTH_MAX || self.names.len() + name.len() > NAME_BYTES_MAX {
            return Err(XmlError::Deep { at, max: DEPTH_MAX });
        }
        self.frames.push(Frame { name: self.names.len(), bindings: self.bindings.len() });
        self.names.push_str(name);
        Ok(())
    }

    /// Binds a prefix, or the default namespace (empty), for the element opened last.
    pub(super) fn bind(&mut self, prefix: &str, uri: &str, at: usize) -> Result<(), XmlError> {
        if self.bindings.len() == BINDINGS_MAX {
            return Err(XmlError::Deep { at, max: BINDINGS_MAX });
        }
        let space = Space::of(uri);
        self.saw_xslt |= space == Space::Xslt;
        self.bindings.push(Binding { prefix: prefix.into(), space });
        Ok(())
    }

    /// Closes the element opened last; `false` if it has another name, or if there is none.
    pub(super) fn close(&mut self, name: &str) -> bool {
        match self.frames.pop() {
            Some(frame) => {
                let same = self.names[frame.name..] == *name;
                self.names.truncate(frame.name);
                self.bindings.truncate(frame.bindings);
                same
            }
            None => false,
        }
    }

    /// The name, with its prefix, of the element around the one opened last.
    pub(super) fn parent(&self) -> &str {
        match self.frames.as_slice() {
            [.., parent, last] => &self.names[parent.name..last.name],
            _ => "",
        }
    }

    /// The namespace of a prefix; that of elements without one if it is empty.
    pub(super) fn space(&self, prefix: &str) -> Space {
        match self.bindings.iter().rev().find(|binding| *binding.prefix == *prefix) {
            Some(binding) => binding.space,
            None if prefix.is_empty() => Space::None,
            None if prefix == "xml" => Space::Xml,
            // Sloppy, and some reader may be lenient.
            None if prefix == "xlink" => Space::Xlink,
            None => Space::Other,
        }
    }
}

/// A name's prefix (empty without) and its local part.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}
