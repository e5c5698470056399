//! The document type: where it ends, and whether it declares what would change the document.
//!
//! External subsets are never loaded by browsers. What stands in the internal one is: entities hide
//! addresses and whole tags, and default values of attributes put them into any element.

/// The length of the `<!DOCTYPE …>` that these bytes begin with; `None` while it is not over.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut scan = Scan { bytes, at: 0 };
    loop {
        match scan.next()? {
            b'"' | b'\'' => scan.skip_quoted()?,
            b'[' => scan.subset(&mut |_| {})?,
            b'>' => return Some(scan.at),
            _ => {}
        }
    }
}

/// Whether a whole `<!DOCTYPE …>` declares entities or attributes, or refers to parameter entities.
pub(super) fn declares(doctype: &[u8]) -> bool {
    let mut scan = Scan { bytes: doctype, at: 0 };
    let mut declares = false;
    while let Some(byte) = scan.next() {
        let over = match byte {
            b'"' | b'\'' => scan.skip_quoted(),
            b'[' => scan.subset(&mut |declaration| {
                declares |= !declaration.starts_with(b"<!ELEMENT") && !declaration.starts_with(b"<!NOTATION");
            }),
            _ => Some(()),
        };
        if over.is_none() {
            return true;
        }
    }
    declares
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Moves behind the quote that ends what the last byte began.
    fn skip_quoted(&mut self) -> Option<()> {
        let quote = self.bytes[self.at - 1];
        self.at += memchr::memchr(quote, &self.bytes[self.at..])? + 1;
        Some(())
    }

    fn skip_past(&mut self, end: &[u8]) -> Option<()> {
        self.at += memchr::memmem::find(&self.bytes[self.at..], end)? + end.len();
        Some(())
    }

    /// Moves behind the `]` of the internal subset and tells each declaration in it: everything but
    /// white space, comments and instructions.
    fn subset(&mut self, tell: &mut impl FnMut(&'a [u8])) -> Option<()> {
        loop {
            match self.next()? {
                b']' => return Some(()),
                byte if byte.is_ascii_whitespace() => {}
                b'<' => {
                    let from = self.at - 1;
                    let rest = &self.bytes[from..];
                    if rest.starts_with(b"<!--") {
                        self.at = from + 4;
                        self.skip_past(b"-->")?;
                    } else if rest.starts_with(b"<?") {
                        self.skip_past(b"?>")?;
                    } else if b"<!--".starts_with(rest) {
                        return None;
                    } else {
                        loop {
                            match self.next()? {
                                b'"' | b'\'' => self.skip_quoted()?,
                                b'>' => break,
                                _ => {}
                            }
                        }
                        tell(&self.bytes[from..self.at]);
                    }
                }
                // A parameter entity, or nothing that XML knows.
                _ => tell(&self.bytes[self.at - 1..self.at]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{declares, end};

    #[test]
    fn the_end_is_found_behind_quotes_subsets_and_comments() {
        for text in [
            "<!DOCTYPE html>",
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN>\" 'http://x/>'>",
            "<!DOCTYPE r [ <!ELEMENT r (#PCDATA)> ]>",
            "<!DOCTYPE r [<!-- ]> \" --> <?pi ]> ' ?> <!NOTATION n SYSTEM \"]>\"> ] >",
            "<!DOCTYPE r [<!ENTITY x \"]>\">]>",
        ] {
            assert_eq!(end(format!("{text}<r/>").as_bytes()), Some(text.len()), "{text}");
            for cut in 9..text.len() {
                assert_eq!(end(&text.as_bytes()[..cut]), None, "{text} at {cut}");
            }
        }
    }

    #[test]
    fn what_changes_a_document_is_found_in_the_subset() {
        for (text, want) in [
            ("<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://x/[<!ENTITY>\">", false),
            ("<!DOCTYPE r []>", false),
            ("<!DOCTYPE r [<!-- <!ENTITY x 'y'> --> <!ELEMENT r ANY>]>", false),
            ("<!DOCTYPE r [<!ENTITY x 'y'>]>", true),
            ("<!DOCTYPE r [<!ATTLIST img src CDATA '//x'>]>", true),
            ("<!DOCTYPE r [<!ENTITY % p '<!ENTITY'> %p;]>", true),
            ("<!DOCTYPE r [%p;]>", true),
            ("<!DOCTYPE r [<!ELEMENT r ANY> <![INCLUDE[<!ENTITY x 'y'>]]>]>", true),
        ] {
            assert_eq!(declares(text.as_bytes()), want, "{text}");
        }
    }
}
