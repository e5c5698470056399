//! A style sheet that came whole: does any rule speak about an address in it?
//!
//! Browsers use a sheet once they have all of it, so that to look before the head goes out costs the visitor nothing.
//! One that nobody speaks about stays what it is, for every cache on the way.

use std::sync::Arc;

use super::{
    super::{Limits, Page, SheetGate, charset, sniff::Kind},
    BodyHead, decoder_limits,
    engine::Transcoder,
};
use crate::html::codec::{Coding, Decoder};

/// Whether no rule hits an address in a whole style sheet, whatever is granted. One that cannot be read is not plain.
pub fn sheet_is_plain(body: &[u8], head: BodyHead<'_>, page: &Page, limits: &Limits) -> bool {
    let Some(codings) = Coding::all_of(head.content_encoding) else { return false };
    let (mut decoder, mut plain) = (Decoder::new(&codings, decoder_limits(limits)), Vec::new());
    if decoder.write(body, &mut plain).and_then(|()| decoder.finish(&mut plain)).is_err() {
        return false;
    }
    let label = head.content_type.and_then(charset::label_of);
    let Some(charset) = charset::settle(Kind::Css, label, &plain, true) else { return false };
    let mut encoding = charset.encoding();
    if let Some(mut transcoder) = Transcoder::new(Kind::Css, charset) {
        let mut text = Vec::new();
        transcoder.write(&plain, true, &mut text);
        (plain, encoding) = (text, encoding_rs::UTF_8);
    }
    let mut gate = SheetGate::new(Arc::new(page.clone()), limits.clone(), encoding);
    let mut unused = Vec::new();
    let read = gate.write(&plain, &mut unused).and_then(|()| gate.end(&mut unused));
    read.is_ok() && gate.report().tags.is_empty() && gate.report().more == 0
}
